//! Temporary credentials: of a role, or of the caller itself.

use serde::Deserialize;
use serde_json::{Value, json};
use strata_platform::access::{AssumeRole, Issued};

use super::{fault, invalid};
use crate::operation::{Answer, Cx, refuse_members};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AssumeRoleRequest {
    role_arn: String,
    role_session_name: String,
    duration_seconds: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetSessionTokenRequest {
    duration_seconds: Option<u32>,
}

/// What AWS gives a session of the root user, however long it asked for.
const ROOT_SECONDS: u32 = 3600;

/// Issues credentials that act as a role.
pub async fn assume_role(cx: Cx, req: AssumeRoleRequest) -> Answer {
    // ExternalId is not among them: it only ever narrows who may assume the role.
    let narrower = "sessions of this cloud may do everything, and a narrower one cannot be had yet";
    refuse_members(
        &cx.call.document,
        &[
            ("Policy", narrower),
            ("PolicyArns", narrower),
            ("ProvidedContexts", "assume the role without them"),
            ("SerialNumber", "multi-factor devices are not known here"),
            ("SourceIdentity", "name the caller in RoleSessionName"),
            ("Tags", "session tags are not kept yet"),
            ("TokenCode", "multi-factor devices are not known here"),
            ("TransitiveTagKeys", "session tags are not kept yet"),
        ],
    )
    .map_err(|refused| invalid(refused.message))?;
    if !req.role_arn.starts_with("arn:") || req.role_arn.split(':').count() < 6 {
        return Err(invalid("Request ARN is invalid"));
    }
    let wish = AssumeRole {
        access_key: &cx.call.caller.access_key,
        role_arn: &req.role_arn,
        session_name: &req.role_session_name,
        seconds: req.duration_seconds,
    };
    let issued = cx.platform.access.assume_role(&wish).await.map_err(fault)?;
    let principal = &issued.credential.principal;
    Ok(json!({
        "Credentials": credentials(&issued),
        "AssumedRoleUser": { "Arn": principal.arn, "AssumedRoleId": principal.user_id },
    })
    .into())
}

/// Issues temporary credentials for the caller itself.
pub async fn get_session_token(cx: Cx, req: GetSessionTokenRequest) -> Answer {
    let devices = "multi-factor devices are not known here";
    refuse_members(&cx.call.document, &[("SerialNumber", devices), ("TokenCode", devices)])
        .map_err(|refused| invalid(refused.message))?;
    // Every lasting key is the root user's.
    let seconds = req.duration_seconds.unwrap_or(ROOT_SECONDS).min(ROOT_SECONDS);
    let issued = cx.platform.access.session_token(&cx.call.caller.access_key, seconds);
    let issued = issued.await.map_err(fault)?;
    Ok(json!({ "Credentials": credentials(&issued) }).into())
}

fn credentials(issued: &Issued) -> Value {
    json!({
        "AccessKeyId": issued.credential.principal.access_key,
        "SecretAccessKey": issued.credential.secret,
        "SessionToken": issued.session_token,
        "Expiration": issued.expires.seconds(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::sts::operations;
    use crate::testing::{TestCloud, masked};

    const ROLE: &str = "arn:aws:iam::123456789012:role/strata";

    #[tokio::test]
    async fn a_role_is_assumed() {
        let cloud = TestCloud::new(operations()).await;
        let reply =
            cloud.call("AssumeRole", json!({"RoleArn": ROLE, "RoleSessionName": "me"})).await.unwrap();
        let key = reply["Credentials"]["AccessKeyId"].as_str().unwrap().to_string();
        let who = cloud.call_as(&key, "GetCallerIdentity", json!({})).await.unwrap();
        assert_eq!(who["Arn"], "arn:aws:sts::123456789012:assumed-role/strata/me");
        assert_eq!(who["UserId"], reply["AssumedRoleUser"]["AssumedRoleId"]);
        let changing = ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration", "AssumedRoleId"];
        insta::assert_json_snapshot!(masked(reply, &changing), @r#"
        {
          "AssumedRoleUser": {
            "Arn": "arn:aws:sts::123456789012:assumed-role/strata/me",
            "AssumedRoleId": "<AssumedRoleId>"
          },
          "Credentials": {
            "AccessKeyId": "<AccessKeyId>",
            "Expiration": "<Expiration>",
            "SecretAccessKey": "<SecretAccessKey>",
            "SessionToken": "<SessionToken>"
          }
        }
        "#);
        let again = cloud.call_as(&key, "GetSessionToken", json!({})).await.unwrap_err();
        assert_eq!((again.status, again.code.as_str()), (403, "AccessDenied"));
    }

    #[tokio::test]
    async fn what_is_not_honoured_is_refused() {
        let cloud = TestCloud::new(operations()).await;
        let ask = |more: serde_json::Value| {
            let mut document = json!({"RoleArn": ROLE, "RoleSessionName": "me"});
            document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            document
        };
        let mut said = Vec::new();
        for more in [
            json!({"RoleArn": "arn:aws:iam::123456789012:role/other"}),
            json!({"RoleArn": "a-text-that-is-no-arn"}),
            json!({"Policy": "{}"}),
            json!({"Tags": [{"Key": "a", "Value": "b"}]}),
            json!({"TokenCode": "123456"}),
        ] {
            said.push(cloud.fault("AssumeRole", ask(more)).await);
        }
        insta::assert_json_snapshot!(said, @r#"
        [
          "AccessDenied: User: arn:aws:iam::123456789012:root is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::123456789012:role/other",
          "ValidationError: Request ARN is invalid",
          "ValidationError: Policy is not honoured by this cloud: sessions of this cloud may do everything, and a narrower one cannot be had yet",
          "ValidationError: Tags is not honoured by this cloud: session tags are not kept yet",
          "ValidationError: TokenCode is not honoured by this cloud: multi-factor devices are not known here"
        ]
        "#);
        let empty = ask(json!({"Tags": [], "ExternalId": "abc"}));
        assert!(cloud.call("AssumeRole", empty).await.is_ok());
    }

    #[tokio::test]
    async fn a_root_session_lasts_an_hour_at_most() {
        let cloud = TestCloud::new(operations()).await;
        let reply = cloud.call("GetSessionToken", json!({"DurationSeconds": 129_600})).await.unwrap();
        let left =
            reply["Credentials"]["Expiration"].as_f64().unwrap() - strata_base::Timestamp::now().seconds();
        assert!((3500.0..=3600.0).contains(&left), "{left}");
    }
}
