//! `GET /metrics` for Prometheus. A signed request opens it like everything else. Prometheus
//! signs nothing, so HTTP basic authentication opens it too: an access key id is the user, its
//! secret the password.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{Method, StatusCode};
use strata_base::Timestamp;
use strata_platform::Platform;
use strata_wire::{Body, RawCall, RawReply, RawRoute, Response};
use subtle::ConstantTimeEq;

/// The route for signed requests; the door checks them.
pub struct Signed(pub Arc<Platform>);

impl RawRoute for Signed {
    fn claims(&self, head: &Parts, service: Option<&str>) -> bool {
        asks_for_metrics(head) && service.is_some()
    }

    fn handle(&self, _call: RawCall) -> RawReply {
        metrics(&self.0).into()
    }
}

/// The route for all others.
pub struct Basic(pub Arc<Platform>);

impl RawRoute for Basic {
    fn claims(&self, head: &Parts, service: Option<&str>) -> bool {
        asks_for_metrics(head) && service.is_none()
    }

    fn signed(&self) -> bool {
        false
    }

    fn handle(&self, call: RawCall) -> RawReply {
        if !self.opens(&call.parts) {
            let mut response = Response::new(Body::from(
                "an access key id as the user and its secret as the password are needed\n",
            ));
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            let basic = HeaderValue::from_static("Basic realm=\"strata\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, basic);
            return response.into();
        }
        metrics(&self.0).into()
    }
}

fn asks_for_metrics(head: &Parts) -> bool {
    head.uri.path() == "/metrics" && head.method == Method::GET
}

fn metrics(platform: &Platform) -> Response {
    let mut response = Response::new(Body::from(platform.endpoints.prometheus()));
    let text = HeaderValue::from_static("text/plain; version=0.0.4");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

impl Basic {
    /// Whether the request carries a key of this cloud. Temporary keys do not open: basic
    /// authentication has no place for their token.
    fn opens(&self, head: &Parts) -> bool {
        let given = head
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Basic "))
            .and_then(|text| STANDARD.decode(text.trim()).ok())
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let Some((key, secret)) = given.as_deref().and_then(|text| text.split_once(':')) else {
            return false;
        };
        self.0.access.find(key).is_some_and(|credential| {
            credential.session_token.is_none()
                && !credential.expired(Timestamp::now())
                && bool::from(credential.secret.as_bytes().ct_eq(secret.as_bytes()))
        })
    }
}
