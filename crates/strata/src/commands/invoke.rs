//! `strata invoke`: one request to an endpoint.

use std::io::{Read, Write};

use crate::cli::Invoke;
use crate::client::Client;

pub fn run(cloud: &Client, args: &Invoke) -> Result<(), String> {
    let mut headers = vec![("content-type", args.content_type.as_str())];
    if let Some(accept) = &args.accept {
        headers.push(("accept", accept));
    }
    if let Some(variant) = &args.variant {
        headers.push(("x-amzn-sagemaker-target-variant", variant));
    }
    let path = format!("/endpoints/{}/invocations", args.name);
    let answer = cloud.post("sagemaker", &path, &headers, body(&args.body)?).map_err(|p| p.to_string())?;
    if let Some(variant) = answer.headers.get("x-amzn-invoked-production-variant") {
        eprintln!("variant: {}", String::from_utf8_lossy(variant.as_bytes()));
    }
    let mut out = std::io::stdout().lock();
    let printed = out
        .write_all(&answer.body)
        .and_then(|()| if answer.body.ends_with(b"\n") { Ok(()) } else { out.write_all(b"\n") });
    printed.map_err(|cause| cause.to_string())
}

/// The text itself, or what the file (or standard input) behind `@` holds.
fn body(text: &str) -> Result<Vec<u8>, String> {
    match text.strip_prefix('@') {
        None => Ok(text.as_bytes().to_vec()),
        Some("-") => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).map_err(|cause| format!("standard input: {cause}"))?;
            Ok(bytes)
        }
        Some(path) => std::fs::read(path).map_err(|cause| format!("could not read {path}: {cause}")),
    }
}
