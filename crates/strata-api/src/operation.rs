//! How an operation is written and listed.
//!
//! ```ignore
//! /// Starts a training job and returns at once.
//! pub async fn create(cx: Cx, req: CreateTrainingJob) -> Answer { ... }
//!
//! Operations::new("sagemaker")
//!     .real("CreateTrainingJob", training_job::create)
//!     .refused("CreateAutoMLJob", "train with a built-in algorithm instead")
//! ```

use std::future::Future;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use strata_platform::Platform;
use strata_wire::{Call, Fault, Handler, Label, Reply, Service};

/// What an operation may reach: the platform, and the call with its whole document.
#[derive(Clone)]
pub struct Cx {
    pub platform: Arc<Platform>,
    pub call: Arc<Call>,
}

/// What an operation returns: a document (or a document with a payload), or a fault.
pub type Answer = Result<Reply, Fault>;

/// The list of a service's operations, each with its label in the fidelity ledger.
pub struct Operations {
    service: Service,
    listed: Vec<Listed>,
}

struct Listed {
    name: &'static str,
    label: Label,
    /// Makes the handler once there is a platform; none for what is refused.
    bind: Option<Bind>,
}

type Bind = Box<dyn FnOnce(Arc<Platform>) -> Handler>;

impl Operations {
    pub fn new(service: &'static str) -> Self {
        Self { service: Service::new(service), listed: Vec::new() }
    }

    /// Bytes that a request's body may have, where the door's own bound is too small.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.service.max_body = bytes;
        self
    }

    /// An operation that does what AWS documents.
    pub fn real<Req, Fut>(self, name: &'static str, run: fn(Cx, Req) -> Fut) -> Self
    where
        Req: DeserializeOwned + Send + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        self.listed(name, Label::Real, Some(handler(run)))
    }

    /// An operation that does it, but for what `lacks` says (one sentence).
    pub fn partial<Req, Fut>(self, name: &'static str, lacks: &str, run: fn(Cx, Req) -> Fut) -> Self
    where
        Req: DeserializeOwned + Send + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        self.listed(name, Label::Partial(lacks.into()), Some(handler(run)))
    }

    /// An operation that is not done here; the sentence names what to do instead. Operations
    /// that are not listed at all are refused with a general sentence.
    pub fn refused(self, name: &'static str, instead: &str) -> Self {
        self.listed(name, Label::Refused(instead.into()), None)
    }

    /// The service with its handlers, at work on this platform.
    pub fn bind(self, platform: &Arc<Platform>) -> Service {
        let mut service = self.service;
        for Listed { name, label, bind } in self.listed {
            service.insert(name, label, bind.map(|bind| bind(platform.clone())));
        }
        service
    }

    /// The service with its labels alone, for the ledger.
    pub fn labels(self) -> Service {
        let mut service = self.service;
        for Listed { name, label, .. } in self.listed {
            service.insert(name, label, None);
        }
        service
    }

    fn listed(mut self, name: &'static str, label: Label, bind: Option<Bind>) -> Self {
        self.listed.push(Listed { name, label, bind });
        self
    }
}

fn handler<Req, Fut>(run: fn(Cx, Req) -> Fut) -> Bind
where
    Req: DeserializeOwned + Send + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    Box::new(move |platform| {
        Arc::new(move |call: Call| {
            let platform = platform.clone();
            Box::pin(async move {
                let request = Req::deserialize(&call.document)
                    .map_err(|cause| Fault::new(400, "SerializationException", cause.to_string()))?;
                run(Cx { platform, call: Arc::new(call) }, request).await
            })
        })
    })
}

/// Refuses members that would change the result but are not honoured: `(member, sentence)`.
/// Absent, null, `false` and empty members pass, since they ask for nothing.
pub fn refuse_members(document: &Value, members: &[(&str, &str)]) -> Result<(), Fault> {
    for (member, sentence) in members {
        if document.get(member).is_some_and(is_asked) {
            return Err(Fault::validation(format!("{member} is not honoured by this cloud: {sentence}")));
        }
    }
    Ok(())
}

/// Whether the value of a member asks for anything.
pub fn is_asked(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    }
}
