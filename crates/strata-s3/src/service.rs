//! The service as the door sees it: a request in, an answer out, never an error.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, EXPECT, HeaderName, HeaderValue,
};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use s3s::service::S3ServiceBuilder;
use s3s::{Body, S3Error, S3ErrorCode};
use strata_base::objects::Multipart;
use strata_base::request_id;

use crate::access::{self, Access, Auth, S3Keys};
use crate::hosts::Hosts;
use crate::incoming::{BoxError, Trace, Watched};
use crate::server::Server;

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
        // CreateBucket is a short document, of which `s3s` does not show all members.
        let document = parts.method == Method::PUT && !parts.uri.path().trim_matches('/').contains('/');
        let (body, trace) = Watched::new(body, document);
        parts.extensions.insert(trace.clone());
        self.answer(Request::from_parts(parts, Body::http_body_unsync(body)), trace).await
    }

    async fn answer(&self, mut request: Request<Body>, trace: Trace) -> Response<Answer> {
        let head = request.method() == Method::HEAD;
        let one = request.version() <= Version::HTTP_11;
        let expects = request.headers().contains_key(EXPECT);
        let result = match access::prepare(&mut request) {
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
