//! The dispatcher: whose request is it, may it come in, who answers.
//!
//! The service is known from the signature's scope, else from `X-Amz-Target`, else from the
//! path. Raw routes come first and cost little; S3 has a protocol of its own and gets its
//! requests unread; everything else is decoded, checked against the model and given to the
//! operation's handler.

mod operation;
mod route;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, StatusCode};
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use strata_base::Timestamp;
use tracing::Instrument;

use crate::body::{Body, BoxError, ReadError, Reader};
use crate::model::Api;
use crate::protocol::{self, Protocol};
use crate::sigv4::{Keyring, Verifier};
use crate::{Fault, RawCall, RawReply, RawRoute, RequestId, Response, Service, ledger};

use route::Route;

// Spelt once: parsing a header's name for every answer is work for nothing.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const S3_REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");

/// Takes every request of one kind as it is, body unread.
pub type Fallback = Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response> + Send + Sync>;

/// Everything that answers on the port.
pub struct Door {
    verifier: Verifier,
    reader: Reader,
    services: Vec<Served>,
    raw: Vec<Arc<dyn RawRoute>>,
    fallback: Option<Fallback>,
    /// Connections that are open now.
    pub(crate) connections: AtomicUsize,
}

/// From here on answers leave in bursts; see [`Door::answer_raw`].
const CROWD: usize = 8;

/// A service beside its model.
struct Served {
    api: &'static Api,
    service: Service,
}

impl Door {
    pub fn new(keyring: Arc<dyn Keyring>, services: Vec<Service>) -> Self {
        let services = services
            .into_iter()
            .filter_map(|service| match Api::named(service.name) {
                Some(api) => Some(Served { api, service }),
                None => {
                    tracing::error!(service = service.name, "no such model in apis/: service left out");
                    None
                }
            })
            .collect();
        Self {
            verifier: Verifier::new(keyring),
            reader: Reader::default(),
            services,
            raw: Vec::new(),
            fallback: None,
            connections: AtomicUsize::new(0),
        }
    }

    /// Adds a route that handles its own HTTP. Earlier ones are asked first.
    pub fn raw(mut self, route: Arc<dyn RawRoute>) -> Self {
        self.raw.push(route);
        self
    }

    /// Sets who answers requests that are signed for S3, and those that nobody knows and
    /// nobody signed. It streams bodies and checks signatures itself.
    pub fn fallback<F, Fut, B>(mut self, answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = http::Response<B>> + Send + 'static,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.fallback = Some(Arc::new(move |request| {
            let answer = answer(request);
            Box::pin(async move { answer.await.map(Body::stream) })
        }));
        self
    }

    /// The fidelity ledger of all services, in their order.
    pub fn ledger(&self) -> Vec<ledger::Line> {
        self.services.iter().flat_map(|served| ledger::ledger(&served.service)).collect()
    }

    /// What is wrong with the lists of operations; see [`ledger::complaints`].
    pub fn complaints(&self) -> Vec<String> {
        let services: Vec<&Service> = self.services.iter().map(|served| &served.service).collect();
        let raw: Vec<&dyn RawRoute> = self.raw.iter().map(|route| &**route).collect();
        ledger::complaints(&services, &raw)
    }

    /// Answers one request. Never fails and never panics: what goes wrong is an answer too.
    pub async fn answer(&self, request: Request<Incoming>) -> Response {
        let id = RequestId::fresh();
        let (parts, body) = request.into_parts();
        let mut response = match self.route(&parts) {
            Route::Raw(route) => self.answer_raw(route, parts, body, &id).await,
            // Everything but the hot path is boxed: it would only make this future larger.
            other => {
                let span = tracing::debug_span!(
                    "request",
                    %id,
                    method = %parts.method,
                    path = parts.uri.path(),
                    operation = tracing::field::Empty
                );
                Box::pin(self.answer_slowly(other, parts, body, &id).instrument(span)).await
            }
        };
        let headers = response.headers_mut();
        // S3 gives its answers ids of their own; beside this one clients forget its host id.
        if !headers.contains_key(S3_REQUEST_ID) {
            headers.insert(REQUEST_ID, id.header());
            headers.insert(S3_REQUEST_ID, id.header());
        }
        tracing::debug!(%id, status = response.status().as_u16(), "answered");
        response
    }

    /// The hot path: signature, body, handler, and nothing between.
    async fn answer_raw(
        &self,
        route: &Arc<dyn RawRoute>,
        parts: Parts,
        body: Incoming,
        id: &RequestId,
    ) -> Response {
        let held = match self.reader.read(&parts.headers, body, route.max_body()).await {
            Ok(held) => held,
            Err(cause) => return self.unread(Protocol::RestJson, cause, id),
        };
        let caller = match route.signed() {
            false => None,
            true => match self.verifier.verify(&parts, &held.bytes, Timestamp::now()) {
                Ok(verified) => Some(verified.credential.caller.clone()),
                Err(refusal) => {
                    return protocol::fault(Protocol::RestJson, None, &refusal.fault(false), id);
                }
            },
        };
        let call = RawCall { parts, body: held.bytes.clone(), caller, request_id: id.clone() };
        let answered = match std::panic::catch_unwind(AssertUnwindSafe(|| route.handle(call))) {
            Ok(RawReply::Now(response)) => {
                // In a crowd the requests that have arrived are all answered first, and then
                // the answers are sent: each send wakes a client that sleeps, which costs more
                // than the model, and clients that get a burst need one waking.
                if self.connections.load(Relaxed) >= CROWD {
                    tokio::task::yield_now().await;
                }
                return response;
            }
            Ok(RawReply::Later(later)) => AssertUnwindSafe(later).catch_unwind().await,
            Err(panic) => Err(panic),
        };
        answered.unwrap_or_else(|panic| {
            let fault = Fault::internal(format!("a handler panicked: {}", said(&*panic)));
            protocol::fault(Protocol::RestJson, None, &fault, id)
        })
    }

    async fn answer_slowly(
        &self,
        route: Route<'_>,
        parts: Parts,
        body: Incoming,
        id: &RequestId,
    ) -> Response {
        match route {
            Route::Health => health(),
            Route::Fallback(fallback) => {
                let answer = AssertUnwindSafe(fallback(Request::from_parts(parts, body))).catch_unwind();
                answer.await.unwrap_or_else(|panic| {
                    let fault = Fault::internal(format!("the fallback panicked: {}", said(&*panic)));
                    protocol::fault(Protocol::RestJson, None, &fault, id)
                })
            }
            Route::Operation(target) => self.answer_operation(target, parts, body, id).await,
            Route::Raw(route) => self.answer_raw(route, parts, body, id).await,
        }
    }

    fn unread(&self, protocol: Protocol, cause: ReadError, id: &RequestId) -> Response {
        let fault = match &cause {
            ReadError::TooLarge { .. } => Fault::new(
                413,
                "RequestEntityTooLargeException",
                format!("Request Entity Too Large: {cause}"),
            ),
            ReadError::TooSlow => Fault::new(408, "RequestTimeoutException", cause.to_string()),
            ReadError::Broken(_) => Fault::new(400, "IncompleteBody", cause.to_string()),
        };
        protocol::fault(protocol, None, &fault, id)
    }
}

fn health() -> Response {
    let mut response = Response::new(Body::from("ok\n"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

/// What a panic said, for the log.
fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no words)")
}

fn is_health(parts: &Parts) -> bool {
    parts.uri.path() == "/healthz" && (parts.method == Method::GET || parts.method == Method::HEAD)
}

fn not_found() -> Fault {
    Fault::new(
        StatusCode::NOT_FOUND.as_u16(),
        "UnknownOperationException",
        "nothing answers here: no service has this method and path",
    )
}
