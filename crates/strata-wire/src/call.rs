//! One request, decoded and validated, and its answer before it is encoded.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

/// Who signed the request.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    pub access_key: String,
    /// `arn:aws:iam::ACCOUNT:root`, `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`, ...
    pub arn: String,
    /// The `UserId` of GetCallerIdentity.
    pub user_id: String,
    pub account: String,
}

/// A request to one operation. The document has passed the service model's constraints.
#[derive(Clone, Debug)]
pub struct Call {
    /// Name of the model in `apis/`, e.g. `sagemaker`.
    pub service: &'static str,
    pub operation: &'static str,
    pub caller: Caller,
    pub request_id: String,
    /// From the signature's scope.
    pub region: String,
    /// Members by their names in the model; timestamps as seconds, blobs as base64 text.
    pub document: Value,
    /// The blob payload of REST-JSON operations that have one.
    pub payload: Bytes,
    pub headers: HeaderMap,
}

/// What an operation returns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// Members by their names in the model. Times are [`Timestamp`](strata_base::Timestamp)
    /// seconds (numbers); each codec writes its own form.
    pub document: Value,
    /// The blob payload of REST-JSON operations that have one.
    pub payload: Option<Bytes>,
}

impl From<Value> for Reply {
    fn from(document: Value) -> Self {
        Self { document, payload: None }
    }
}
