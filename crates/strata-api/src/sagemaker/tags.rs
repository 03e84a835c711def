//! Tags of any resource, by its ARN.

use serde::{Deserialize, Serialize};
use serde_json::json;
use strata_platform::tags::TagError;
use strata_wire::Fault;

use crate::operation::{Answer, Cx};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    pub key: String,
    pub value: String,
}

/// Tags as the platform takes them.
pub fn pairs(tags: Vec<Tag>) -> Vec<(String, String)> {
    tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AddTags {
    resource_arn: String,
    tags: Vec<Tag>,
}

/// Adds tags or changes their values; answers with all the resource has then.
pub async fn add(cx: Cx, req: AddTags) -> Answer {
    let tags = cx.platform.tags.add(&req.resource_arn, &pairs(req.tags)).await.map_err(fault)?;
    Ok(json!({ "Tags": shown(tags) }).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteTags {
    resource_arn: String,
    tag_keys: Vec<String>,
}

pub async fn delete(cx: Cx, req: DeleteTags) -> Answer {
    cx.platform.tags.delete(&req.resource_arn, &req.tag_keys).await.map_err(fault)?;
    Ok(json!({}).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListTags {
    resource_arn: String,
}

/// All tags in one page: a resource has 50 at most, and no smaller page can be asked for.
pub async fn list(cx: Cx, req: ListTags) -> Answer {
    let tags = cx.platform.tags.list(&req.resource_arn).await.map_err(fault)?;
    Ok(json!({ "Tags": shown(tags) }).into())
}

fn shown(tags: Vec<(String, String)>) -> Vec<Tag> {
    tags.into_iter().map(|(key, value)| Tag { key, value }).collect()
}

pub fn fault(error: TagError) -> Fault {
    match error {
        TagError::Store(cause) => Fault::internal(cause),
        error => Fault::validation(error.to_string()),
    }
}
