//! Which part of the cloud a request is for, by its head alone.

use std::sync::Arc;

use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;

use super::{Door, Fallback, Served, is_health};
use crate::RawRoute;
use crate::protocol::{JsonVersion, Protocol};
use crate::sigv4::Authorization;

pub enum Route<'d> {
    Health,
    Raw(&'d Arc<dyn RawRoute>),
    Fallback(&'d Fallback),
    Operation(Target<'d>),
}

/// A request to an operation, as far as the head tells.
pub struct Target<'d> {
    pub protocol: Protocol,
    pub service: Option<&'d Served>,
    /// From `X-Amz-Target`; the other protocols name it elsewhere.
    pub operation: Option<String>,
}

impl Door {
    pub(super) fn route(&self, parts: &Parts) -> Route<'_> {
        if is_health(parts) {
            return Route::Health;
        }
        let scope = Authorization::service_of(parts);
        let scope = scope.as_deref();
        if scope != Some("s3")
            && let Some(route) = self.raw.iter().find(|route| route.claims(parts, scope))
        {
            return Route::Raw(route);
        }
        if let (Some("s3"), Some(fallback)) = (scope, &self.fallback) {
            return Route::Fallback(fallback);
        }
        if let Some(target) = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()) {
            return Route::Operation(self.json_target(target, scope, parts));
        }
        if is_query(parts) {
            let service = self.signed_for(scope, |served| served.api.metadata.speaks("query"));
            return Route::Operation(Target { protocol: Protocol::Query, service, operation: None });
        }
        // Nothing says whose it is: a browser, a public object, or S3's signature before SigV4.
        if let (None, true, Some(fallback)) = (scope, is_anonymous(parts), &self.fallback)
            && !is_json(parts)
            && !(parts.method == Method::POST && parts.uri.path() == "/")
        {
            return Route::Fallback(fallback);
        }
        let service = self.signed_for(scope, |served| served.api.metadata.speaks("rest-json"));
        Route::Operation(Target { protocol: Protocol::RestJson, service, operation: None })
    }

    fn json_target(&self, target: &str, scope: Option<&str>, parts: &Parts) -> Target<'_> {
        let (prefix, operation) = target.rsplit_once('.').unwrap_or((target, ""));
        let of_prefix = |served: &Served| served.api.metadata.target_prefix == Some(prefix);
        // The scope decides; the prefix alone is enough where the scope names no service of ours.
        let service = self
            .signed_for(scope, of_prefix)
            .or_else(|| self.services.iter().find(|served| of_prefix(served)));
        let version = match service.and_then(|served| served.api.metadata.json_version) {
            Some("1.0") => JsonVersion::V1_0,
            Some(_) => JsonVersion::V1_1,
            None if content_type(parts).is_some_and(|t| t.ends_with("json-1.0")) => JsonVersion::V1_0,
            None => JsonVersion::V1_1,
        };
        Target { protocol: Protocol::Json(version), service, operation: Some(operation.to_owned()) }
    }

    /// Among the services with the signing name of the scope, the first that fits.
    fn signed_for(&self, scope: Option<&str>, fits: impl Fn(&Served) -> bool) -> Option<&Served> {
        self.services.iter().find(|served| scope == Some(served.api.metadata.signing_name()) && fits(served))
    }
}

/// The media type, without parameters.
pub fn content_type(parts: &Parts) -> Option<&str> {
    let text = parts.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim())
}

/// Neither signed by SigV4 nor with credentials of another kind than S3's old ones.
fn is_anonymous(parts: &Parts) -> bool {
    parts.headers.get(AUTHORIZATION).is_none_or(|value| value.as_bytes().starts_with(b"AWS "))
}

fn is_json(parts: &Parts) -> bool {
    content_type(parts).is_some_and(|t| t.starts_with("application/x-amz-json") || t == "application/json")
}

fn is_query(parts: &Parts) -> bool {
    let form = "application/x-www-form-urlencoded";
    let in_body =
        parts.method == Method::POST && content_type(parts).is_some_and(|t| t.eq_ignore_ascii_case(form));
    let in_url = || parts.uri.query().is_some_and(|q| q.split('&').any(|pair| pair.starts_with("Action=")));
    parts.uri.path() == "/" && (in_body || in_url())
}
