//! Asking what a principal may do, before doing it.

use serde::Deserialize;
use serde_json::{Value, json};
use strata_platform::access::AccessError;
use strata_wire::Fault;

use super::{fault, invalid, no_such_role};
use crate::operation::{Answer, Cx, refuse_members};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SimulatePrincipalPolicy {
    policy_source_arn: String,
    action_names: Vec<String>,
    #[serde(default)]
    resource_arns: Vec<String>,
    max_items: Option<usize>,
    marker: Option<String>,
}

/// Answers for the root user and for roles that exist. One result for each action and resource.
pub async fn simulate_principal_policy(cx: Cx, req: SimulatePrincipalPolicy) -> Answer {
    let policies = "policies are not evaluated in this version";
    refuse_members(
        &cx.call.document,
        &[
            ("PolicyInputList", policies),
            ("PermissionsBoundaryPolicyInputList", policies),
            ("ResourcePolicy", policies),
        ],
    )
    .map_err(|refused| invalid(refused.message))?;
    known_principal(&cx, &req.policy_source_arn).await?;

    let any = [String::from("*")];
    let resources = if req.resource_arns.is_empty() { &any } else { req.resource_arns.as_slice() };
    let pairs = req.action_names.iter().flat_map(|action| resources.iter().map(move |at| (action, at)));
    let start = match &req.marker {
        None => 0,
        Some(marker) => marker.parse().map_err(|_| invalid("Invalid Marker."))?,
    };
    let most = req.max_items.unwrap_or(100);
    let mut pairs = pairs.skip(start);
    let results: Vec<Value> = pairs.by_ref().take(most).map(allowed).collect();
    let more = pairs.next().is_some();
    let mut reply = json!({ "EvaluationResults": results, "IsTruncated": more });
    if more {
        reply["Marker"] = json!((start + most).to_string());
    }
    Ok(reply.into())
}

fn allowed((action, resource): (&String, &String)) -> Value {
    json!({
        "EvalActionName": action,
        "EvalResourceName": resource,
        "EvalDecision": "allowed",
        "MatchedStatements": [],
        "MissingContextValues": [],
    })
}

async fn known_principal(cx: &Cx, arn: &str) -> Result<(), Fault> {
    let account = &cx.platform.ports.cloud.account;
    if arn == format!("arn:aws:iam::{account}:root") {
        return Ok(());
    }
    if !arn.starts_with(&format!("arn:aws:iam::{account}:role/")) {
        let message = format!("Invalid Entity Arn: {arn} does not clearly define entity type and name.");
        return Err(Fault::new(400, "InvalidInput", message));
    }
    match cx.platform.access.role_by_arn(arn).await {
        Ok(_) => Ok(()),
        Err(AccessError::NoRole(name)) => Err(no_such_role(&name)),
        Err(other) => Err(fault(other)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::iam::operations;
    use crate::testing::TestCloud;

    const ROLE: &str = "arn:aws:iam::123456789012:role/strata";

    #[tokio::test]
    async fn known_roles_may_do_everything() {
        let cloud = TestCloud::new(operations()).await;
        let ask = json!({"PolicySourceArn": ROLE, "ActionNames": ["s3:GetObject"]});
        let reply = cloud.call("SimulatePrincipalPolicy", ask).await.unwrap();
        insta::assert_json_snapshot!(reply, @r#"
        {
          "EvaluationResults": [
            {
              "EvalActionName": "s3:GetObject",
              "EvalDecision": "allowed",
              "EvalResourceName": "*",
              "MatchedStatements": [],
              "MissingContextValues": []
            }
          ],
          "IsTruncated": false
        }
        "#);
    }

    #[tokio::test]
    async fn results_page_over_actions_and_resources() {
        let cloud = TestCloud::new(operations()).await;
        let mut ask = json!({
            "PolicySourceArn": ROLE, "ActionNames": ["a:A", "b:B"], "ResourceArns": ["r", "s"], "MaxItems": 3,
        });
        let first = cloud.call("SimulatePrincipalPolicy", ask.clone()).await.unwrap();
        assert_eq!(first["EvaluationResults"].as_array().unwrap().len(), 3);
        ask["Marker"] = first["Marker"].clone();
        let rest = cloud.call("SimulatePrincipalPolicy", ask).await.unwrap();
        assert_eq!(rest["EvaluationResults"][0]["EvalActionName"], "b:B");
        assert_eq!(rest["EvaluationResults"][0]["EvalResourceName"], "s");
        assert_eq!(rest["IsTruncated"], false);
    }

    #[tokio::test]
    async fn nothing_is_said_of_strangers() {
        let cloud = TestCloud::new(operations()).await;
        let mut said = Vec::new();
        for arn in ["arn:aws:iam::123456789012:role/none", "arn:aws:iam::123456789012:user/me"] {
            let ask = json!({"PolicySourceArn": arn, "ActionNames": ["s3:GetObject"]});
            said.push(cloud.fault("SimulatePrincipalPolicy", ask).await);
        }
        let narrowed =
            json!({"PolicySourceArn": ROLE, "ActionNames": ["s3:GetObject"], "PolicyInputList": ["{}"]});
        said.push(cloud.fault("SimulatePrincipalPolicy", narrowed).await);
        insta::assert_json_snapshot!(said, @r#"
        [
          "NoSuchEntity: The role with name none cannot be found.",
          "InvalidInput: Invalid Entity Arn: arn:aws:iam::123456789012:user/me does not clearly define entity type and name.",
          "ValidationError: PolicyInputList is not honoured by this cloud: policies are not evaluated in this version"
        ]
        "#);
    }
}
