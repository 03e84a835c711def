//! A service as the door sees it: a model, and for each operation a label and,
//! where it does anything, a handler.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::{Call, Fault, Reply};

pub type Handler = Arc<dyn Fn(Call) -> BoxFuture<'static, Result<Reply, Fault>> + Send + Sync>;

/// How far an operation keeps AWS's promise: the fidelity ledger's word for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label {
    /// Does what AWS documents.
    Real,
    /// Does it, but for what the sentence says.
    Partial(String),
    /// Does nothing and says so; the sentence names what to do instead.
    Refused(String),
}

pub struct Entry {
    pub label: Label,
    /// `None` for refused operations, and for those that a raw route serves.
    pub handler: Option<Handler>,
}

/// One service: its model's name (a file in `apis/`) and its operations.
pub struct Service {
    pub name: &'static str,
    pub operations: BTreeMap<&'static str, Entry>,
    /// Bytes that a request's body may have. Operations whose model has a member that may be
    /// longer get room for it on top.
    pub max_body: usize,
}

impl Service {
    pub fn new(name: &'static str) -> Self {
        Self { name, operations: BTreeMap::new(), max_body: 1 << 20 }
    }

    pub fn insert(&mut self, operation: &'static str, label: Label, handler: Option<Handler>) {
        let before = self.operations.insert(operation, Entry { label, handler });
        debug_assert!(before.is_none(), "{operation} is listed twice");
    }
}
