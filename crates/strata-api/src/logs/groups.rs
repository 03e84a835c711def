//! Log groups.

use serde::Deserialize;
use serde_json::{Value, json};
use strata_base::logs::{GroupInfo, LogsError};
use strata_wire::Fault;

use super::{fault, group_of, invalid, refuse};
use crate::operation::{Answer, Cx};

/// AWS's page.
const PAGE: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupRequest {
    log_group_name: String,
    log_group_class: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DescribeLogGroups {
    log_group_name_prefix: Option<String>,
    log_group_name_pattern: Option<String>,
    log_group_identifiers: Option<Vec<String>>,
    log_group_class: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
}

pub async fn create_log_group(cx: Cx, req: GroupRequest) -> Answer {
    refuse(
        &cx,
        &[
            ("kmsKeyId", "logs are stored as the data folder is"),
            ("tags", "log groups carry no tags yet"),
            ("deletionProtectionEnabled", "log groups have no protection yet"),
        ],
    )?;
    if req.log_group_class.is_some_and(|class| class != "STANDARD") {
        return Err(invalid(
            "logGroupClass is not honoured by this cloud: every group is of the class STANDARD",
        ));
    }
    cx.platform.ports.logs.create_group(&req.log_group_name).await.map_err(|error| match error {
        LogsError::Exists(_) => fault(LogsError::Exists("The specified log group".into())),
        other => fault(other),
    })?;
    Ok(json!({}).into())
}

pub async fn delete_log_group(cx: Cx, req: GroupRequest) -> Answer {
    cx.platform.ports.logs.delete_group(&req.log_group_name).await.map_err(fault)?;
    Ok(json!({}).into())
}

/// Lists groups by name: all, by prefix, by a part of the name, or exactly those named.
pub async fn describe_log_groups(cx: Cx, req: DescribeLogGroups) -> Answer {
    let accounts = "this cloud is one account";
    refuse(&cx, &[("accountIdentifiers", accounts), ("includeLinkedAccounts", accounts)])?;
    if req.log_group_name_prefix.is_some() && req.log_group_name_pattern.is_some() {
        return Err(invalid(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
        ));
    }
    let limit = req.limit.unwrap_or(PAGE);
    let mut groups = match req.log_group_identifiers {
        _ if req.log_group_class.is_some_and(|class| class != "STANDARD") => Vec::new(),
        Some(names) => named(&cx, names).await?,
        None => {
            let prefix = req.log_group_name_prefix.as_deref().unwrap_or("");
            let part = req.log_group_name_pattern.as_deref().unwrap_or("");
            // One more than asked for tells whether a next page has anything.
            matching(&cx, prefix, part, req.next_token, limit + 1).await?
        }
    };
    let more = groups.len() > limit;
    groups.truncate(limit);
    let mut reply = json!({
        "logGroups": groups.iter().map(|group| described(&cx, group)).collect::<Vec<_>>(),
    });
    if let (true, Some(last)) = (more, groups.last()) {
        reply["nextToken"] = json!(last.name);
    }
    Ok(reply.into())
}

/// Groups in order of name whose name starts with `prefix` and contains `part`.
async fn matching(
    cx: &Cx,
    prefix: &str,
    part: &str,
    mut after: Option<String>,
    limit: usize,
) -> Result<Vec<GroupInfo>, Fault> {
    const STEP: usize = 500;
    let mut found = Vec::new();
    loop {
        let groups = cx.platform.ports.logs.groups(prefix, after.as_deref(), STEP).await.map_err(fault)?;
        let last_step = groups.len() < STEP;
        after = groups.last().map(|group| group.name.clone());
        found.extend(groups.into_iter().filter(|group| group.name.contains(part)));
        if last_step || found.len() >= limit {
            found.truncate(limit);
            return Ok(found);
        }
    }
}

/// Those of the named groups that exist; at most 50 names pass the model.
async fn named(cx: &Cx, names: Vec<String>) -> Result<Vec<GroupInfo>, Fault> {
    let mut found = Vec::new();
    for name in names {
        let name = group_of(cx, None, Some(name))?;
        let groups = cx.platform.ports.logs.groups(&name, None, 1).await.map_err(fault)?;
        found.extend(groups.into_iter().filter(|group| group.name == name));
    }
    Ok(found)
}

fn described(cx: &Cx, group: &GroupInfo) -> Value {
    let arn = cx.platform.ports.cloud.arn("logs", &format!("log-group:{}", group.name));
    json!({
        "logGroupName": group.name,
        "creationTime": group.created.0,
        "metricFilterCount": 0,
        "arn": format!("{arn}:*"),
        "storedBytes": group.bytes,
        "logGroupClass": "STANDARD",
        "logGroupArn": arn,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::logs::operations;
    use crate::testing::{TestCloud, masked};

    fn names(page: &Value) -> Vec<&str> {
        let groups = page["logGroups"].as_array().unwrap().iter();
        groups.map(|group| group["logGroupName"].as_str().unwrap()).collect()
    }

    #[tokio::test]
    async fn groups_come_and_go() {
        let cloud = TestCloud::new(operations()).await;
        let group = json!({"logGroupName": "/a/b"});
        assert_eq!(cloud.call("CreateLogGroup", group.clone()).await.unwrap(), json!({}));
        let page = cloud.call("DescribeLogGroups", json!({})).await.unwrap();
        insta::assert_json_snapshot!(masked(page, &["creationTime"]), @r#"
        {
          "logGroups": [
            {
              "arn": "arn:aws:logs:us-east-1:123456789012:log-group:/a/b:*",
              "creationTime": "<creationTime>",
              "logGroupArn": "arn:aws:logs:us-east-1:123456789012:log-group:/a/b",
              "logGroupClass": "STANDARD",
              "logGroupName": "/a/b",
              "metricFilterCount": 0,
              "storedBytes": 0
            }
          ]
        }
        "#);
        let mut said = vec![cloud.fault("CreateLogGroup", group.clone()).await];
        cloud.call("DeleteLogGroup", group.clone()).await.unwrap();
        said.push(cloud.fault("DeleteLogGroup", group).await);
        for more in
            [json!({"kmsKeyId": "k"}), json!({"tags": {"a": "b"}}), json!({"logGroupClass": "DELIVERY"})]
        {
            let mut document = json!({"logGroupName": "x"});
            document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            said.push(cloud.fault("CreateLogGroup", document).await);
        }
        insta::assert_json_snapshot!(said, @r#"
        [
          "ResourceAlreadyExistsException: The specified log group already exists",
          "ResourceNotFoundException: The specified log group does not exist.",
          "InvalidParameterException: kmsKeyId is not honoured by this cloud: logs are stored as the data folder is",
          "InvalidParameterException: tags is not honoured by this cloud: log groups carry no tags yet",
          "InvalidParameterException: logGroupClass is not honoured by this cloud: every group is of the class STANDARD"
        ]
        "#);
    }

    #[tokio::test]
    async fn groups_are_found_and_paged() {
        let cloud = TestCloud::new(operations()).await;
        for name in ["/a/1", "/a/2", "/a/3", "/b/1"] {
            cloud.call("CreateLogGroup", json!({"logGroupName": name})).await.unwrap();
        }
        let find = async |document: Value| cloud.call("DescribeLogGroups", document).await.unwrap();
        let first = find(json!({"logGroupNamePrefix": "/a", "limit": 2})).await;
        assert_eq!(names(&first), ["/a/1", "/a/2"]);
        let rest = json!({"logGroupNamePrefix": "/a", "limit": 2, "nextToken": first["nextToken"]});
        let rest = find(rest).await;
        assert_eq!(names(&rest), ["/a/3"]);
        assert!(rest.get("nextToken").is_none());
        assert!(find(json!({"logGroupNamePrefix": "/a", "limit": 3})).await.get("nextToken").is_none());
        assert_eq!(names(&find(json!({"logGroupNamePattern": "/1"})).await), ["/a/1", "/b/1"]);
        let arn = "arn:aws:logs:us-east-1:123456789012:log-group:/b/1:*";
        assert_eq!(
            names(&find(json!({"logGroupIdentifiers": ["/a/2", arn, "/none"]})).await),
            ["/a/2", "/b/1"]
        );
        assert!(names(&find(json!({"logGroupClass": "DELIVERY"})).await).is_empty());
    }
}
