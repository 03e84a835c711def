//! The `Predictor` port: a loaded model that answers requests.
//!
//! Two kinds implement it. Models that live in this process answer at once
//! ([`Reply::Now`]): no task, no allocation of a future. Child processes answer
//! later ([`Reply::Later`]).

use bytes::Bytes;
use futures::future::BoxFuture;

/// One request to a model, as InvokeEndpoint got it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `Content-Type` as the caller sent it, parameters and all; empty when absent.
    pub content_type: String,
    /// `Accept`; empty or `*/*` leaves the choice to the model.
    pub accept: String,
    pub custom_attributes: Option<String>,
    pub body: Bytes,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub content_type: String,
    pub body: Bytes,
    pub custom_attributes: Option<String>,
}

/// Why a model gave no answer. The sentences reach the caller.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PredictError {
    /// The body does not hold what the model needs (AWS: ModelError 400).
    #[error("{0}")]
    BadRequest(String),
    /// The content type is not one the model reads (ModelError 415).
    #[error("{0}")]
    UnsupportedContentType(String),
    /// None of the accepted types can be written (ModelError 406).
    #[error("{0}")]
    NotAcceptable(String),
    /// The model itself failed (ModelError 500).
    #[error("{0}")]
    Failed(String),
    /// Too many requests wait already (ServiceUnavailable 503).
    #[error("{0}")]
    Overloaded(String),
    /// No answer in time (ModelError with a time-out sentence).
    #[error("{0}")]
    TimedOut(String),
}

pub enum Reply {
    Now(Result<Answer, PredictError>),
    Later(BoxFuture<'static, Result<Answer, PredictError>>),
}

/// A loaded model. Many calls run at once; none may panic on any body.
pub trait Predictor: Send + Sync + 'static {
    fn predict(&self, request: Request) -> Reply;
}

/// A model in memory that computes its answer on the caller's thread.
/// Memory-safe Rust only, and bounded by the size of the body.
pub trait Scorer: Send + Sync + 'static {
    fn score(&self, request: &Request) -> Result<Answer, PredictError>;

    /// Bytes held in memory, roughly; shown to operators.
    fn size(&self) -> usize;
}
