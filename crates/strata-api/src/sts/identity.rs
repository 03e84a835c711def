//! Who is calling.

use serde_json::{Value, json};

use crate::operation::{Answer, Cx};

/// Tells whose key signed the call.
pub async fn get_caller_identity(cx: Cx, _: Value) -> Answer {
    let caller = &cx.call.caller;
    Ok(json!({ "Account": caller.account, "Arn": caller.arn, "UserId": caller.user_id }).into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::sts::operations;
    use crate::testing::TestCloud;

    #[tokio::test]
    async fn root_is_the_account() {
        let cloud = TestCloud::new(operations()).await;
        insta::assert_json_snapshot!(cloud.call("GetCallerIdentity", json!({})).await.unwrap(), @r#"
        {
          "Account": "123456789012",
          "Arn": "arn:aws:iam::123456789012:root",
          "UserId": "123456789012"
        }
        "#);
    }
}
