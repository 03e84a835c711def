//! JSON 1.0 and 1.1: `X-Amz-Target` names the operation, the body is the document.

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

use super::{JsonVersion, Known, Modelled, header_value};
use crate::model::{Kind, Location, Model, Operation, ShapeId, Structure, TimeFormat};
use crate::{Body, Fault, Reply, Response, times};

impl JsonVersion {
    pub fn content_type(self) -> &'static str {
        match self {
            JsonVersion::V1_0 => "application/x-amz-json-1.0",
            JsonVersion::V1_1 => "application/x-amz-json-1.1",
        }
    }
}

/// Reads a body as a document. An empty one asks for nothing, as AWS reads it too.
pub fn document(body: &[u8]) -> Result<Value, Fault> {
    if body.trim_ascii().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    // serde_json allows 128 levels: deeper bodies end here, before they cost a stack.
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(Value::Object(members)),
        Ok(_) => Err(Fault::new(400, "SerializationException", "the body is not a JSON object")),
        Err(cause) => Err(Fault::new(
            400,
            "SerializationException",
            format!("could not read the body as JSON: {cause}"),
        )),
    }
}

pub fn reply(version: JsonVersion, model: &Model, operation: &Operation, reply: &Reply) -> Response {
    let mut out = Vec::new();
    if let Some(structure) = operation.output.and_then(|id| model.structure(id)) {
        out.reserve(256);
        write_structure(model, structure, &reply.document, |_| true, &mut out);
    }
    let mut response = Response::new(Body::from(out));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(version.content_type()));
    response
}

pub fn fault(version: JsonVersion, known: Known<'_>, fault: &Fault) -> Response {
    let modelled = Modelled::of(known, fault);
    let mut response = Response::new(Body::from(fault_body(&modelled, fault, true)));
    *response.status_mut() = modelled.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(version.content_type()));
    headers.insert("x-amzn-errortype", header_value(modelled.shape_name(fault)));
    if known.is_some_and(|(metadata, _)| metadata.query_compatible()) {
        let code = format!("{};{}", modelled.query_code(fault), modelled.blame());
        headers.insert("x-amzn-query-error", header_value(&code));
    }
    response
}

/// The members of an error; its type too where no header is sure to carry it.
pub(super) fn fault_body(modelled: &Modelled<'_>, fault: &Fault, with_type: bool) -> Vec<u8> {
    let mut body = Map::new();
    if with_type {
        body.insert("__type".into(), modelled.shape_name(fault).into());
    }
    // Services disagree on the case; strict readers want the one of their model.
    let message = modelled
        .error
        .and_then(|(shape, _)| match &shape.kind {
            Kind::Structure(structure) => {
                structure.members.iter().find(|m| m.name.eq_ignore_ascii_case("message"))
            }
            _ => None,
        })
        .map_or("message", |member| member.name);
    body.insert(message.into(), fault.message.as_str().into());
    for (name, value) in &fault.members {
        body.insert(name.clone(), value.clone());
    }
    Value::Object(body).to_string().into_bytes()
}

/// Writes the members that the model has, in its order; nulls are absent. What else the
/// document holds stays here, so a handler may pass on what it stored.
pub(super) fn write_structure(
    model: &Model,
    structure: &Structure,
    document: &Value,
    wanted: impl Fn(Location) -> bool,
    out: &mut Vec<u8>,
) {
    out.push(b'{');
    let mut first = true;
    for member in &structure.members {
        let value = match document.get(member.name) {
            None | Some(Value::Null) => continue,
            Some(value) => value,
        };
        if !wanted(member.location) {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        write_json(&member.wire_name(), out);
        out.push(b':');
        write(model, member.shape, member.time_format, value, out);
    }
    out.push(b'}');
}

fn write(model: &Model, id: ShapeId, format: Option<TimeFormat>, value: &Value, out: &mut Vec<u8>) {
    match (&model.shape(id).kind, value) {
        (Kind::Structure(structure), Value::Object(_)) => {
            write_structure(model, structure, value, |_| true, out);
        }
        (Kind::List(list), Value::Array(items)) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(model, list.member, None, item, out);
            }
            out.push(b']');
        }
        (Kind::Map(map), Value::Object(entries)) => {
            out.push(b'{');
            let entries = entries.iter().filter(|(_, value)| !value.is_null());
            for (index, (key, value)) in entries.enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_json(key, out);
                out.push(b':');
                write(model, map.value, None, value, out);
            }
            out.push(b'}');
        }
        (Kind::Timestamp(own), value) => match (format.or(*own), value.as_f64()) {
            (Some(format @ (TimeFormat::Iso8601 | TimeFormat::HttpDate)), Some(seconds)) => {
                write_json(&times::write(seconds, format), out);
            }
            _ => write_json(value, out),
        },
        (_, value) => write_json(value, out),
    }
}

fn write_json(value: &impl serde::Serialize, out: &mut Vec<u8>) {
    // Writing to memory cannot fail, and these values have string keys only.
    let _ = serde_json::to_writer(out, value);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Api;

    #[test]
    fn answers_carry_what_the_model_has() {
        let model = Api::named("sagemaker").unwrap().model();
        let operation = model.operation("DescribeTrainingJob").unwrap();
        let structure = model.structure(operation.output.unwrap()).unwrap();
        let document = json!({
            "CreationTime": 1.5,
            "TrainingJobName": "a\"b",
            "Tags": [],
            "VpcConfig": null,
            "HyperParameters": {"b": "2", "a": "1", "c": null},
            "InputDataConfig": [{"ChannelName": "train", "Unheard": 1}],
        });
        let mut out = Vec::new();
        write_structure(model, structure, &document, |_| true, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"TrainingJobName":"a\"b","HyperParameters":{"a":"1","b":"2"},"InputDataConfig":[{"ChannelName":"train"}],"CreationTime":1.5}"#
        );
    }

    #[test]
    fn bodies_read_or_are_refused() {
        assert_eq!(document(b" ").unwrap(), json!({}));
        assert_eq!(document(br#"{"a":1}"#).unwrap(), json!({"a": 1}));
        let deep = "[".repeat(200_000);
        for bad in [&b"[]"[..], b"{", b"{\"a\":\xff}", b"nul", deep.as_bytes()] {
            assert_eq!(document(bad).unwrap_err().code, "SerializationException");
        }
    }

    /// Were there any, `document` would have to rename them.
    #[test]
    fn no_json_model_renames_members_in_the_body() {
        for api in Api::all() {
            if !api.metadata.speaks("json") && !api.metadata.speaks("rest-json") {
                continue;
            }
            for shape in api.model().shapes() {
                let Kind::Structure(structure) = &shape.kind else { continue };
                for member in structure.members.iter().filter(|m| m.location == Location::Body) {
                    assert_eq!(member.wire_name(), member.name, "{} {}", api.name, shape.name);
                }
            }
        }
    }
}
