//! A platform over a temporary folder, for tests that call operations directly.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use strata_base::compute::Compute;
use strata_base::doubles::{MemoryObjects, NoCompute};
use strata_base::memory::MemoryMetadata;
use strata_base::{Cloud, Timestamp};
use strata_platform::access::RootKey;
use strata_platform::{Platform, Ports};
use strata_store::{Database, SqliteLogs, SqliteMetrics};
use strata_wire::{Call, Caller, Fault, Service};

use crate::operation::Operations;

/// The root key of every test cloud.
pub const ROOT: &str = "AKIATESTTESTTESTTEST";

/// A fresh cloud with one service; its folder goes with it.
pub struct TestCloud {
    pub platform: Arc<Platform>,
    service: Service,
    _folder: tempfile::TempDir,
}

impl TestCloud {
    pub async fn new(operations: Operations) -> Self {
        Self::with(operations, Arc::new(NoCompute), "strata".into()).await
    }

    /// A cloud that can run `program`.
    pub async fn with(operations: Operations, compute: Arc<dyn Compute>, program: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path()).await.unwrap();
        let platform = Arc::new(Platform::new(Ports {
            cloud: Cloud::default(),
            metadata: Arc::new(MemoryMetadata::default()),
            objects: Arc::new(MemoryObjects::default()),
            logs: Arc::new(SqliteLogs::new(database.clone())),
            metrics: Arc::new(SqliteMetrics::new(database)),
            compute,
            work: folder.path().join("work"),
            program,
        }));
        platform.access.open(&RootKey::given(ROOT, "not-a-secret").unwrap()).await.unwrap();
        Self { service: operations.bind(&platform), platform, _folder: folder }
    }

    /// Calls an operation as the root user.
    pub async fn call(&self, operation: &'static str, document: Value) -> Result<Value, Fault> {
        self.call_as(ROOT, operation, document).await
    }

    /// Calls an operation in the name of a key.
    pub async fn call_as(
        &self,
        access_key: &str,
        operation: &'static str,
        document: Value,
    ) -> Result<Value, Fault> {
        let credential = self.platform.access.find(access_key).expect("the key is known");
        let caller = Caller {
            access_key: access_key.into(),
            arn: credential.principal.arn.clone(),
            user_id: credential.principal.user_id.clone(),
            account: credential.principal.account.clone(),
        };
        let call = Call {
            service: self.service.name,
            operation,
            caller,
            request_id: "00000000-0000-4000-8000-000000000000".into(),
            region: "us-east-1".into(),
            document,
            payload: Default::default(),
            headers: Default::default(),
        };
        let entry = self.service.operations.get(operation).expect("the operation is listed");
        let handler = entry.handler.as_ref().expect("the operation has a handler");
        handler(call).await.map(|reply| reply.document)
    }

    /// What a call that must fail says: `code: message`.
    pub async fn fault(&self, operation: &'static str, document: Value) -> String {
        match self.call(operation, document.clone()).await {
            Ok(reply) => panic!("{operation} of {document} was answered: {reply}"),
            Err(fault) => fault.to_string(),
        }
    }
}

/// Replaces members whose values differ from run to run by their name.
pub fn masked(mut document: Value, members: &[&str]) -> Value {
    match &mut document {
        Value::Object(map) => {
            for (member, value) in map.iter_mut() {
                *value = match members.contains(&member.as_str()) {
                    true => json!(format!("<{member}>")),
                    false => masked(value.take(), members),
                };
            }
        }
        Value::Array(items) => {
            for item in items.iter_mut() {
                *item = masked(item.take(), members);
            }
        }
        _ => (),
    }
    document
}

/// The present moment in seconds, whole minutes.
pub fn this_minute() -> i64 {
    Timestamp::now().0 / 60_000 * 60
}
