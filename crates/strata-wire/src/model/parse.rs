//! Reads a model's text into [`Model`]: borrowed in one pass, then linked by ids.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{
    ErrorTrait, Kind, Length, List, Location, Map, Member, Model, Operation, Pattern, Range, Shape, ShapeId,
    Structure, Text, TimeFormat,
};

/// What a service says of itself: enough to know which requests are for it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    pub api_version: &'static str,
    pub endpoint_prefix: &'static str,
    #[serde(default)]
    signing_name: Option<&'static str>,
    /// `1.0` or `1.1`, where the service speaks JSON.
    #[serde(default)]
    pub json_version: Option<&'static str>,
    pub protocols: Vec<&'static str>,
    /// What stands before the dot in `X-Amz-Target`.
    #[serde(default)]
    pub target_prefix: Option<&'static str>,
    #[serde(default)]
    pub xml_namespace: Option<&'static str>,
    /// JSON errors carry the code of the Query protocol in a header.
    #[serde(default)]
    aws_query_compatible: Option<serde::de::IgnoredAny>,
    pub service_full_name: &'static str,
}

impl Metadata {
    /// The service's name in signatures.
    pub fn signing_name(&self) -> &'static str {
        self.signing_name.unwrap_or(self.endpoint_prefix)
    }

    pub fn query_compatible(&self) -> bool {
        self.aws_query_compatible.is_some()
    }

    pub fn speaks(&self, protocol: &str) -> bool {
        self.protocols.contains(&protocol)
    }
}

// The models are part of the binary and tests read every one of them: a model that does not
// read is a broken build, not something that a client can cause.
#[track_caller]
fn sound<T>(name: &str, result: Result<T, impl fmt::Display>) -> T {
    match result {
        Ok(value) => value,
        Err(cause) => panic!("apis/{name}.json: {cause}"),
    }
}

/// Reads the metadata, which has a line of its own at the top.
pub(super) fn metadata(name: &'static str, text: &'static str) -> Metadata {
    let line = text.lines().nth(1).and_then(|line| line.strip_prefix("\"metadata\":"));
    let line = sound(name, line.ok_or("no metadata in the second line"));
    sound(name, serde_json::from_str(line.trim_end_matches(',')))
}

pub(super) fn model(name: &'static str, text: &'static str) -> Model {
    let raw: RawModel = sound(name, serde_json::from_str(text));
    let ids: HashMap<&str, ShapeId> =
        raw.shapes.0.iter().enumerate().map(|(i, (name, _))| (*name, ShapeId(i as u32))).collect();
    let linker = Linker { name, ids };
    let mut operations: Vec<Operation> =
        raw.operations.0.into_iter().map(|(name, raw)| linker.operation(name, raw)).collect();
    operations.sort_by_key(|operation| operation.name);
    let shapes = raw.shapes.0.into_iter().map(|(name, raw)| linker.shape(name, raw)).collect();
    Model { name, operations, shapes }
}

struct Linker {
    name: &'static str,
    ids: HashMap<&'static str, ShapeId>,
}

impl Linker {
    fn id(&self, shape: &str) -> ShapeId {
        sound(self.name, self.ids.get(shape).copied().ok_or_else(|| format!("no shape {shape}")))
    }

    fn reference(&self, reference: &Option<RawMember>) -> ShapeId {
        let reference = reference.as_ref().ok_or("a list or map without a member");
        self.id(sound(self.name, reference).shape)
    }

    fn operation(&self, name: &'static str, raw: RawOperation) -> Operation {
        Operation {
            name,
            method: raw.http.method,
            uri: raw.http.request_uri,
            input: raw.input.as_ref().map(|input| self.id(input.shape)),
            output: raw.output.as_ref().map(|output| self.id(output.shape)),
            wrapper: raw.output.and_then(|output| output.result_wrapper),
            errors: raw.errors.iter().map(|error| self.id(error.shape)).collect(),
            status: raw.http.response_code.unwrap_or(200),
        }
    }

    fn shape(&self, name: &'static str, raw: RawShape) -> Shape {
        let length =
            Length { min: raw.min.map(|n| n.max(0.0) as u64), max: raw.max.map(|n| n.max(0.0) as u64) };
        let range = Range { min: raw.min, max: raw.max };
        let sensitive = raw.sensitive;
        let kind = match raw.kind {
            _ if raw.document => Kind::Document,
            "structure" => Kind::Structure(Box::new(self.structure(raw))),
            "list" => Kind::List(List {
                member: self.reference(&raw.member),
                member_name: raw.member.as_ref().and_then(|m| m.location_name),
                flattened: raw.flattened,
                length,
            }),
            "map" => Kind::Map(Map {
                key: self.reference(&raw.key),
                key_name: raw.key.as_ref().and_then(|m| m.location_name),
                value: self.reference(&raw.value),
                value_name: raw.value.as_ref().and_then(|m| m.location_name),
                flattened: raw.flattened,
                length,
            }),
            "string" | "character" => Kind::Text(Box::new(Text {
                length,
                pattern: raw.pattern.map(|text| Pattern::new(lasting(text))),
                words: raw.words.into_iter().map(lasting).collect(),
            })),
            "blob" => Kind::Blob(length),
            "boolean" => Kind::Boolean,
            "integer" | "short" | "byte" => Kind::Integer(range),
            "long" => Kind::Long(range),
            "float" => Kind::Float(range),
            "double" => Kind::Double(range),
            "timestamp" => Kind::Timestamp(raw.timestamp_format.map(|word| self.time_format(word))),
            other => sound(self.name, Err(format!("{name} has the unknown type {other}"))),
        };
        Shape { name, kind, sensitive }
    }

    fn structure(&self, raw: RawShape) -> Structure {
        let members: Vec<Member> = raw
            .members
            .0
            .into_iter()
            .map(|(name, member)| Member {
                name,
                shape: self.id(member.shape),
                required: raw.required.contains(&name),
                location: match member.location {
                    None => Location::Body,
                    Some("uri") => Location::Uri,
                    Some("querystring") => Location::QueryString,
                    Some("header") => Location::Header,
                    Some("headers") => Location::Headers,
                    Some("statusCode") => Location::StatusCode,
                    Some(other) => sound(self.name, Err(format!("{name} has the unknown place {other}"))),
                },
                wire_name: member.location_name,
                flattened: member.flattened,
                time_format: member.timestamp_format.map(|word| self.time_format(word)),
            })
            .collect();
        let payload = raw.payload.and_then(|payload| members.iter().position(|m| m.name == payload));
        let error = (raw.exception || raw.error.is_some()).then(|| {
            let error = raw.error.unwrap_or_default();
            ErrorTrait { code: error.code, status: error.http_status_code, fault: raw.fault }
        });
        Structure { members, union: raw.union, payload, error }
    }

    fn time_format(&self, word: &str) -> TimeFormat {
        match word {
            "unixTimestamp" => TimeFormat::Seconds,
            "iso8601" => TimeFormat::Iso8601,
            "rfc822" => TimeFormat::HttpDate,
            other => sound(self.name, Err(format!("unknown time format {other}"))),
        }
    }
}

/// Text with escapes (patterns mostly) cannot be a slice of the file. It is leaked: a model
/// lives as long as the process and is read once.
fn lasting(text: Cow<'static, str>) -> &'static str {
    match text {
        Cow::Borrowed(text) => text,
        Cow::Owned(text) => Box::leak(text.into_boxed_str()),
    }
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
struct RawModel {
    operations: Entries<RawOperation>,
    shapes: Entries<RawShape>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
struct RawOperation {
    http: RawHttp,
    #[serde(default)]
    input: Option<RawReference>,
    #[serde(default)]
    output: Option<RawReference>,
    #[serde(default)]
    errors: Vec<RawReference>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawHttp {
    method: &'static str,
    request_uri: &'static str,
    #[serde(default)]
    response_code: Option<u16>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawReference {
    shape: &'static str,
    #[serde(default)]
    result_wrapper: Option<&'static str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawShape {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(default)]
    required: Vec<&'static str>,
    #[serde(default)]
    members: Entries<RawMember>,
    #[serde(default)]
    member: Option<RawMember>,
    #[serde(default)]
    key: Option<RawMember>,
    #[serde(default)]
    value: Option<RawMember>,
    #[serde(default)]
    min: Option<f64>,
    #[serde(default)]
    max: Option<f64>,
    #[serde(default, borrow)]
    pattern: Option<Cow<'static, str>>,
    #[serde(default, rename = "enum", deserialize_with = "words")]
    words: Vec<Cow<'static, str>>,
    #[serde(default)]
    union: bool,
    #[serde(default)]
    document: bool,
    #[serde(default)]
    sensitive: bool,
    #[serde(default)]
    exception: bool,
    #[serde(default)]
    error: Option<RawError>,
    #[serde(default)]
    fault: bool,
    #[serde(default)]
    payload: Option<&'static str>,
    #[serde(default)]
    flattened: bool,
    #[serde(default)]
    timestamp_format: Option<&'static str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMember {
    shape: &'static str,
    #[serde(default)]
    location: Option<&'static str>,
    #[serde(default)]
    location_name: Option<&'static str>,
    #[serde(default)]
    flattened: bool,
    #[serde(default)]
    timestamp_format: Option<&'static str>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawError {
    #[serde(default)]
    code: Option<&'static str>,
    #[serde(default)]
    http_status_code: Option<u16>,
}

/// Borrows where it can: serde's own `Vec<Cow<str>>` would copy every word.
fn words<'de: 'static, D: Deserializer<'de>>(from: D) -> Result<Vec<Cow<'static, str>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Word(#[serde(borrow)] Cow<'static, str>);
    Ok(Vec::<Word>::deserialize(from)?.into_iter().map(|word| word.0).collect())
}

/// A JSON object in its own order.
struct Entries<T>(Vec<(&'static str, T)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de: 'static, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder<T>(PhantomData<T>);
        impl<'de: 'static, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        from.deserialize_map(InOrder(PhantomData))
    }
}
