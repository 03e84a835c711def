//! Temporary credentials: issued for a role or for the caller itself, kept over a restart,
//! forgotten some time after they expire.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::json;
use strata_base::Timestamp;
use strata_base::metadata::{ListQuery, MetadataError, Record};

use super::{Access, AccessError, Credential, Principal, Role, key};

const KIND: &str = "session";
/// Bounds memory and the cost of issuing one more. SDKs ask for one a process and keep it.
const MOST_SESSIONS: usize = 10_000;
/// An expired key is known so long that a client learns `ExpiredToken` rather than that its
/// key never existed.
const REMEMBERED_MS: i64 = 3_600_000;
/// AWS's bound on sessions of a role that was assumed by a session of another.
const CHAINED_SECONDS: u32 = 3600;
const DEFAULT_SECONDS: u32 = 3600;

/// A wish for a session of a role. The door has checked the session's name.
#[derive(Clone, Debug)]
pub struct AssumeRole<'a> {
    /// The key that asks.
    pub access_key: &'a str,
    pub role_arn: &'a str,
    pub session_name: &'a str,
    /// 3600 where not given.
    pub seconds: Option<u32>,
}

/// What was issued, and in whose name.
#[derive(Clone, Debug, PartialEq)]
pub struct Issued {
    pub credential: Credential,
    pub session_token: String,
    pub expires: Timestamp,
}

/// What the record of a session knows. In the data folder, as the root key is.
#[derive(Serialize, Deserialize)]
struct State {
    secret: String,
    session_token: String,
    arn: String,
    user_id: String,
    expires: Timestamp,
}

impl Access {
    /// Issues credentials of a role. Every known key may assume every role of the account.
    pub async fn assume_role(&self, wish: &AssumeRole<'_>) -> Result<Issued, AccessError> {
        let caller = self.find(wish.access_key);
        let role = match self.role_by_arn(wish.role_arn).await {
            Ok(role) => role,
            Err(AccessError::NoRole(_)) => {
                let caller = caller.map(|caller| caller.principal.arn.clone()).unwrap_or_default();
                return Err(AccessError::NotAssumable { caller, role: wish.role_arn.into() });
            }
            Err(other) => return Err(other),
        };
        let seconds = wish.seconds.unwrap_or(DEFAULT_SECONDS);
        let chained = caller.is_some_and(|caller| caller.principal.arn.contains(":assumed-role/"));
        if chained && seconds > CHAINED_SECONDS {
            return Err(AccessError::TooLongForChain(seconds, CHAINED_SECONDS));
        }
        if seconds > role.max_session {
            return Err(AccessError::TooLong(seconds, role.max_session));
        }
        let account = &self.cloud.account;
        let arn = format!("arn:aws:sts::{account}:assumed-role/{}/{}", role.name, wish.session_name);
        self.issue(arn, format!("{}:{}", role.id, wish.session_name), seconds).await
    }

    /// Issues a temporary key for the caller itself, which must hold a lasting one.
    pub async fn session_token(&self, access_key: &str, seconds: u32) -> Result<Issued, AccessError> {
        let caller = self.find(access_key).filter(|caller| caller.session_token.is_none());
        let Some(caller) = caller else { return Err(AccessError::SessionFromSession) };
        let Principal { arn, user_id, .. } = caller.principal.clone();
        self.issue(arn, user_id, seconds).await
    }

    /// On disk first, then in memory: what was answered survives a crash.
    async fn issue(&self, arn: String, user_id: String, seconds: u32) -> Result<Issued, AccessError> {
        let now = Timestamp::now();
        self.purge(now).await?;
        let live = self.credentials.load().values().filter(|one| !one.expired(now)).count();
        if live > MOST_SESSIONS {
            return Err(AccessError::TooManySessions(MOST_SESSIONS));
        }
        let access_key = key::access_key("ASIA");
        let state = State {
            secret: key::secret(),
            session_token: key::session_token(),
            arn: arn.clone(),
            user_id,
            // Whole seconds, as AWS gives it.
            expires: Timestamp(now.0 / 1000 * 1000 + i64::from(seconds) * 1000),
        };
        let stored = serde_json::to_value(&state).map_err(|cause| broken(&access_key, &cause))?;
        let record = Record::new(KIND, &access_key, arn, "Active", json!({}), stored);
        self.metadata.create(&record, None).await?;
        let (session_token, expires) = (state.session_token.clone(), state.expires);
        let credential = self.credential(access_key, state);
        self.keep([credential.clone()]);
        Ok(Issued { credential, session_token, expires })
    }

    pub(super) async fn load_sessions(&self) -> Result<(), AccessError> {
        let query = ListQuery { kind: KIND.into(), ..ListQuery::default() };
        let mut known = Vec::new();
        for record in self.metadata.list(&query).await?.records {
            let state = serde_json::from_value(record.state).map_err(|cause| broken(&record.name, &cause))?;
            known.push(self.credential(record.name, state));
        }
        self.keep(known);
        // A crash may have come between the end of a role and the end of its sessions.
        let roles: HashSet<String> = self.roles("/").await?.into_iter().map(|role| role.id).collect();
        let orphan = |one: &Credential| match one.principal.user_id.split_once(':') {
            Some((role, _)) => !roles.contains(role),
            None => false,
        };
        self.end_sessions(orphan).await?;
        self.purge(Timestamp::now()).await
    }

    /// Forgets what expired long enough ago.
    async fn purge(&self, now: Timestamp) -> Result<(), AccessError> {
        self.end_sessions(|one| one.expired(Timestamp(now.0 - REMEMBERED_MS))).await
    }

    pub(super) async fn end_sessions_of(&self, role: &Role) -> Result<(), AccessError> {
        let prefix = format!("{}:", role.id);
        self.end_sessions(|one| one.principal.user_id.starts_with(&prefix)).await
    }

    async fn end_sessions(&self, ends: impl Fn(&Credential) -> bool) -> Result<(), AccessError> {
        let keys: HashSet<String> = {
            let known = self.credentials.load();
            let ending = known.values().filter(|one| one.session_token.is_some() && ends(one));
            ending.map(|one| one.principal.access_key.clone()).collect()
        };
        if keys.is_empty() {
            return Ok(());
        }
        self.forget(&keys);
        for access_key in keys {
            match self.metadata.delete(KIND, &access_key, None).await {
                // Somebody else was quicker.
                Ok(()) | Err(MetadataError::Missing { .. }) => (),
                Err(other) => return Err(other.into()),
            }
        }
        Ok(())
    }

    fn credential(&self, access_key: String, state: State) -> Credential {
        Credential {
            secret: state.secret,
            session_token: Some(state.session_token),
            principal: Principal {
                access_key,
                arn: state.arn,
                user_id: state.user_id,
                account: self.cloud.account.clone(),
            },
            expires: Some(state.expires),
        }
    }
}

fn broken(access_key: &str, cause: &serde_json::Error) -> AccessError {
    MetadataError::Store(format!("record of temporary key {access_key:?}: {cause}")).into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use strata_base::Cloud;
    use strata_base::memory::MemoryMetadata;
    use strata_base::metadata::Metadata;

    use super::*;
    use crate::access::{NewRole, RootKey};

    const ROLE: &str = "arn:aws:iam::123456789012:role/strata";

    async fn access(metadata: &Arc<MemoryMetadata>) -> (Access, RootKey) {
        let access = Access::over(Cloud::default(), metadata.clone());
        let root = RootKey::given("AKIAROOT", "a root secret".replace(' ', "-").as_str()).unwrap();
        access.open(&root).await.unwrap();
        (access, root)
    }

    fn wish(access_key: &str, seconds: Option<u32>) -> AssumeRole<'_> {
        AssumeRole { access_key, role_arn: ROLE, session_name: "me", seconds }
    }

    #[tokio::test]
    async fn a_session_works_at_once_and_after_a_restart() {
        let metadata = Arc::new(MemoryMetadata::default());
        let (access, root) = access(&metadata).await;
        let before = Timestamp::now();
        let issued = access.assume_role(&wish(&root.access_key_id, None)).await.unwrap();
        let principal = &issued.credential.principal;
        assert!(principal.access_key.starts_with("ASIA"));
        assert_eq!(principal.arn, "arn:aws:sts::123456789012:assumed-role/strata/me");
        let role = access.role("strata").await.unwrap();
        assert_eq!(principal.user_id, format!("{}:me", role.id));
        assert!((issued.expires.0 - before.0 - 3_600_000).abs() < 60_000);
        assert_eq!(*access.find(&principal.access_key).unwrap(), issued.credential);
        let restarted = Access::over(Cloud::default(), metadata.clone());
        assert!(restarted.find(&principal.access_key).is_none());
        restarted.open(&root).await.unwrap();
        assert_eq!(*restarted.find(&principal.access_key).unwrap(), issued.credential);
    }

    #[tokio::test]
    async fn only_roles_that_exist_can_be_assumed() {
        let (access, root) = access(&Arc::default()).await;
        for role_arn in [
            "arn:aws:iam::123456789012:role/none",
            "arn:aws:iam::999999999999:role/strata",
            "arn:aws:iam::123456789012:user/strata",
            "strata",
        ] {
            let wish = AssumeRole { role_arn, ..wish(&root.access_key_id, None) };
            let error = access.assume_role(&wish).await.unwrap_err();
            assert!(matches!(error, AccessError::NotAssumable { .. }), "{role_arn}: {error}");
        }
    }

    #[tokio::test]
    async fn durations_have_bounds() {
        let (access, root) = access(&Arc::default()).await;
        let short = NewRole {
            name: "short".into(),
            path: "/".into(),
            trust_policy: access.role("strata").await.unwrap().trust_policy,
            description: None,
            max_session: 3600,
            tags: vec![],
        };
        let short = access.create_role(short).await.unwrap();
        let long = AssumeRole { role_arn: &short.arn, ..wish(&root.access_key_id, Some(3601)) };
        assert!(matches!(access.assume_role(&long).await, Err(AccessError::TooLong(3601, 3600))));
        let first = access.assume_role(&wish(&root.access_key_id, Some(43_200))).await.unwrap();
        let chained = wish(&first.credential.principal.access_key, Some(3601));
        assert!(matches!(access.assume_role(&chained).await, Err(AccessError::TooLongForChain(..))));
    }

    #[tokio::test]
    async fn session_tokens_are_for_lasting_keys() {
        let (access, root) = access(&Arc::default()).await;
        let issued = access.session_token(&root.access_key_id, 900).await.unwrap();
        assert_eq!(issued.credential.principal.arn, "arn:aws:iam::123456789012:root");
        let again = access.session_token(&issued.credential.principal.access_key, 900).await;
        assert!(matches!(again, Err(AccessError::SessionFromSession)));
    }

    #[tokio::test]
    async fn expired_sessions_are_known_for_a_while_and_then_gone() {
        let metadata = Arc::new(MemoryMetadata::default());
        let (access, root) = access(&metadata).await;
        let issued = access.assume_role(&wish(&root.access_key_id, Some(900))).await.unwrap();
        let key = &issued.credential.principal.access_key;
        access.purge(Timestamp(issued.expires.0 + REMEMBERED_MS - 1)).await.unwrap();
        assert!(access.find(key).unwrap().expired(issued.expires));
        access.purge(Timestamp(issued.expires.0 + REMEMBERED_MS)).await.unwrap();
        assert!(access.find(key).is_none());
        assert_eq!(metadata.get(KIND, key).await.unwrap(), None);
        assert!(access.find(&root.access_key_id).is_some());
    }

    #[tokio::test]
    async fn deleting_a_role_ends_its_sessions() {
        let (access, root) = access(&Arc::default()).await;
        let issued = access.assume_role(&wish(&root.access_key_id, None)).await.unwrap();
        let own = access.session_token(&root.access_key_id, 900).await.unwrap();
        access.delete_role("strata").await.unwrap();
        assert!(access.find(&issued.credential.principal.access_key).is_none());
        assert!(access.find(&own.credential.principal.access_key).is_some());
    }

    #[tokio::test]
    async fn a_session_does_not_outlive_its_role_over_a_crash() {
        let metadata = Arc::new(MemoryMetadata::default());
        let (access, root) = access(&metadata).await;
        let issued = access.assume_role(&wish(&root.access_key_id, None)).await.unwrap();
        metadata.delete("role", "strata", None).await.unwrap();
        let restarted = Access::over(Cloud::default(), metadata);
        restarted.open(&root).await.unwrap();
        assert!(restarted.find(&issued.credential.principal.access_key).is_none());
    }
}
