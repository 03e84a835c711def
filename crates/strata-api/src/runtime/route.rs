//! InvokeEndpoint as a route of its own: the way that costs microseconds.

use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use http::Method;
use http::request::Parts;
use strata_platform::Platform;
use strata_wire::{Body, RawCall, RawReply, RawRoute};

use super::invoke::{Answered, MOST_BYTES, endpoint_of, invoke};

pub struct Invocations(pub Arc<Platform>);

impl RawRoute for Invocations {
    fn claims(&self, head: &Parts, service: Option<&str>) -> bool {
        head.method == Method::POST
            && service.is_none_or(|service| service == "sagemaker")
            && endpoint_of(head.uri.path()).is_some()
    }

    fn max_body(&self) -> usize {
        MOST_BYTES
    }

    fn serves(&self) -> &'static [(&'static str, &'static str)] {
        &[("sagemaker-runtime", "InvokeEndpoint")]
    }

    fn handle(&self, call: RawCall) -> RawReply {
        let received = Instant::now();
        let name = endpoint_of(call.parts.uri.path()).unwrap_or_default();
        match invoke(&self.0.endpoints, name, &call.parts.headers, call.body, received) {
            Answered::Now(response) => RawReply::Now(response.map(Body::from)),
            Answered::Later(later) => RawReply::Later(later.map(|response| response.map(Body::from)).boxed()),
        }
    }
}
