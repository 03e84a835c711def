//! The codecs: bytes to documents and back, one file a protocol. None knows an operation.

pub mod json;
pub mod query;
pub mod rest_json;
mod xml;

use http::{HeaderValue, StatusCode};

use crate::model::{ErrorTrait, Metadata, Model, Shape};
use crate::{Fault, RequestId, Response};

/// How a request and its answer are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Json(JsonVersion),
    RestJson,
    Query,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonVersion {
    V1_0,
    V1_1,
}

/// The service of a fault, where it is known already.
pub type Known<'a> = Option<(&'a Metadata, &'a Model)>;

/// Writes a fault in the protocol of its request.
pub fn fault(protocol: Protocol, known: Known<'_>, fault: &Fault, id: &RequestId) -> Response {
    match protocol {
        Protocol::Json(version) => json::fault(version, known, fault),
        Protocol::RestJson => rest_json::fault(known, fault),
        Protocol::Query => query::fault(known, fault, id),
    }
}

/// A fault as the model has it: its shape, if it is one of the service's own errors, and
/// the status that the model gives it.
struct Modelled<'m> {
    error: Option<(&'m Shape, &'m ErrorTrait)>,
    status: StatusCode,
}

impl<'m> Modelled<'m> {
    fn of(known: Known<'m>, fault: &Fault) -> Self {
        let error = known.and_then(|(_, model)| model.error(&fault.code));
        let status = error.and_then(|(_, error)| error.status).unwrap_or(fault.status);
        Self { error, status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR) }
    }

    /// The name of the error's shape; the code itself for AWS's common errors.
    fn shape_name<'f>(&self, fault: &'f Fault) -> &'f str
    where
        'm: 'f,
    {
        self.error.map_or(fault.code.as_str(), |(shape, _)| shape.name)
    }

    /// The code in the Query protocol.
    fn query_code<'f>(&self, fault: &'f Fault) -> &'f str
    where
        'm: 'f,
    {
        self.error.map_or(fault.code.as_str(), |(shape, error)| error.code.unwrap_or(shape.name))
    }

    fn blame(&self) -> &'static str {
        if self.status.is_server_error() { "Receiver" } else { "Sender" }
    }
}

/// Text that goes into a header; what cannot be there is left out.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| {
        let plain: String = text.chars().filter(|c| (' '..='~').contains(c)).collect();
        HeaderValue::from_str(&plain).unwrap_or(HeaderValue::from_static(""))
    })
}
