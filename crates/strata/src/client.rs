//! A small client of a running cloud: signs requests, reads answers and errors.

use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use strata_platform::access::RootKey;
use strata_wire::sigv4::{self, Credentials};
use tokio::runtime::Runtime;

use crate::config::{self, Running};

pub struct Client {
    url: String,
    keys: RootKey,
    session_token: Option<String>,
    region: String,
    http: Http<HttpConnector, Full<Bytes>>,
    runtime: Runtime,
}

/// An answer with status 2xx.
pub struct Answer {
    pub headers: HeaderMap,
    pub body: Bytes,
}

#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The cloud said no, in AWS's words.
    #[error("{message} ({code})")]
    Refused { code: String, message: String },
    #[error("{0}")]
    Unreachable(String),
}

impl Client {
    /// Finds the cloud: `AWS_ENDPOINT_URL` with the `AWS_*` keys where they are set, else the
    /// cloud that runs on this data folder.
    pub fn connect(data: &Path) -> Result<Self, String> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let url = variable("AWS_ENDPOINT_URL")
            .or_else(|| Running::load(data).map(|running| running.url))
            .unwrap_or_else(|| config::DEFAULT_URL.into());
        let (keys, session_token) = match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
            (Some(access_key_id), Some(secret_access_key)) => {
                (RootKey { access_key_id, secret_access_key }, variable("AWS_SESSION_TOKEN"))
            }
            _ => (config::keys(data)?, None),
        };
        let region = variable("AWS_REGION")
            .or_else(|| variable("AWS_DEFAULT_REGION"))
            .unwrap_or_else(|| strata_base::Cloud::default().region);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|cause| format!("could not start the client: {cause}"))?;
        let http = Http::builder(TokioExecutor::new()).build_http();
        Ok(Self { url: url.trim_end_matches('/').into(), keys, session_token, region, http, runtime })
    }

    /// A SageMaker operation; the error as text for a person.
    pub fn sagemaker(&self, operation: &str, input: &Value) -> Result<Value, String> {
        self.ask("sagemaker", operation, input).map_err(|problem| problem.to_string())
    }

    /// A JSON operation of a service: `sagemaker` or `logs`.
    pub fn ask(&self, service: &str, operation: &str, input: &Value) -> Result<Value, Problem> {
        let prefix = match service {
            "logs" => "Logs_20140328",
            _ => "SageMaker",
        };
        let target = format!("{prefix}.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let answer = self.post(service, "/", &headers, without_nulls(input).to_string().into_bytes())?;
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer.body)
            .map_err(|cause| Problem::Unreachable(format!("{} gave no JSON: {cause}", self.url)))
    }

    /// All pages of a list operation, up to `limit` entries.
    pub fn list(
        &self,
        operation: &str,
        member: &str,
        mut query: Value,
        limit: usize,
    ) -> Result<Vec<Value>, String> {
        let mut items = Vec::new();
        while items.len() < limit {
            query["MaxResults"] = json!((limit - items.len()).min(100));
            let mut page = self.sagemaker(operation, &query)?;
            if let Value::Array(more) = page[member].take() {
                items.extend(more);
            }
            match page["NextToken"].take() {
                Value::String(token) => query["NextToken"] = token.into(),
                _ => break,
            }
        }
        items.truncate(limit);
        Ok(items)
    }

    /// A signed POST.
    pub fn post(
        &self,
        service: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, Problem> {
        let unreachable = |cause: String| Problem::Unreachable(cause);
        let mut request = Request::post(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let host = self.url.split_once("://").map_or(self.url.as_str(), |(_, host)| host);
        let request = request
            .header(header::HOST, host)
            .body(Full::new(Bytes::from(body.clone())))
            .map_err(|cause| unreachable(format!("the address {} is not usable: {cause}", self.url)))?;
        let (mut parts, payload) = request.into_parts();
        let keys = Credentials {
            access_key: self.keys.access_key_id.clone(),
            secret: self.keys.secret_access_key.clone(),
            session_token: self.session_token.clone(),
        };
        sigv4::sign(&keys, &self.region, service, &mut parts, &sigv4::sha256_hex(&body))
            .map_err(|cause| unreachable(format!("could not sign the request: {cause}")))?;
        let request = Request::from_parts(parts, payload);
        self.runtime.block_on(async {
            let response = self.http.request(request).await.map_err(|cause| {
                let cause = std::error::Error::source(&cause).map_or(cause.to_string(), |e| e.to_string());
                unreachable(format!(
                    "no cloud answers at {} ({cause}); start one with \"strata up\"",
                    self.url
                ))
            })?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|cause| unreachable(cause.to_string()))?.to_bytes();
            if head.status.is_success() {
                return Ok(Answer { headers: head.headers, body });
            }
            Err(refusal(&head, &body))
        })
    }
}

/// AWS's error body: code in `__type` or a header, sentence in `message` or `Message`.
fn refusal(head: &http::response::Parts, body: &[u8]) -> Problem {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let header = head.headers.get("x-amzn-errortype").and_then(|code| code.to_str().ok());
    let code = header.or_else(|| document["__type"].as_str()).unwrap_or(head.status.as_str());
    let code = code.split(':').next().unwrap_or(code);
    let code = code.rsplit('#').next().unwrap_or(code).to_string();
    let message = ["message", "Message"]
        .iter()
        .find_map(|member| document[*member].as_str())
        .map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_string);
    Problem::Refused { code, message }
}

/// An absent member is absent, not null.
fn without_nulls(document: &Value) -> Value {
    match document {
        Value::Object(map) => {
            map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect()
        }
        other => other.clone(),
    }
}
