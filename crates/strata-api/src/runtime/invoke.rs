//! InvokeEndpoint: the one operation whose microseconds count.
//!
//! [`invoke`] goes from headers and body to a response without a document in between. The
//! same operation listed for the ledger ([`operation`]) takes the ordinary way.

use std::time::Instant;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};
use strata_base::Cloud;
use strata_base::predictor::Request;
use strata_platform::endpoints::{Endpoints, Invocation, InvokeError, Invoked};
use strata_wire::{Fault, Reply};

use crate::operation::{Answer, Cx};

/// Largest body, as AWS has it.
pub const MOST_BYTES: usize = 6_291_456;

static CUSTOM_ATTRIBUTES: HeaderName = HeaderName::from_static("x-amzn-sagemaker-custom-attributes");
static ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
static INVOKED_VARIANT: HeaderName = HeaderName::from_static("x-amzn-invoked-production-variant");

/// How a request is answered: at once, or when the model is done.
pub enum Answered {
    Now(Response<Bytes>),
    Later(BoxFuture<'static, Response<Bytes>>),
}

/// The endpoint in a path, where it is the path of an invocation.
pub fn endpoint_of(path: &str) -> Option<&str> {
    let name = path.strip_prefix("/endpoints/")?.strip_suffix("/invocations")?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

/// Answers an invocation whose signature was checked. `received` is when it arrived.
pub fn invoke(
    endpoints: &Endpoints,
    name: &str,
    headers: &HeaderMap,
    body: Bytes,
    received: Instant,
) -> Answered {
    let (target, request) = match parse(headers, body) {
        Ok(parsed) => parsed,
        Err(fault) => return Answered::Now(refusal(&fault)),
    };
    match endpoints.invoke(name, target, request, received) {
        Invocation::Now(result) => Answered::Now(respond(result, endpoints.cloud())),
        Invocation::Later(result) => {
            let cloud = endpoints.cloud().clone();
            Answered::Later(result.map(move |result| respond(result, &cloud)).boxed())
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InvokeEndpoint {
    endpoint_name: String,
}

/// The operation as the ledger lists it.
pub async fn operation(cx: Cx, req: InvokeEndpoint) -> Answer {
    let received = Instant::now();
    let endpoints = &cx.platform.endpoints;
    let (target, request) = parse(&cx.call.headers, cx.call.payload.clone())?;
    let result = match endpoints.invoke(&req.endpoint_name, target, request, received) {
        Invocation::Now(result) => result,
        Invocation::Later(result) => result.await,
    };
    let invoked = result.map_err(|error| fault(error, endpoints.cloud()))?;
    let mut document = Map::new();
    document.insert("ContentType".into(), invoked.answer.content_type.into());
    let variant = String::from_utf8_lossy(&invoked.variant).into_owned();
    document.insert("InvokedProductionVariant".into(), variant.into());
    if let Some(attributes) = invoked.answer.custom_attributes {
        document.insert("CustomAttributes".into(), attributes.into());
    }
    Ok(Reply { document: Value::Object(document), payload: Some(invoked.answer.body) })
}

/// What the headers ask for: the variant, if they name one, and the model's request. One walk
/// over the headers, since most of the names we know are absent.
fn parse(headers: &HeaderMap, body: Bytes) -> Result<(Option<&str>, Request), Fault> {
    if body.len() > MOST_BYTES {
        return Err(Fault::new(
            413,
            "RequestEntityTooLargeException",
            format!("Request body of {} bytes is larger than the limit of {MOST_BYTES} bytes.", body.len()),
        ));
    }
    let mut target = None;
    let mut request = Request { body, ..Request::default() };
    for (name, value) in headers {
        if name == CONTENT_TYPE {
            request.content_type = text(name, value, 1024)?.into();
        } else if name == ACCEPT {
            request.accept = text(name, value, 1024)?.into();
        } else if let Some(rest) = name.as_str().strip_prefix("x-amzn-sagemaker-") {
            match rest {
                // The SDK for Python sends its own Accept besides the caller's.
                "custom-attributes" => request.custom_attributes = Some(text(name, value, 1024)?.into()),
                "target-variant" => target = Some(text(name, value, 63)?),
                // It names a captured request; nothing is captured yet.
                "inference-id" => {
                    text(name, value, 64)?;
                }
                other => refuse(other)?,
            }
        }
    }
    Ok((target, request))
}

fn text<'h>(name: &HeaderName, value: &'h HeaderValue, most: usize) -> Result<&'h str, Fault> {
    match value.to_str() {
        Ok(text) if text.len() <= most => Ok(text),
        Ok(_) => Err(invalid(format!("Header {name} is longer than {most} bytes."))),
        Err(_) => Err(invalid(format!("Header {name} must be ASCII text."))),
    }
}

fn refuse(header: &str) -> Result<(), Fault> {
    let sentence = match header {
        "target-model" => "multi-model endpoints cannot be made yet; call the endpoint of that model",
        "target-container-hostname" => "endpoints have one container; leave it out",
        "enable-explanations" => "explanations cannot be given yet; leave it out",
        "inference-component" => "inference components cannot be made yet; call the endpoint alone",
        "session-id" => "sticky sessions are not kept yet; leave it out",
        "prefix-aware-id" => "there are no caches to route by; leave it out",
        _ => return Ok(()),
    };
    Err(invalid(format!("X-Amzn-SageMaker-{header} is not honoured by this cloud: {sentence}")))
}

fn respond(result: Result<Invoked, InvokeError>, cloud: &Cloud) -> Response<Bytes> {
    let invoked = match result {
        Ok(invoked) => invoked,
        Err(error) => return refusal(&fault(error, cloud)),
    };
    let answer = invoked.answer;
    let mut response = Response::new(answer.body);
    let headers = response.headers_mut();
    // A model's own words may not be fit for a header; then the caller does without.
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(answer.content_type)) {
        headers.insert(CONTENT_TYPE, value);
    }
    if let Ok(value) = HeaderValue::from_maybe_shared(invoked.variant) {
        headers.insert(&INVOKED_VARIANT, value);
    }
    if let Some(Ok(value)) = answer.custom_attributes.map(HeaderValue::try_from) {
        headers.insert(&CUSTOM_ATTRIBUTES, value);
    }
    response
}

/// A fault in the service's protocol, REST-JSON.
fn refusal(fault: &Fault) -> Response<Bytes> {
    let mut document = fault.members.clone();
    document.insert("Message".into(), fault.message.clone().into());
    let mut response = Response::new(Bytes::from(Value::Object(document).to_string()));
    *response.status_mut() = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(code) = HeaderValue::try_from(fault.code.as_str()) {
        headers.insert(&ERROR_TYPE, code);
    }
    response
}

fn fault(error: InvokeError, cloud: &Cloud) -> Fault {
    match error {
        InvokeError::NoEndpoint { .. } | InvokeError::NoVariant { .. } => invalid(error.to_string()),
        InvokeError::Unavailable(message) => Fault::new(503, "ServiceUnavailable", message),
        InvokeError::Model { endpoint, status, message } => {
            let side = if (400..500).contains(&status) { "client" } else { "server" };
            let group = format!("/aws/sagemaker/Endpoints/{endpoint}");
            // AWS links to its console here; the log group has the same lines in this cloud.
            let sentence = format!(
                "Received {side} error ({status}) from primary with message \"{message}\". See log group {group} in \
                 account {} for more information.",
                cloud.account
            );
            Fault::new(424, "ModelError", sentence)
                .with("OriginalStatusCode", status)
                .with("OriginalMessage", message)
                .with("LogStreamArn", cloud.arn("logs", &format!("log-group:{group}")))
        }
    }
}

/// The runtime's name for a bad request.
fn invalid(message: String) -> Fault {
    Fault::new(400, "ValidationError", message)
}
