//! REST-JSON: method and path name the operation; members ride in the path, the query,
//! headers and the body.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONTENT_TYPE, HeaderName};
use http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::json::{self, fault_body, write_structure};
use super::{Known, Modelled, header_value};
use crate::model::{Kind, Location, Member, Model, Operation, Structure, TimeFormat};
use crate::{Body, Fault, Reply, Response, times};

/// The operation behind a method and path, with the labels found in the path.
pub fn route<'m>(model: &'m Model, parts: &Parts) -> Option<(&'m Operation, Labels)> {
    model.operations().iter().find_map(|operation| {
        if operation.method != parts.method.as_str() {
            return None;
        }
        Some((operation, labels(operation.uri, parts.uri.path(), parts.uri.query())?))
    })
}

pub type Labels = Vec<(&'static str, String)>;

fn labels(pattern: &'static str, path: &str, query: Option<&str>) -> Option<Labels> {
    let (pattern, constant) = pattern.split_once('?').unwrap_or((pattern, ""));
    // A constant query in the pattern, e.g. `?delete`, must be in the request.
    for needed in constant.split('&').filter(|part| !part.is_empty()) {
        query?.split('&').find(|part| *part == needed || part.strip_suffix('=') == Some(needed))?;
    }
    let mut found = Vec::new();
    let mut rest = path.strip_prefix('/')?;
    let mut segments = pattern.strip_prefix('/')?.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let label = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'));
        let value = match label.and_then(|label| label.strip_suffix('+')) {
            Some(_) if last => std::mem::take(&mut rest),
            _ if last && rest.contains('/') => return None,
            _ if last => std::mem::take(&mut rest),
            _ => {
                let (value, after) = rest.split_once('/')?;
                rest = after;
                value
            }
        };
        match label {
            Some(_) if value.is_empty() => return None,
            Some(label) => found.push((label.trim_end_matches('+'), decode(value)?.into_owned())),
            None if value == segment => {}
            None => return None,
        }
    }
    Some(found)
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(text).decode_utf8().ok()
}

/// Gathers the document from path, query, headers and body. The second value is the body
/// where a member of the input is the body's bytes.
pub fn document(
    model: &Model,
    operation: &Operation,
    labels: Labels,
    parts: &Parts,
    body: &Bytes,
) -> Result<(Value, Option<Bytes>), Fault> {
    let Some(input) = operation.input.and_then(|id| model.structure(id)) else {
        return Ok((Value::Object(Map::new()), None));
    };
    let payload = input.payload.and_then(|index| input.members.get(index));
    let (mut document, mut bytes) = (Map::new(), None);
    match payload.map(|member| (member, &model.shape(member.shape).kind)) {
        Some((_, Kind::Blob(_))) => bytes = Some(body.clone()),
        Some((member, Kind::Text(_))) => {
            let text = String::from_utf8_lossy(body).into_owned();
            document.insert(member.name.into(), text.into());
        }
        Some((member, _)) if !body.is_empty() => {
            document.insert(member.name.into(), json::document(body)?);
        }
        Some(_) => {}
        None => {
            let in_body = input.members.iter().any(|member| member.location == Location::Body)
                || input.members.is_empty();
            if let (true, Value::Object(members)) = (in_body, json::document(body)?) {
                document = members;
            }
        }
    }
    for member in &input.members {
        let text = match member.location {
            Location::Uri => labels
                .iter()
                .find(|(label, _)| *label == member.wire_name())
                .map(|(_, value)| Value::String(value.clone())),
            Location::QueryString => from_query(model, member, parts.uri.query().unwrap_or_default()),
            Location::Header => parts
                .headers
                .get(member.wire_name())
                .map(|value| Value::String(String::from_utf8_lossy(value.as_bytes()).into_owned())),
            Location::Headers => from_headers(member, parts),
            Location::Body | Location::StatusCode => continue,
        };
        // A member that is bound elsewhere cannot come in the body as well.
        document.remove(member.name);
        if let Some(value) = text {
            document.insert(member.name.into(), typed(model, member, value)?);
        }
    }
    Ok((Value::Object(document), bytes))
}

fn from_query(model: &Model, member: &Member, query: &str) -> Option<Value> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let plain = |text: &str| decode(&text.replace('+', " ")).map(Cow::into_owned);
    match &model.shape(member.shape).kind {
        Kind::Map(_) => {
            let map: Map<String, Value> =
                pairs.filter_map(|(name, value)| Some((plain(name)?, plain(value)?.into()))).collect();
            (!map.is_empty()).then_some(Value::Object(map))
        }
        kind => {
            let mut values = pairs
                .filter(|(name, _)| plain(name).as_deref() == Some(member.wire_name()))
                .filter_map(|(_, value)| plain(value).map(Value::String));
            match kind {
                Kind::List(_) => {
                    let values: Vec<Value> = values.collect();
                    (!values.is_empty()).then_some(Value::Array(values))
                }
                _ => values.next(),
            }
        }
    }
}

fn from_headers(member: &Member, parts: &Parts) -> Option<Value> {
    let prefix = member.wire_name().to_ascii_lowercase();
    let map: Map<String, Value> = parts
        .headers
        .iter()
        .filter_map(|(name, value)| {
            let rest = name.as_str().strip_prefix(&prefix)?;
            Some((rest.to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned().into()))
        })
        .collect();
    (!map.is_empty()).then_some(Value::Object(map))
}

/// Text from a path, query or header as the type that the model wants.
fn typed(model: &Model, member: &Member, value: Value) -> Result<Value, Fault> {
    let kind = &model.shape(member.shape).kind;
    let text = match (&value, kind) {
        (Value::Array(items), Kind::List(list)) => {
            let kind = &model.shape(list.member).kind;
            let items: Option<Vec<Value>> = items.iter().map(|item| text_as(kind, item.as_str()?)).collect();
            return items.map(Value::Array).ok_or_else(|| wrong(member));
        }
        (Value::String(text), _) => text,
        _ => return Ok(value),
    };
    if let Kind::List(list) = kind {
        // A list in a header is separated by commas.
        let kind = &model.shape(list.member).kind;
        let items: Option<Vec<Value>> = text.split(',').map(|item| text_as(kind, item.trim())).collect();
        return items.map(Value::Array).ok_or_else(|| wrong(member));
    }
    text_as(kind, text).ok_or_else(|| wrong(member))
}

fn wrong(member: &Member) -> Fault {
    Fault::new(
        400,
        "SerializationException",
        format!("'{}' does not have the type of the model", member.wire_name()),
    )
}

/// Text as a scalar of the model; `None` where it cannot be one.
pub(super) fn text_as(kind: &Kind, text: &str) -> Option<Value> {
    Some(match kind {
        Kind::Boolean => match text {
            "true" => true.into(),
            "false" => false.into(),
            _ => return None,
        },
        Kind::Integer(_) | Kind::Long(_) => text.parse::<i64>().ok()?.into(),
        Kind::Float(_) | Kind::Double(_) => match text {
            "NaN" | "Infinity" | "-Infinity" => text.into(),
            _ => text.parse::<f64>().ok().filter(|n| n.is_finite())?.into(),
        },
        _ => text.into(),
    })
}

pub fn reply(model: &Model, operation: &Operation, reply: &Reply) -> Response {
    let mut response = Response::new(Body::empty());
    if let Ok(status) = http::StatusCode::from_u16(operation.status) {
        *response.status_mut() = status;
    }
    let Some(output) = operation.output.and_then(|id| model.structure(id)) else {
        return response;
    };
    let (body, content_type) = reply_body(model, output, reply);
    *response.body_mut() = body;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    for member in &output.members {
        let Some(value) = reply.document.get(member.name).filter(|value| !value.is_null()) else { continue };
        match member.location {
            Location::Header => {
                let Ok(name) = HeaderName::from_bytes(member.wire_name().as_bytes()) else { continue };
                response.headers_mut().insert(name, header_value(&header_text(model, member, value)));
            }
            Location::Headers => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    let name = format!("{}{key}", member.wire_name());
                    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    response.headers_mut().insert(name, header_value(&text));
                }
            }
            Location::StatusCode => {
                let status = value.as_u64().and_then(|status| u16::try_from(status).ok());
                if let Some(Ok(status)) = status.map(http::StatusCode::from_u16) {
                    *response.status_mut() = status;
                }
            }
            Location::Body | Location::Uri | Location::QueryString => {}
        }
    }
    response
}

fn reply_body(model: &Model, output: &Structure, reply: &Reply) -> (Body, HeaderValue) {
    let json = HeaderValue::from_static("application/json");
    let mut out = Vec::new();
    match output.payload.and_then(|index| output.members.get(index)) {
        Some(member) => match &model.shape(member.shape).kind {
            Kind::Blob(_) => {
                let bytes = HeaderValue::from_static("application/octet-stream");
                return (reply.payload.clone().unwrap_or_default().into(), bytes);
            }
            Kind::Structure(structure) => {
                let document = reply.document.get(member.name).unwrap_or(&Value::Null);
                write_structure(model, structure, document, |_| true, &mut out);
            }
            _ => {
                let text = reply.document.get(member.name).and_then(Value::as_str).unwrap_or_default();
                return (text.to_owned().into(), HeaderValue::from_static("text/plain"));
            }
        },
        None => {
            let in_body = |location| location == Location::Body;
            write_structure(model, output, &reply.document, in_body, &mut out);
        }
    }
    (out.into(), json)
}

fn header_text(model: &Model, member: &Member, value: &Value) -> String {
    match (&model.shape(member.shape).kind, value) {
        (Kind::Timestamp(own), value) => match value.as_f64() {
            Some(seconds) => {
                times::write(seconds, member.time_format.or(*own).unwrap_or(TimeFormat::HttpDate))
            }
            None => value.to_string(),
        },
        (Kind::Document, value) => STANDARD.encode(value.to_string()),
        (_, Value::String(text)) => text.clone(),
        (_, Value::Array(items)) => {
            let items: Vec<String> =
                items.iter().map(|i| i.as_str().map_or_else(|| i.to_string(), str::to_owned)).collect();
            items.join(",")
        }
        (_, value) => value.to_string(),
    }
}

pub fn fault(known: Known<'_>, fault: &Fault) -> Response {
    let modelled = Modelled::of(known, fault);
    let mut response = Response::new(Body::from(fault_body(&modelled, fault, false)));
    *response.status_mut() = modelled.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-amzn-errortype", header_value(modelled.shape_name(fault)));
    response
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Api;

    #[test]
    fn paths_find_operations() {
        let model = Api::named("sagemaker-runtime").unwrap().model();
        let find = |method: &str, path: &str| {
            let request = http::Request::builder().method(method).uri(path).body(()).unwrap();
            route(model, &request.into_parts().0).map(|(operation, labels)| (operation.name, labels))
        };
        let (operation, labels) = find("POST", "/endpoints/a%20b/invocations").unwrap();
        assert_eq!((operation, labels), ("InvokeEndpoint", vec![("EndpointName", "a b".to_owned())]));
        assert_eq!(find("POST", "/endpoints/e/async-invocations").unwrap().0, "InvokeEndpointAsync");
        for path in [
            "/",
            "/endpoints",
            "/endpoints//invocations",
            "/endpoints/a/b/invocations",
            "/endpoints/a/invocations/",
        ] {
            assert_eq!(find("POST", path), None, "{path}");
        }
        assert_eq!(find("GET", "/endpoints/a/invocations"), None);
    }

    #[test]
    fn labels_of_every_kind() {
        let owned = |pairs: &[(&'static str, &str)]| -> Option<Labels> {
            Some(pairs.iter().map(|(n, v)| (*n, (*v).to_owned())).collect())
        };
        assert_eq!(labels("/a/{B}/{C+}", "/a/b/c/d", None), owned(&[("B", "b"), ("C", "c/d")]));
        assert_eq!(labels("/a?x", "/a", Some("y=1&x")), owned(&[]));
        assert_eq!(labels("/a?x", "/a", Some("y=1")), None);
        assert_eq!(labels("/{A}", "/%ff", None), None);
    }

    #[test]
    fn members_come_from_everywhere() {
        let model = Api::named("sagemaker-runtime").unwrap().model();
        let request = http::Request::builder()
            .method("POST")
            .uri("/endpoints/e/async-invocations")
            .header("X-Amzn-SageMaker-InputLocation", "s3://b/k")
            .header("X-Amzn-SageMaker-RequestTTLSeconds", "60")
            .body(())
            .unwrap();
        let parts = request.into_parts().0;
        let (operation, labels) = route(model, &parts).unwrap();
        let (document, payload) =
            document(model, operation, labels, &parts, &Bytes::from_static(b"x")).unwrap();
        assert_eq!(
            document,
            json!({"EndpointName": "e", "InputLocation": "s3://b/k", "RequestTTLSeconds": 60})
        );
        assert_eq!(payload.as_deref(), Some(&b"x"[..]));
    }

    #[test]
    fn answers_spread_out_again() {
        let model = Api::named("sagemaker-runtime").unwrap().model();
        let operation = model.operation("InvokeEndpoint").unwrap();
        let answer = Reply {
            document: json!({"ContentType": "text/csv", "InvokedProductionVariant": "blue\n"}),
            payload: Some(Bytes::from_static(b"1,2")),
        };
        let response = reply(model, operation, &answer);
        assert_eq!(response.headers()["content-type"], "text/csv");
        assert_eq!(response.headers()["x-amzn-invoked-production-variant"], "blue");
        let operation = model.operation("InvokeEndpointAsync").unwrap();
        assert_eq!(reply(model, operation, &json!({"InferenceId": "i"}).into()).status(), 202);
    }
}
