//! Routes that speak HTTP themselves: model invocations, metrics, consoles.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::request::Parts;

use crate::{Caller, RequestId, Response};

/// A part of the port that is not described by a service model, or is too hot for the codec.
pub trait RawRoute: Send + Sync + 'static {
    /// Whether this request is for this route. Asked for every request: look at the path
    /// first. `service` is the one in the signature's scope.
    fn claims(&self, head: &Parts, service: Option<&str>) -> bool;

    /// Whether the door lets in only signed requests (and answers the others itself).
    fn signed(&self) -> bool {
        true
    }

    /// Bytes that a body may have; the door answers larger ones with 413.
    fn max_body(&self) -> usize {
        1 << 20
    }

    /// The operations of service models that this route serves, as (service, operation).
    fn serves(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn handle(&self, call: RawCall) -> RawReply;
}

pub struct RawCall {
    pub parts: Parts,
    pub body: Bytes,
    /// Who signed; `None` on routes without signatures.
    pub caller: Option<Arc<Caller>>,
    pub request_id: RequestId,
}

/// An answer that is there already costs no boxed future.
pub enum RawReply {
    Now(Response),
    Later(BoxFuture<'static, Response>),
}

impl From<Response> for RawReply {
    fn from(response: Response) -> Self {
        RawReply::Now(response)
    }
}
