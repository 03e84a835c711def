//! Roles.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};
use strata_platform::access::{NewRole, Role};

use super::{fault, invalid};
use crate::operation::{Answer, Cx, refuse_members};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateRole {
    role_name: String,
    path: Option<String>,
    assume_role_policy_document: String,
    description: Option<String>,
    max_session_duration: Option<u32>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RoleName {
    role_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListRoles {
    path_prefix: Option<String>,
    marker: Option<String>,
    max_items: Option<usize>,
}

/// Makes a role that sessions and jobs can go by.
pub async fn create_role(cx: Cx, req: CreateRole) -> Answer {
    let boundary = "policies come later; every role may do everything";
    refuse_members(&cx.call.document, &[("PermissionsBoundary", boundary)])
        .map_err(|refused| invalid(refused.message))?;
    let role = cx.platform.access.create_role(NewRole {
        name: req.role_name,
        path: req.path.unwrap_or_else(|| "/".into()),
        trust_policy: req.assume_role_policy_document,
        description: req.description,
        max_session: req.max_session_duration.unwrap_or(3600),
        tags: req.tags.into_iter().map(|tag| (tag.key, tag.value)).collect(),
    });
    let role = role.await.map_err(fault)?;
    Ok(json!({ "Role": described(&role, true) }).into())
}

pub async fn get_role(cx: Cx, req: RoleName) -> Answer {
    let role = cx.platform.access.role(&req.role_name).await.map_err(fault)?;
    Ok(json!({ "Role": described(&role, true) }).into())
}

/// Lists roles in order of name, those of one path where asked.
pub async fn list_roles(cx: Cx, req: ListRoles) -> Answer {
    let mut roles =
        cx.platform.access.roles(req.path_prefix.as_deref().unwrap_or("/")).await.map_err(fault)?;
    // The marker is the name before; names are in order without regard to case.
    if let Some(marker) = req.marker.map(|marker| marker.to_ascii_lowercase()) {
        roles.retain(|role| role.name.to_ascii_lowercase() > marker);
    }
    let most = req.max_items.unwrap_or(100);
    let more = roles.len() > most;
    roles.truncate(most);
    let mut reply = json!({
        "Roles": roles.iter().map(|role| described(role, false)).collect::<Vec<_>>(),
        "IsTruncated": more,
    });
    if let (true, Some(last)) = (more, roles.last()) {
        reply["Marker"] = json!(last.name);
    }
    Ok(reply.into())
}

pub async fn delete_role(cx: Cx, req: RoleName) -> Answer {
    cx.platform.access.delete_role(&req.role_name).await.map_err(fault)?;
    Ok(json!({}).into())
}

/// What RFC 3986 leaves as it is; IAM encodes policies so.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The role as IAM shows it; lists leave the tags out, as IAM's do.
fn described(role: &Role, with_tags: bool) -> Value {
    let mut shown = json!({
        "Path": role.path,
        "RoleName": role.name,
        "RoleId": role.id,
        "Arn": role.arn,
        "CreateDate": role.created.seconds(),
        "AssumeRolePolicyDocument": utf8_percent_encode(&role.trust_policy, ENCODED).to_string(),
        "MaxSessionDuration": role.max_session,
    });
    if let Some(description) = &role.description {
        shown["Description"] = json!(description);
    }
    if with_tags && !role.tags.is_empty() {
        let tag = |(key, value): &(String, String)| json!({ "Key": key, "Value": value });
        shown["Tags"] = role.tags.iter().map(tag).collect();
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::iam::operations;
    use crate::testing::{TestCloud, masked};

    const TRUST: &str = r#"{"Statement":{"Effect":"Allow","Principal":{"Service":"sagemaker.amazonaws.com"},"Action":"sts:AssumeRole"}}"#;

    #[tokio::test]
    async fn roles_are_made_shown_and_removed() {
        let cloud = TestCloud::new(operations()).await;
        let document = json!({
            "RoleName": "Exec", "Path": "/service-role/", "AssumeRolePolicyDocument": TRUST,
            "Description": "runs jobs", "Tags": [{"Key": "team", "Value": "ml"}],
        });
        let made = cloud.call("CreateRole", document.clone()).await.unwrap();
        assert_eq!(cloud.call("GetRole", json!({"RoleName": "Exec"})).await.unwrap(), made);
        insta::assert_json_snapshot!(masked(made, &["RoleId", "CreateDate"]), @r#"
        {
          "Role": {
            "Arn": "arn:aws:iam::123456789012:role/service-role/Exec",
            "AssumeRolePolicyDocument": "%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%7B%22Service%22%3A%22sagemaker.amazonaws.com%22%7D%2C%22Action%22%3A%22sts%3AAssumeRole%22%7D%7D",
            "CreateDate": "<CreateDate>",
            "Description": "runs jobs",
            "MaxSessionDuration": 3600,
            "Path": "/service-role/",
            "RoleId": "<RoleId>",
            "RoleName": "Exec",
            "Tags": [
              {
                "Key": "team",
                "Value": "ml"
              }
            ]
          }
        }
        "#);
        let mut said = vec![cloud.fault("CreateRole", document).await];
        cloud.call("DeleteRole", json!({"RoleName": "Exec"})).await.unwrap();
        said.push(cloud.fault("GetRole", json!({"RoleName": "Exec"})).await);
        said.push(cloud.fault("CreateRole", json!({"RoleName": "x", "AssumeRolePolicyDocument": "{"})).await);
        insta::assert_json_snapshot!(said, @r#"
        [
          "EntityAlreadyExists: Role with name Exec already exists.",
          "NoSuchEntity: The role with name Exec cannot be found.",
          "MalformedPolicyDocument: This policy contains invalid Json"
        ]
        "#);
    }

    #[tokio::test]
    async fn the_default_role_trusts_sagemaker() {
        let cloud = TestCloud::new(operations()).await;
        let role = cloud.call("GetRole", json!({"RoleName": "SageMakerRole"})).await.unwrap();
        let policy = role["Role"]["AssumeRolePolicyDocument"].as_str().unwrap();
        let policy = percent_encoding::percent_decode_str(policy).decode_utf8().unwrap();
        let policy: Value = serde_json::from_str(&policy).unwrap();
        assert_eq!(policy["Statement"][0]["Principal"]["Service"], "sagemaker.amazonaws.com");
    }

    #[tokio::test]
    async fn lists_page() {
        let cloud = TestCloud::new(operations()).await;
        for name in ["b", "A", "c"] {
            let role = json!({"RoleName": name, "Path": "/p/", "AssumeRolePolicyDocument": TRUST});
            cloud.call("CreateRole", role).await.unwrap();
        }
        let first = cloud.call("ListRoles", json!({"PathPrefix": "/p/", "MaxItems": 2})).await.unwrap();
        let names = |page: &Value| {
            let roles = page["Roles"].as_array().unwrap().iter();
            roles.map(|role| role["RoleName"].as_str().unwrap().to_string()).collect::<Vec<_>>()
        };
        assert_eq!((names(&first), &first["IsTruncated"]), (vec!["A".into(), "b".into()], &json!(true)));
        let rest = json!({"PathPrefix": "/p/", "Marker": first["Marker"]});
        let rest = cloud.call("ListRoles", rest).await.unwrap();
        assert_eq!((names(&rest), &rest["IsTruncated"]), (vec!["c".into()], &json!(false)));
        assert!(rest.get("Marker").is_none());
    }
}
