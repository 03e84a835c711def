//! The platform's keys as the doors want them: for SigV4 and for S3.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use strata_base::Timestamp;
use strata_platform::access::{self, Access};
use strata_s3::{KeyFault, S3Key, S3Keys};
use strata_wire::Caller;
use strata_wire::sigv4::{Credential, Keyring};

/// The keys that the platform knows.
pub struct Keys {
    access: Arc<Access>,
    /// Each key as the door knows it, beside the platform's key it was made from: the door
    /// caches what it derives by the identity of its own.
    translated: ArcSwap<HashMap<String, Translated>>,
}

#[derive(Clone)]
struct Translated {
    from: Arc<access::Credential>,
    to: Arc<Credential>,
}

impl Keys {
    pub fn new(access: Arc<Access>) -> Self {
        Self { access, translated: ArcSwap::default() }
    }

    fn translate(&self, from: Arc<access::Credential>) -> Arc<Credential> {
        let principal = &from.principal;
        let to = Arc::new(Credential {
            secret: from.secret.clone(),
            session_token: from.session_token.clone(),
            caller: Arc::new(Caller {
                access_key: principal.access_key.clone(),
                arn: principal.arn.clone(),
                user_id: principal.user_id.clone(),
                account: principal.account.clone(),
            }),
            expires: from.expires,
        });
        let new = Translated { from: from.clone(), to: to.clone() };
        self.translated.rcu(|known| {
            let mut known = HashMap::clone(known);
            // What the platform forgot meanwhile goes here too.
            known.retain(|key, _| self.access.find(key).is_some());
            known.insert(principal.access_key.clone(), new.clone());
            known
        });
        to
    }
}

impl Keyring for Keys {
    fn find(&self, access_key: &str) -> Option<Arc<Credential>> {
        let from = self.access.find(access_key)?;
        if let Some(known) = self.translated.load().get(access_key)
            && Arc::ptr_eq(&known.from, &from)
        {
            return Some(known.to.clone());
        }
        Some(self.translate(from))
    }
}

#[async_trait]
impl S3Keys for Keys {
    async fn find(&self, access_key: &str) -> Result<S3Key, KeyFault> {
        let credential = self.access.find(access_key).ok_or(KeyFault::Unknown)?;
        if credential.expired(Timestamp::now()) {
            return Err(KeyFault::Expired);
        }
        Ok(S3Key { secret: credential.secret.clone(), token: credential.session_token.clone() })
    }
}
