//! A request to an operation of a service model: read, check, call, answer.

use std::borrow::Cow;
use std::io::Read;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::request::Parts;
use hyper::body::Incoming;
use serde_json::Value;
use strata_base::Timestamp;
use tracing::Instrument;

use super::route::{Target, content_type};
use super::{Door, Served, not_found, said};
use crate::model::{Kind, Model, Operation};
use crate::protocol::{self, Protocol, json, query, rest_json};
use crate::sigv4::Verified;
use crate::validate::validate;
use crate::{Call, Fault, Label, Reply, RequestId, Response, ledger};

/// A request that knows its operation.
struct Decoded<'m> {
    operation: &'m Operation,
    document: Value,
    payload: Option<Bytes>,
}

impl Door {
    pub(super) async fn answer_operation(
        &self,
        target: Target<'_>,
        mut parts: Parts,
        body: Incoming,
        id: &RequestId,
    ) -> Response {
        let max = max_body(&target);
        let held = match self.reader.read(&parts.headers, body, max).await {
            Ok(held) => held,
            Err(cause) => return self.unread(target.protocol, cause, id),
        };
        let known = target.service.map(|served| (&*served.api.metadata, served.api.model()));
        match self.run(&target, &mut parts, held.bytes.clone(), max, id).await {
            Ok(response) => response,
            Err(fault) => {
                tracing::debug!(code = %fault.code, message = %fault.message, "fault");
                protocol::fault(target.protocol, known, &fault, id)
            }
        }
    }

    async fn run(
        &self,
        target: &Target<'_>,
        parts: &mut Parts,
        body: Bytes,
        max: usize,
        id: &RequestId,
    ) -> Result<Response, Fault> {
        let in_query = target.protocol == Protocol::Query;
        let verified = self
            .verifier
            .verify(parts, &body, Timestamp::now())
            .map_err(|refusal| refusal.fault(in_query))?;
        let body = decompressed(parts, body, max)?;
        let served = target.service.ok_or_else(|| unknown_service(target))?;
        let (metadata, model) = (&*served.api.metadata, served.api.model());

        let mut decoded = decode(target, served, parts, &body)?;
        let operation = decoded.operation;
        tracing::Span::current().record("operation", operation.name);
        tracing::debug!(service = served.api.name, operation = operation.name, "decoded");
        let Some(handler) = served.service.operations.get(operation.name).and_then(|e| e.handler.clone())
        else {
            return Err(refused(served, operation));
        };
        let payload = decoded.payload.as_ref().map(Bytes::len);
        validate(metadata, model, operation, &mut decoded.document, payload)?;

        let call = call(served, decoded, verified, std::mem::take(&mut parts.headers), id);
        // A task of its own: a client that hangs up must not stop an operation half way, and
        // a panic ends there.
        let task = tokio::spawn(async move { handler(call).await }.in_current_span());
        let reply = match task.await {
            Ok(reply) => reply?,
            Err(cause) if cause.is_panic() => {
                let panic = cause.into_panic();
                return Err(Fault::internal(format!("{} panicked: {}", operation.name, said(&*panic))));
            }
            Err(cause) => return Err(Fault::internal(cause)),
        };
        Ok(encode(target.protocol, served, operation, &reply, id))
    }
}

fn call(
    served: &Served,
    decoded: Decoded<'static>,
    verified: Verified,
    headers: http::HeaderMap,
    id: &RequestId,
) -> Call {
    Call {
        service: served.api.name,
        operation: decoded.operation.name,
        caller: (*verified.credential.caller).clone(),
        request_id: id.as_str().to_owned(),
        region: verified.region,
        document: decoded.document,
        payload: decoded.payload.unwrap_or_default(),
        headers,
    }
}

fn decode(
    target: &Target<'_>,
    served: &Served,
    parts: &Parts,
    body: &Bytes,
) -> Result<Decoded<'static>, Fault> {
    let (metadata, model) = (&*served.api.metadata, served.api.model());
    match target.protocol {
        Protocol::Json(_) => {
            if let Some(wrong) = content_type(parts).filter(|t| !is_json_type(t)) {
                return Err(Fault::new(
                    404,
                    "UnknownOperationException",
                    format!(
                        "{wrong} is not a content type of this service, which reads application/x-amz-json-1.x"
                    ),
                ));
            }
            let name = target.operation.as_deref().unwrap_or_default();
            let operation = model.operation(name).ok_or_else(|| {
                let name: String = name.chars().take(128).collect();
                Fault::new(
                    400,
                    "UnknownOperationException",
                    format!("{} has no operation {name:?}", served.api.name),
                )
            })?;
            Ok(Decoded { operation, document: json::document(body)?, payload: None })
        }
        Protocol::RestJson => {
            let (operation, labels) = rest_json::route(model, parts).ok_or_else(not_found)?;
            let (document, payload) = rest_json::document(model, operation, labels, parts, body)?;
            Ok(Decoded { operation, document, payload })
        }
        Protocol::Query => {
            let text = match body.is_empty() {
                true => Cow::Borrowed(parts.uri.query().unwrap_or_default().as_bytes()),
                false => Cow::Borrowed(&body[..]),
            };
            let form = query::form(&text)?;
            let action = form.action.as_deref().filter(|action| !action.is_empty()).ok_or_else(|| {
                Fault::new(400, "MissingAction", "The request is missing an action or a required parameter.")
            })?;
            let version = form.version.as_deref().unwrap_or(metadata.api_version);
            let operation = model.operation(action).filter(|_| version == metadata.api_version);
            let operation = operation.ok_or_else(|| {
                let (action, version): (String, String) =
                    (action.chars().take(128).collect(), version.chars().take(32).collect());
                Fault::new(
                    400,
                    "InvalidAction",
                    format!("Could not find operation {action} for version {version}"),
                )
            })?;
            Ok(Decoded { operation, document: query::document(model, operation, &form)?, payload: None })
        }
    }
}

fn encode(
    protocol: Protocol,
    served: &Served,
    operation: &Operation,
    reply: &Reply,
    id: &RequestId,
) -> Response {
    let (metadata, model) = (&*served.api.metadata, served.api.model());
    match protocol {
        Protocol::Json(version) => json::reply(version, model, operation, reply),
        Protocol::RestJson => rest_json::reply(model, operation, reply),
        Protocol::Query => query::reply(metadata, model, operation, reply, id),
    }
}

fn is_json_type(content_type: &str) -> bool {
    content_type.starts_with("application/x-amz-json-1.") || content_type == "application/json"
}

fn refused(served: &Served, operation: &Operation) -> Fault {
    let instead = match served.service.operations.get(operation.name).map(|entry| &entry.label) {
        Some(Label::Refused(instead)) => instead.as_str(),
        // Listed as done, but by a raw route that did not claim this request.
        Some(_) => "it cannot be called this way",
        None => ledger::UNLISTED,
    };
    let name = operation.name;
    Fault::refused(format!("{name} is not done by this cloud: {instead}. `strata api` lists what is."))
}

fn unknown_service(target: &Target<'_>) -> Fault {
    match target.protocol {
        Protocol::Json(_) => Fault::new(
            400,
            "UnknownOperationException",
            "no service of this cloud has this X-Amz-Target. `strata api` lists what there is.",
        ),
        Protocol::Query => Fault::new(
            400,
            "InvalidAction",
            "no service of this cloud has this signing name and action. `strata api` lists what there is.",
        ),
        Protocol::RestJson => not_found(),
    }
}

/// Bytes that the body may have: the service's bound, and room for members of the operation
/// that the model allows to be longer than a part of it (policies, certificates, pipelines).
fn max_body(target: &Target<'_>) -> usize {
    let Some(served) = target.service else { return 1 << 20 };
    let extra = match (target.protocol, &target.operation) {
        (Protocol::Json(_), Some(name)) => served
            .api
            .model()
            .operation(name)
            .map_or(0, |operation| long_members(served.api.model(), operation)),
        _ => 0,
    };
    served.service.max_body + extra
}

fn long_members(model: &Model, operation: &Operation) -> usize {
    let Some(input) = operation.input.and_then(|id| model.structure(id)) else { return 0 };
    let long = input.members.iter().filter_map(|member| match &model.shape(member.shape).kind {
        Kind::Text(text) => text.length.max,
        Kind::Blob(length) => length.max,
        _ => None,
    });
    // Escapes and base64 make text longer; half as much again is generous.
    long.filter(|max| (256 << 10..=16 << 20).contains(max)).map(|max| (max + max / 2) as usize).sum()
}

/// SDKs compress large bodies (botocore does for PutMetricData). The signature is of what
/// was sent; the bound is for what it becomes.
fn decompressed(parts: &Parts, body: Bytes, max: usize) -> Result<Bytes, Fault> {
    let Some(encoding) = parts.headers.get(CONTENT_ENCODING) else { return Ok(body) };
    match encoding.as_bytes() {
        b"" | b"identity" | b"aws-chunked" => Ok(body),
        b"gzip" => {
            let mut plain = Vec::new();
            let mut reader = flate2::read::MultiGzDecoder::new(&body[..]).take(max as u64 + 1);
            reader.read_to_end(&mut plain).map_err(|cause| {
                Fault::new(400, "SerializationException", format!("could not unpack the gzip body: {cause}"))
            })?;
            if plain.len() > max {
                let message = format!("Request Entity Too Large: the body unpacks to more than {max} bytes");
                return Err(Fault::new(413, "RequestEntityTooLargeException", message));
            }
            Ok(plain.into())
        }
        other => Err(Fault::new(
            415,
            "UnsupportedMediaTypeException",
            format!("the content encoding {:?} is not read here; gzip is", String::from_utf8_lossy(other)),
        )),
    }
}
