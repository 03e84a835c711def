//! Access: who may call. The root key pair, the temporary credentials that were issued, and
//! the roles that can be assumed.
//!
//! In this version every valid key may do everything: policies are kept where AWS keeps them,
//! but not evaluated.

mod key;
mod roles;
mod sessions;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use strata_base::metadata::{Metadata, MetadataError};
use strata_base::{Cloud, Timestamp};

use crate::Ports;

pub use key::{KeyError, RootKey};
pub use roles::{NewRole, Role};
pub use sessions::{AssumeRole, Issued};

/// Keys, sessions and roles of one cloud.
pub struct Access {
    cloud: Cloud,
    metadata: Arc<dyn Metadata>,
    /// Every key that is known, by its id: the door looks here for each request, so it is in
    /// memory and nobody waits. What it holds is also in the metadata, but for the root key.
    credentials: ArcSwap<HashMap<String, Arc<Credential>>>,
}

/// One key with its secret and who it stands for.
#[derive(Clone, PartialEq)]
pub struct Credential {
    pub secret: String,
    /// Must come with each request that is signed with a temporary key.
    pub session_token: Option<String>,
    pub principal: Principal,
    /// `None`: never. Expired keys stay known for a while, so that the door can say so.
    pub expires: Option<Timestamp>,
}

/// Who a key stands for, in the words of GetCallerIdentity.
#[derive(Clone, Debug, PartialEq)]
pub struct Principal {
    pub access_key: String,
    pub arn: String,
    pub user_id: String,
    pub account: String,
}

#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("role {0:?} does not exist")]
    NoRole(String),
    #[error("role {0:?} exists already")]
    RoleExists(String),
    #[error("there are {0} roles already: delete one first")]
    TooManyRoles(usize),
    #[error("trust policy: {0}")]
    TrustPolicy(String),
    /// The role is not there or not ours: AWS does not tell which.
    #[error("{caller} may not assume {role}")]
    NotAssumable { caller: String, role: String },
    #[error("a session of {0} s is longer than the role's MaxSessionDuration, {1} s")]
    TooLong(u32, u32),
    #[error("a session of {0} s is longer than a role assumed by a role may have, {1} s")]
    TooLongForChain(u32, u32),
    #[error("a temporary key cannot ask for a session token")]
    SessionFromSession,
    #[error("there are {0} live temporary keys already: wait until some expire")]
    TooManySessions(usize),
    #[error(transparent)]
    Metadata(#[from] MetadataError),
}

impl Access {
    pub fn new(ports: Arc<Ports>) -> Self {
        Self::over(ports.cloud.clone(), ports.metadata.clone())
    }

    /// Access that needs nothing but these.
    pub fn over(cloud: Cloud, metadata: Arc<dyn Metadata>) -> Self {
        Self { cloud, metadata, credentials: ArcSwap::default() }
    }

    /// To be called once at start: from here on the root key and the sessions that have not
    /// expired are known. Makes the default roles of a new cloud.
    pub async fn open(&self, root: &RootKey) -> Result<(), AccessError> {
        let account = &self.cloud.account;
        let root = Credential {
            secret: root.secret_access_key.clone(),
            session_token: None,
            principal: Principal {
                access_key: root.access_key_id.clone(),
                arn: format!("arn:aws:iam::{account}:root"),
                user_id: account.clone(),
                account: account.clone(),
            },
            expires: None,
        };
        self.keep([root]);
        self.load_sessions().await?;
        self.make_default_roles().await
    }

    /// The credential of a key, also for a while after it expired.
    pub fn find(&self, access_key: &str) -> Option<Arc<Credential>> {
        self.credentials.load().get(access_key).cloned()
    }

    fn keep(&self, new: impl IntoIterator<Item = Credential>) {
        let new: Vec<Arc<Credential>> = new.into_iter().map(Arc::new).collect();
        self.credentials.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.extend(new.iter().map(|one| (one.principal.access_key.clone(), one.clone())));
            known
        });
    }

    fn forget(&self, access_keys: &HashSet<String>) {
        self.credentials.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.retain(|access_key, _| !access_keys.contains(access_key));
            known
        });
    }
}

impl Credential {
    pub fn expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

impl fmt::Debug for Credential {
    /// Secrets stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("principal", &self.principal)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}
