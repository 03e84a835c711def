//! What goes wrong at the edge: AWS's error code and sentence with a status.

use serde_json::{Map, Value};

/// An error as the caller sees it. The codec of the protocol writes it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Fault {
    pub status: u16,
    /// AWS's code, e.g. `ValidationException`.
    pub code: String,
    pub message: String,
    /// Further members of the error shape, e.g. `OriginalStatusCode` of a ModelError.
    pub members: Map<String, Value>,
}

impl Fault {
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), members: Map::new() }
    }

    /// 400 `ValidationException`: the request breaks a rule of the service.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new(400, "ValidationException", message)
    }

    /// 501-like refusal: real in AWS, not done here. AWS has no such code for most services;
    /// 400 keeps SDKs from retrying.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(400, "NotImplementedException", message)
    }

    /// 500 `InternalFailure`; the cause goes to the log, not to the caller.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "internal failure");
        Self::new(500, "InternalFailure", "The request processing has failed because of an unknown error.")
    }

    /// The fault as a REST-JSON answer, for routes that write their own HTTP.
    pub fn rest_json(&self) -> crate::Response {
        crate::protocol::rest_json::fault(None, self)
    }

    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.into(), value.into());
        self
    }
}
