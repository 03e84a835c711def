//! Endpoints in service, as the request path sees them: a snapshot in memory that is
//! replaced whole. Nothing here waits for a lock or a database.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::BoxFuture;
use strata_base::predictor::{Answer, PredictError, Predictor, Reply, Request};

use super::journal::{Journal, Place};
use super::meters::{Outcome, VariantMeters};
use super::shares::Shares;

/// Requests that may wait or run at once, an instance; those answered at once do not count.
const WAITING: usize = 64;

/// One endpoint and the variants that answer for it.
pub struct LiveEndpoint {
    name: Arc<str>,
    variants: Vec<Arc<LiveVariant>>,
    shares: Shares,
}

/// One variant of an endpoint. A request holds on to it, so a variant that was replaced
/// answers all it was given before it goes.
pub struct LiveVariant {
    endpoint: Arc<str>,
    /// Text, shared with every answer.
    name: Bytes,
    predictor: Arc<dyn Predictor>,
    default_accept: Option<String>,
    patience: Duration,
    meters: Arc<VariantMeters>,
    inside: AtomicUsize,
    journal: Arc<Journal>,
    place: Arc<Place>,
}

/// How an invocation is answered.
pub enum Invocation {
    Now(Result<Invoked, InvokeError>),
    Later(BoxFuture<'static, Result<Invoked, InvokeError>>),
}

#[derive(Debug, PartialEq)]
pub struct Invoked {
    /// Name of the variant that answered; text.
    pub variant: Bytes,
    pub answer: Answer,
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub enum InvokeError {
    #[error("Endpoint {endpoint} of account {account} not found.")]
    NoEndpoint { endpoint: String, account: String },
    #[error("Variant {variant} of endpoint {endpoint} not found: it has {known}.")]
    NoVariant { endpoint: String, variant: String, known: String },
    /// Turned away at once; worth trying again.
    #[error("{0}")]
    Unavailable(String),
    /// The model answered with an error, or not at all (status 0).
    #[error("{message}")]
    Model { endpoint: String, status: u16, message: String },
}

impl LiveEndpoint {
    /// `None` where no variant has a weight.
    pub fn new(name: Arc<str>, variants: Vec<(Arc<LiveVariant>, f64)>) -> Option<Self> {
        let weights: Vec<f64> = variants.iter().map(|(_, weight)| *weight).collect();
        let shares = Shares::new(&weights)?;
        Some(Self { name, variants: variants.into_iter().map(|(variant, _)| variant).collect(), shares })
    }

    /// The variant of this name.
    pub fn variant(&self, name: &str) -> Option<&Arc<LiveVariant>> {
        self.variants.iter().find(|variant| variant.name == name.as_bytes())
    }

    /// `received`: when the request arrived, for the overhead metric.
    pub fn invoke(&self, target: Option<&str>, request: Request, received: Instant) -> Invocation {
        let variant = match target {
            None => self.variants.get(self.shares.next()),
            Some(name) => self.variant(name),
        };
        match variant {
            Some(variant) => variant.invoke(request, received),
            None => Invocation::Now(Err(InvokeError::NoVariant {
                endpoint: self.name.to_string(),
                variant: target.unwrap_or_default().into(),
                known: self
                    .variants
                    .iter()
                    .map(|variant| String::from_utf8_lossy(&variant.name))
                    .collect::<Vec<_>>()
                    .join(", "),
            })),
        }
    }
}

/// What a variant is made of.
pub struct Parts<'a> {
    pub endpoint: Arc<str>,
    pub name: &'a str,
    pub predictor: Arc<dyn Predictor>,
    pub default_accept: Option<&'a str>,
    /// Longest time for one answer.
    pub patience: Duration,
    pub meters: Arc<VariantMeters>,
    pub journal: Arc<Journal>,
    pub place: Arc<Place>,
}

impl LiveVariant {
    pub fn new(parts: Parts<'_>) -> Self {
        Self {
            endpoint: parts.endpoint,
            name: Bytes::copy_from_slice(parts.name.as_bytes()),
            predictor: parts.predictor,
            default_accept: parts.default_accept.map(str::to_owned),
            patience: parts.patience,
            meters: parts.meters,
            inside: AtomicUsize::new(0),
            journal: parts.journal,
            place: parts.place,
        }
    }

    fn invoke(self: &Arc<Self>, mut request: Request, received: Instant) -> Invocation {
        if let Some(accept) = &self.default_accept
            && matches!(request.accept.as_str(), "" | "*/*")
        {
            request.accept.clone_from(accept);
        }
        let begun = Instant::now();
        match self.predictor.predict(request) {
            Reply::Now(result) => Invocation::Now(self.ended(result, received, begun)),
            Reply::Later(answer) => {
                let Some(inside) = Inside::enter(self) else {
                    let sentence = "Too many requests wait for this variant already. Try again later.";
                    let refused = Err(PredictError::Overloaded(sentence.into()));
                    return Invocation::Now(self.ended(refused, received, begun));
                };
                Invocation::Later(Box::pin(async move {
                    let variant = &inside.0;
                    let result = match tokio::time::timeout(variant.patience, answer).await {
                        Ok(result) => result,
                        Err(_) => Err(PredictError::TimedOut(TIMED_OUT.into())),
                    };
                    variant.ended(result, received, begun)
                }))
            }
        }
    }

    /// Counts, notes and translates the end of one request.
    fn ended(
        &self,
        result: Result<Answer, PredictError>,
        received: Instant,
        begun: Instant,
    ) -> Result<Invoked, InvokeError> {
        let now = Instant::now();
        let (outcome, status, message) = match result {
            Ok(answer) => {
                self.meters.count(Outcome::Answered);
                self.meters.time(now - begun, now - received);
                return Ok(Invoked { variant: self.name.clone(), answer });
            }
            Err(PredictError::Overloaded(message)) => {
                self.meters.count(Outcome::Overloaded);
                return Err(InvokeError::Unavailable(message));
            }
            Err(PredictError::BadRequest(message)) => (Outcome::Client, 400, message),
            Err(PredictError::UnsupportedContentType(message)) => (Outcome::Client, 415, message),
            Err(PredictError::NotAcceptable(message)) => (Outcome::Client, 406, message),
            Err(PredictError::Failed(message)) => (Outcome::Server, 500, message),
            Err(PredictError::TimedOut(message)) => (Outcome::Server, 0, message),
        };
        self.meters.count(outcome);
        self.meters.time(now - begun, now - received);
        self.journal.write(&self.place, format!("[error] invocation failed with {status}: {message}"));
        Err(InvokeError::Model { endpoint: self.endpoint.to_string(), status, message })
    }
}

/// AWS's sentence.
const TIMED_OUT: &str = "Your invocation timed out while waiting for a response from container primary. \
                         Review the latency metrics for each container in Amazon CloudWatch, resolve the \
                         issue, and try again.";

/// A place in a variant's bounded queue.
struct Inside(Arc<LiveVariant>);

impl Inside {
    fn enter(variant: &Arc<LiveVariant>) -> Option<Self> {
        let most = WAITING * variant.meters.instances.load(Relaxed).max(1);
        let inside = Self(variant.clone());
        // Dropping leaves again.
        (variant.inside.fetch_add(1, Relaxed) < most).then_some(inside)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use strata_base::doubles::MemoryLogs;

    use super::super::meters::Meters;
    use super::*;

    /// Never answers.
    struct Stuck;

    impl Predictor for Stuck {
        fn predict(&self, _request: Request) -> Reply {
            Reply::Later(Box::pin(futures::future::pending()))
        }
    }

    fn stuck(meters: &Meters, patience: Duration) -> LiveEndpoint {
        let variant = Arc::new(LiveVariant::new(Parts {
            endpoint: "e".into(),
            name: "v",
            predictor: Arc::new(Stuck),
            default_accept: None,
            patience,
            meters: meters.of("e", "v"),
            journal: Arc::new(Journal::new(Arc::new(MemoryLogs::default()))),
            place: Arc::new(Place::new("e", "v")),
        }));
        LiveEndpoint::new("e".into(), vec![(variant, 1.0)]).unwrap()
    }

    fn invoke(endpoint: &LiveEndpoint) -> Invocation {
        endpoint.invoke(None, Request::default(), Instant::now())
    }

    #[test]
    fn a_full_queue_turns_requests_away_at_once() {
        let meters = Meters::default();
        let endpoint = stuck(&meters, Duration::from_secs(60));
        let mut waiting = Vec::new();
        for _ in 0..WAITING {
            match invoke(&endpoint) {
                Invocation::Later(answer) => waiting.push(answer),
                Invocation::Now(result) => panic!("{result:?}"),
            }
        }
        for _ in 0..3 {
            assert!(matches!(invoke(&endpoint), Invocation::Now(Err(InvokeError::Unavailable(_)))));
        }
        waiting.pop();
        assert!(matches!(invoke(&endpoint), Invocation::Later(_)), "a caller who left makes room");
        assert!(meters.prometheus().contains("outcome=\"overloaded\"} 3"));
    }

    #[tokio::test]
    async fn an_answer_that_takes_too_long_is_given_up() {
        let meters = Meters::default();
        let endpoint = stuck(&meters, Duration::ZERO);
        let Invocation::Later(answer) = invoke(&endpoint) else { panic!("answered at once") };
        let error = answer.await.unwrap_err();
        assert!(matches!(&error, InvokeError::Model { status: 0, .. }), "{error}");
        assert!(error.to_string().starts_with("Your invocation timed out"), "{error}");
        assert!(meters.prometheus().contains("outcome=\"server_error\"} 1"));
    }
}
