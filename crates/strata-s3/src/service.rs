//! The service as the door sees it: a request in, an answer out, never an error.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, EXPECT, HOST, HeaderName, HeaderValue,
};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::S3ServiceBuilder;
use s3s::{Body, S3Error, S3ErrorCode};
use strata_base::objects::Multipart;
use strata_base::request_id;

use crate::access::{self, Access, Auth, S3Keys};
use crate::fault::fault;
use crate::hosts::{Hosts, bucket_of};
use crate::incoming::{BoxError, Trace, Watched};
use crate::server::Server;

/// The longest XML body that is read: 10,000 parts with their checksums, 1,000 longest keys.
pub const LARGEST_DOCUMENT: usize = 8 << 20;

/// The body of an answer.
pub type Answer = UnsyncBoxBody<Bytes, BoxError>;

/// Answers S3 requests. Cheap to clone.
#[derive(Clone)]
pub struct S3Service {
    inner: s3s::service::S3Service,
}

/// S3 over `objects`, for the holders of `keys`, in the cloud of this account and region.
pub fn service(
    objects: Arc<dyn Multipart>,
    keys: Arc<dyn S3Keys>,
    account: impl Into<String>,
    region: impl Into<String>,
) -> S3Service {
    let account = account.into();
    let mut builder = S3ServiceBuilder::new(Server::new(objects, account.clone(), region.into()));
    builder.set_auth(Auth(keys.clone()));
    builder.set_access(Access { keys, account });
    builder.set_host(Hosts);
    let mut config = S3Config::default();
    config.xml_max_body_size = LARGEST_DOCUMENT;
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    S3Service { inner: builder.build() }
}

impl S3Service {
    /// Answers one request; its body may be of any kind (hyper's, axum's).
    pub async fn call<B>(&self, request: Request<B>) -> Response<Answer>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut parts, body) = request.into_parts();
        let document = is_document(&parts);
        // `s3s` would answer 500.
        let too_long = document && content_length(&parts) > LARGEST_DOCUMENT as u64;
        let (body, trace) = Watched::new(body, document);
        parts.extensions.insert(trace.clone());
        let request = Request::from_parts(parts, Body::http_body_unsync(body));
        self.answer(request, trace, too_long).await
    }

    async fn answer(&self, mut request: Request<Body>, trace: Trace, too_long: bool) -> Response<Answer> {
        let head = request.method() == Method::HEAD;
        let one = request.version() <= Version::HTTP_11;
        let expects = request.headers().contains_key(EXPECT);
        let result = match access::prepare(&mut request) {
            Ok(()) if too_long => {
                drop(request);
                let error = fault(S3ErrorCode::MaxMessageLengthExceeded, "Your request was too big.");
                error.to_http_response().unwrap_or_else(broken)
            }
            Ok(()) => self.inner.call(request).await.unwrap_or_else(|error| broken(BoxError::from(error))),
            Err(refusal) => {
                drop(request);
                refusal.to_http_response().unwrap_or_else(broken)
            }
        };
        let mut response = finish(result, head);
        if one && !trace.drain(expects).await {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Is the body a document, which is read whole? Of some its text is wanted: CreateBucket's, for
/// `s3s` does not show all its members; those that carry digests.
fn is_document(parts: &Parts) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    let tagging = query.split('&').any(|pair| pair.split('=').next() == Some("tagging"));
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or(parts.uri.authority().map(|authority| authority.as_str())).unwrap_or_default();
    let path = parts.uri.path().trim_matches('/');
    let bucket = if bucket_of(host).is_some() { path.is_empty() } else { !path.contains('/') };
    parts.method == Method::POST || (parts.method == Method::PUT && (bucket || tagging))
}

fn content_length(parts: &Parts) -> u64 {
    let length = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or_default()
}

fn broken(error: impl std::fmt::Debug) -> Response<Body> {
    tracing::error!(?error, "S3 request could not be answered");
    let text = S3Error::with_message(
        S3ErrorCode::InternalError,
        "We encountered an internal error. Please try again.",
    );
    text.to_http_response().unwrap_or_else(|_| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// Gives the answer its ids, and takes its body where HTTP allows none.
fn finish(response: Response<Body>, head: bool) -> Response<Answer> {
    let (mut parts, mut body) = response.into_parts();
    let id = request_id().replace('-', "").to_uppercase();
    let id = id.get(..16).unwrap_or(&id).to_string();
    let id_2 = request_id();
    for (name, value) in [("x-amz-request-id", &id), ("x-amz-id-2", &id_2)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            parts.headers.insert(HeaderName::from_static(name), value);
        }
    }
    let failed = parts.status.is_client_error() || parts.status.is_server_error();
    if parts.status == StatusCode::NOT_MODIFIED || (head && failed) {
        parts.headers.remove(CONTENT_TYPE);
        parts.headers.remove(CONTENT_LENGTH);
        body = Body::empty();
    } else if failed && let Some(text) = body.bytes() {
        let text = String::from_utf8_lossy(&text)
            .replace("</Error>", &format!("<RequestId>{id}</RequestId><HostId>{id_2}</HostId></Error>"));
        body = Body::from(text);
    }
    // `s3s` leaves the status of a partial HeadObject at 200.
    if head && parts.headers.contains_key(CONTENT_RANGE) && parts.status == StatusCode::OK {
        parts.status = StatusCode::PARTIAL_CONTENT;
    }
    Response::from_parts(parts, body.boxed_unsync())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents() {
        for (method, host, uri, expected) in [
            ("PUT", "localhost", "/bucket", true),
            ("PUT", "localhost", "/bucket/", true),
            ("PUT", "localhost", "/bucket/key", false),
            ("PUT", "localhost", "/bucket/key?tagging", true),
            ("PUT", "bucket.localhost", "/", true),
            ("PUT", "bucket.localhost:7410", "/key", false),
            ("POST", "localhost", "/bucket?delete=", true),
            ("GET", "localhost", "/bucket", false),
        ] {
            let request = Request::builder().method(method).uri(uri).header("host", host).body(()).unwrap();
            assert_eq!(is_document(&request.into_parts().0), expected, "{method} {host} {uri}");
        }
    }
}
