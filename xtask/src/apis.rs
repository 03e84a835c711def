//! Makes `apis/*.json` from the service models that botocore carries: shapes,
//! constraints, HTTP bindings, errors and metadata stay; every word of prose goes.
//!
//! One operation or shape a line, sorted by name, so that a new version of
//! botocore is a diff that a person can read. Members keep the model's order.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::json::Json;

/// The served services, by the names of botocore's folders.
const SERVICES: [&str; 6] = ["cloudwatch", "iam", "logs", "sagemaker", "sagemaker-runtime", "sts"];

// What is kept, level by level. A list of what stays rather than of what goes: a new kind
// of prose can then never slip in.
const METADATA: &[&str] = &[
    "apiVersion",
    "awsQueryCompatible",
    "endpointPrefix",
    "globalEndpoint",
    "jsonVersion",
    "protocol",
    "protocols",
    "serviceFullName",
    "serviceId",
    "signingName",
    "targetPrefix",
    "uid",
    "xmlNamespace",
];
const OPERATION: &[&str] = &["authtype", "http", "input", "output", "errors"];
const REFERENCE: &[&str] = &["shape", "resultWrapper"];
const SHAPE: &[&str] = &[
    "type",
    "required",
    "members",
    "member",
    "key",
    "value",
    "min",
    "max",
    "pattern",
    "enum",
    "union",
    "document",
    "sensitive",
    "exception",
    "error",
    "fault",
    "payload",
    "flattened",
    "locationName",
    "timestampFormat",
    "event",
    "eventstream",
];
const MEMBER: &[&str] = &[
    "shape",
    "location",
    "locationName",
    "flattened",
    "queryName",
    "timestampFormat",
    "jsonvalue",
    "idempotencyToken",
    "eventpayload",
    "streaming",
    "xmlAttribute",
    "xmlNamespace",
];

pub fn make(botocore: Option<&str>) -> Result<(), String> {
    let botocore = match botocore {
        Some(folder) => PathBuf::from(folder),
        None => ask_python()?,
    };
    let version = version(&botocore)?;
    let apis = Path::new(env!("CARGO_MANIFEST_DIR")).join("../apis");
    fs::create_dir_all(&apis).map_err(|cause| format!("{}: {cause}", apis.display()))?;
    for service in SERVICES {
        let text = compact(&model(&botocore, service)?);
        write(&apis.join(format!("{service}.json")), &text)?;
        println!("apis/{service}.json: {} lines", text.lines().count());
    }
    write(&apis.join("NOTICE"), &notice(&version))?;
    println!("from botocore {version}");
    Ok(())
}

fn ask_python() -> Result<PathBuf, String> {
    let hint = "install it (pip install botocore) or name its folder: cargo xtask apis --botocore DIR";
    let output = Command::new("python3")
        .args(["-c", "import botocore; print(botocore.__path__[0])"])
        .output()
        .map_err(|cause| format!("could not start python3: {cause}; {hint}"))?;
    if !output.status.success() {
        return Err(format!("python3 has no botocore; {hint}"));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// Reads `__version__ = '1.2.3'`; running Python for it could ask another botocore.
fn version(botocore: &Path) -> Result<String, String> {
    let path = botocore.join("__init__.py");
    let text = fs::read_to_string(&path).map_err(|cause| format!("{}: {cause}", path.display()))?;
    text.lines()
        .find_map(|line| line.strip_prefix("__version__ = "))
        .map(|value| value.trim().trim_matches(['\'', '"']).to_owned())
        .ok_or_else(|| format!("{}: no __version__ line", path.display()))
}

/// The newest version of a service's model.
fn model(botocore: &Path, service: &str) -> Result<Json, String> {
    let folder = botocore.join("data").join(service);
    let mut versions: Vec<PathBuf> = fs::read_dir(&folder)
        .map_err(|cause| format!("{}: {cause}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect();
    versions.sort();
    let newest = versions.last().ok_or_else(|| format!("{}: no versions", folder.display()))?;

    let packed = newest.join("service-2.json.gz");
    let plain = newest.join("service-2.json");
    let mut text = String::new();
    let (path, read) = match fs::File::open(&packed) {
        Ok(file) => (packed, flate2::read::GzDecoder::new(file).read_to_string(&mut text)),
        Err(_) => {
            let file = fs::File::open(&plain).map_err(|cause| format!("{}: {cause}", plain.display()))?;
            (plain, std::io::BufReader::new(file).read_to_string(&mut text))
        }
    };
    read.map_err(|cause| format!("{}: {cause}", path.display()))?;
    serde_json::from_str(&text).map_err(|cause| format!("{}: {cause}", path.display()))
}

fn compact(model: &Json) -> String {
    let mut text = String::from("{\n");
    let metadata = model.get("metadata").map(|m| keep(m, METADATA)).unwrap_or(Json::Null);
    let _ = writeln!(text, "\"metadata\":{metadata},");
    section(&mut text, "operations", model, operation);
    text.push_str(",\n");
    section(&mut text, "shapes", model, shape);
    text.push_str("\n}\n");
    text
}

fn section(text: &mut String, name: &str, model: &Json, strip: fn(&Json) -> Json) {
    let mut members: Vec<&(String, Json)> =
        model.get(name).map(Json::members).unwrap_or_default().iter().collect();
    members.sort_by(|a, b| a.0.cmp(&b.0));
    let lines: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("{}:{}", Json::Text(name.clone()), strip(value)))
        .collect();
    let _ = write!(text, "\"{name}\":{{\n{}\n}}", lines.join(",\n"));
}

fn operation(operation: &Json) -> Json {
    edit(keep(operation, OPERATION), |name, value| match (name, value) {
        ("input" | "output", reference) => keep(&reference, REFERENCE),
        ("errors", Json::List(errors)) => {
            Json::List(errors.iter().map(|error| keep(error, REFERENCE)).collect())
        }
        (_, value) => value,
    })
}

fn shape(shape: &Json) -> Json {
    edit(keep(shape, SHAPE), |name, value| match name {
        "members" => edit(value, |_, member| keep(&member, MEMBER)),
        "member" | "key" | "value" => keep(&value, MEMBER),
        _ => value,
    })
}

fn keep(object: &Json, names: &[&str]) -> Json {
    let mut kept: Vec<(String, Json)> =
        object.members().iter().filter(|(name, _)| names.contains(&name.as_str())).cloned().collect();
    kept.sort_by_key(|(name, _)| names.iter().position(|n| n == name));
    Json::Object(kept)
}

fn edit(object: Json, change: impl Fn(&str, Json) -> Json) -> Json {
    match object {
        Json::Object(members) => Json::Object(
            members
                .into_iter()
                .map(|(name, value)| {
                    let value = change(&name, value);
                    (name, value)
                })
                .collect(),
        ),
        other => other,
    }
}

fn notice(version: &str) -> String {
    format!(
        "The service models in this folder are made from those of botocore {version}\n\
         (https://github.com/boto/botocore): shapes, constraints, HTTP bindings, errors and\n\
         metadata; all documentation text is removed. `cargo xtask apis` makes them anew.\n\
         \n\
         botocore\n\
         Copyright 2012-2025 Amazon.com, Inc. or its affiliates. All Rights Reserved.\n\
         Licensed under the Apache License, Version 2.0:\n\
         https://www.apache.org/licenses/LICENSE-2.0\n"
    )
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|cause| format!("{}: {cause}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_goes_and_lines_are_sorted() {
        let model = r#"{
            "metadata": {"uid": "u", "apiVersion": "1", "serviceAbbreviation": "S"},
            "operations": {
                "B": {"name": "B", "http": {"method": "POST", "requestUri": "/"}, "documentation": "<p>no</p>"},
                "A": {"http": {"method": "GET", "requestUri": "/"}, "input": {"shape": "S", "documentation": "no"}}
            },
            "shapes": {
                "S": {"type": "structure", "documentation": "no", "required": ["Z"], "members": {
                    "Z": {"shape": "T", "documentation": "no"}, "Y": {"shape": "T", "deprecatedMessage": "no"}
                }},
                "L": {"type": "list", "member": {"shape": "T", "documentation": "no"}, "max": 2}
            },
            "documentation": "no"
        }"#;
        assert_eq!(
            compact(&serde_json::from_str(model).unwrap()),
            "{\n\
             \"metadata\":{\"apiVersion\":\"1\",\"uid\":\"u\"},\n\
             \"operations\":{\n\
             \"A\":{\"http\":{\"method\":\"GET\",\"requestUri\":\"/\"},\"input\":{\"shape\":\"S\"}},\n\
             \"B\":{\"http\":{\"method\":\"POST\",\"requestUri\":\"/\"}}\n\
             },\n\
             \"shapes\":{\n\
             \"L\":{\"type\":\"list\",\"member\":{\"shape\":\"T\"},\"max\":2},\n\
             \"S\":{\"type\":\"structure\",\"required\":[\"Z\"],\"members\":{\"Z\":{\"shape\":\"T\"},\"Y\":{\"shape\":\"T\"}}}\n\
             }\n\
             }\n"
        );
    }
}
