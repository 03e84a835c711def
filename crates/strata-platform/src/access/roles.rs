//! Roles: names with a trust policy that jobs and sessions go by.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strata_base::Timestamp;
use strata_base::metadata::{ListQuery, MetadataError, Record, SortBy};

use super::{Access, AccessError, key};

const KIND: &str = "role";
/// AWS's quota.
const MOST_ROLES: usize = 1000;
/// What a new cloud has, so that the role ARNs of notebooks and examples work.
const DEFAULT_ROLES: [&str; 2] = ["SageMakerRole", "strata"];

#[derive(Clone, Debug, PartialEq)]
pub struct Role {
    pub name: String,
    /// `/` or `/some/path/`.
    pub path: String,
    pub arn: String,
    /// `AROA...`
    pub id: String,
    pub created: Timestamp,
    /// JSON, as it was given.
    pub trust_policy: String,
    pub description: Option<String>,
    /// Seconds.
    pub max_session: u32,
    pub tags: Vec<(String, String)>,
}

/// What a role is made from; kept whole as the record's document.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewRole {
    pub name: String,
    pub path: String,
    pub trust_policy: String,
    pub description: Option<String>,
    pub max_session: u32,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
}

impl Access {
    pub async fn create_role(&self, role: NewRole) -> Result<Role, AccessError> {
        check_trust_policy(&role.trust_policy)?;
        if self.roles("/").await?.len() >= MOST_ROLES {
            return Err(AccessError::TooManyRoles(MOST_ROLES));
        }
        let arn = format!("arn:aws:iam::{}:role{}{}", self.cloud.account, role.path, role.name);
        let document = serde_json::to_value(&role).map_err(|cause| broken(&role.name, &cause))?;
        let state = json!({ "id": key::access_key("AROA") });
        let record = Record::new(KIND, &record_name(&role.name), arn, "Active", document, state);
        match self.metadata.create(&record, None).await {
            Ok(()) => role_of(record),
            Err(MetadataError::Exists { .. }) => Err(AccessError::RoleExists(role.name)),
            Err(other) => Err(other.into()),
        }
    }

    pub async fn role(&self, name: &str) -> Result<Role, AccessError> {
        let record = self.metadata.get(KIND, &record_name(name)).await?;
        let role = record.map(role_of).transpose()?.filter(|role| role.name == name);
        role.ok_or_else(|| AccessError::NoRole(name.into()))
    }

    /// The role of `arn:aws:iam::ACCOUNT:role/PATH/NAME`; `NoRole` also for what is no such ARN.
    pub async fn role_by_arn(&self, arn: &str) -> Result<Role, AccessError> {
        let name = arn.rsplit('/').next().unwrap_or(arn);
        let role = self.role(name).await?;
        if role.arn == arn { Ok(role) } else { Err(AccessError::NoRole(name.into())) }
    }

    /// Roles whose path starts with `path`, in order of name.
    pub async fn roles(&self, path: &str) -> Result<Vec<Role>, AccessError> {
        let query = ListQuery { kind: KIND.into(), sort_by: SortBy::Name, ..ListQuery::default() };
        let records = self.metadata.list(&query).await?.records;
        let mut roles = records.into_iter().map(role_of).collect::<Result<Vec<_>, _>>()?;
        roles.retain(|role| role.path.starts_with(path));
        Ok(roles)
    }

    /// Removes the role; what was issued for it stops working at once.
    pub async fn delete_role(&self, name: &str) -> Result<(), AccessError> {
        let role = self.role(name).await?;
        match self.metadata.delete(KIND, &record_name(name), None).await {
            Ok(()) => self.end_sessions_of(&role).await,
            Err(MetadataError::Missing { .. }) => Err(AccessError::NoRole(name.into())),
            Err(other) => Err(other.into()),
        }
    }

    /// Only a cloud without any role gets them: who deleted one does not want it back.
    pub(super) async fn make_default_roles(&self) -> Result<(), AccessError> {
        if !self.roles("/").await?.is_empty() {
            return Ok(());
        }
        for name in DEFAULT_ROLES {
            let made = self.create_role(NewRole {
                name: name.into(),
                path: "/".into(),
                trust_policy: default_trust_policy(&self.cloud.account),
                description: Some("Made with this cloud: for jobs, models and sessions.".into()),
                max_session: 43_200,
                tags: Vec::new(),
            });
            made.await?;
        }
        Ok(())
    }
}

/// SageMaker may assume the role, and so may the account. SDKs look for the first.
fn default_trust_policy(account: &str) -> String {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {
                "AWS": format!("arn:aws:iam::{account}:root"),
                "Service": "sagemaker.amazonaws.com",
            },
            "Action": "sts:AssumeRole",
        }],
    })
    .to_string()
}

/// The form only: each statement says whom it allows or denies what. Nothing evaluates it yet.
fn check_trust_policy(text: &str) -> Result<(), AccessError> {
    let wrong = |what: &str| Err(AccessError::TrustPolicy(what.into()));
    let Ok(policy) = serde_json::from_str::<Value>(text) else {
        return wrong("This policy contains invalid Json");
    };
    let statements = match policy.get("Statement") {
        Some(Value::Array(statements)) if !statements.is_empty() => statements.as_slice(),
        Some(statement @ Value::Object(_)) => std::slice::from_ref(statement),
        _ => return wrong("Syntax errors in policy."),
    };
    for statement in statements {
        let has = |member: &str| statement.get(member).is_some();
        if !matches!(statement.get("Effect").and_then(Value::as_str), Some("Allow" | "Deny")) {
            return wrong("Syntax errors in policy.");
        }
        if has("Resource") || has("NotResource") {
            return wrong("Has prohibited field Resource");
        }
        if !has("Principal") && !has("NotPrincipal") {
            return wrong("Missing required field Principal");
        }
        if !has("Action") && !has("NotAction") {
            return wrong("Missing required field Action");
        }
    }
    Ok(())
}

/// IAM does not tell names apart by case alone.
fn record_name(role: &str) -> String {
    role.to_ascii_lowercase()
}

fn role_of(record: Record) -> Result<Role, AccessError> {
    #[derive(Deserialize)]
    struct State {
        id: String,
    }
    let made: NewRole =
        serde_json::from_value(record.document).map_err(|cause| broken(&record.name, &cause))?;
    let state: State = serde_json::from_value(record.state).map_err(|cause| broken(&record.name, &cause))?;
    Ok(Role {
        name: made.name,
        path: made.path,
        arn: record.arn,
        id: state.id,
        created: record.created,
        trust_policy: made.trust_policy,
        description: made.description,
        max_session: made.max_session,
        tags: made.tags,
    })
}

fn broken(name: &str, cause: &serde_json::Error) -> AccessError {
    MetadataError::Store(format!("record of role {name:?}: {cause}")).into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use strata_base::Cloud;
    use strata_base::memory::MemoryMetadata;

    use super::*;
    use crate::access::RootKey;

    async fn access() -> Access {
        let access = Access::over(Cloud::default(), Arc::new(MemoryMetadata::default()));
        access.open(&RootKey::random()).await.unwrap();
        access
    }

    fn named(name: &str, path: &str) -> NewRole {
        NewRole {
            name: name.into(),
            path: path.into(),
            trust_policy: default_trust_policy("123456789012"),
            description: None,
            max_session: 3600,
            tags: vec![],
        }
    }

    #[tokio::test]
    async fn a_new_cloud_has_roles_and_keeps_what_was_decided() {
        let access = access().await;
        let names = |roles: Vec<Role>| roles.into_iter().map(|role| role.name).collect::<Vec<_>>();
        assert_eq!(names(access.roles("/").await.unwrap()), ["SageMakerRole", "strata"]);
        let role = access.role("strata").await.unwrap();
        assert_eq!(role.arn, "arn:aws:iam::123456789012:role/strata");
        assert!(role.trust_policy.contains("sagemaker.amazonaws.com"));
        access.delete_role("strata").await.unwrap();
        access.open(&RootKey::random()).await.unwrap();
        assert_eq!(names(access.roles("/").await.unwrap()), ["SageMakerRole"]);
    }

    #[tokio::test]
    async fn roles_come_and_go() {
        let access = access().await;
        let made = access.create_role(named("Exec", "/service-role/")).await.unwrap();
        assert_eq!(made.arn, "arn:aws:iam::123456789012:role/service-role/Exec");
        assert_eq!(access.role("Exec").await.unwrap(), made);
        assert_eq!(access.role_by_arn(&made.arn).await.unwrap(), made);
        assert_eq!(access.roles("/service-role/").await.unwrap(), [made]);
        for wrong in ["exec", "Other"] {
            assert!(matches!(access.role(wrong).await, Err(AccessError::NoRole(_))), "{wrong}");
        }
        let other_path = "arn:aws:iam::123456789012:role/Exec";
        assert!(matches!(access.role_by_arn(other_path).await, Err(AccessError::NoRole(_))));
        assert!(matches!(access.create_role(named("EXEC", "/")).await, Err(AccessError::RoleExists(_))));
        access.delete_role("Exec").await.unwrap();
        assert!(matches!(access.delete_role("Exec").await, Err(AccessError::NoRole(_))));
    }

    #[test]
    fn trust_policies_have_a_form() {
        assert!(check_trust_policy(&default_trust_policy("1")).is_ok());
        let one = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}"#;
        assert!(check_trust_policy(one).is_ok());
        for (text, says) in [
            ("{", "invalid Json"),
            ("{}", "Syntax"),
            (r#"{"Statement":[]}"#, "Syntax"),
            (r#"{"Statement":[1]}"#, "Syntax"),
            (r#"{"Statement":{"Effect":"Allow","Action":"*"}}"#, "Principal"),
            (r#"{"Statement":{"Effect":"Allow","Principal":"*"}}"#, "Action"),
            (r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}"#, "Resource"),
        ] {
            let error = check_trust_policy(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
