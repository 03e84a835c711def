//! A toy cloud, to look at the door from outside and to measure what it costs.
//!
//! ```text
//! cargo run --release -p strata-wire --example toy             # the door, port 7411
//! cargo run --release -p strata-wire --example toy -- bare     # a bare axum handler, port 7412
//! cargo run --release -p strata-wire --example toy -- headers  # signed headers for a load generator
//! cargo run --release -p strata-wire --example toy -- verify   # one signature check, in a loop
//! ```
//!
//! The door and the bare handler answer `POST /endpoints/e/invocations` with the same bytes.
//! Access key `toy`, secret `toy`. One thread each, so that a comparison is of one core.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Request};
use serde_json::json;
use strata_base::Timestamp;
use strata_wire::sigv4::{Credential, Credentials, Keyring, Verifier, sha256_hex, sign};
use strata_wire::{Body, Caller, Door, Handler, Label, RawCall, RawReply, RawRoute, Service, server};

const ANSWER: &str = "{\"predictions\":[{\"score\":0.9971}]}";
const ROW: &str = "17.99,10.38,122.8,1001.0,0.1184,0.2776,0.3001,0.1471,0.2419,0.07871,1.095,0.9053,8.589,153.4,\
                   0.0064,0.04904,0.05373,0.01587,0.03003,0.006193,25.38,17.33,184.6,2019.0,0.1622,0.6656";

struct Toy(Arc<Credential>);

impl Toy {
    fn new() -> Self {
        let caller = Caller {
            access_key: "toy".into(),
            arn: "arn:aws:iam::123456789012:root".into(),
            user_id: "123456789012".into(),
            account: "123456789012".into(),
        };
        let secret = "toy".into();
        Self(Arc::new(Credential { secret, session_token: None, expires: None, caller: Arc::new(caller) }))
    }
}

impl Keyring for Toy {
    fn find(&self, access_key: &str) -> Option<Arc<Credential>> {
        (access_key == "toy").then(|| self.0.clone())
    }
}

struct Invoke;

impl RawRoute for Invoke {
    fn claims(&self, head: &Parts, _: Option<&str>) -> bool {
        head.uri.path().strip_prefix("/endpoints/").is_some_and(|rest| rest.ends_with("/invocations"))
    }

    fn serves(&self) -> &'static [(&'static str, &'static str)] {
        &[("sagemaker-runtime", "InvokeEndpoint")]
    }

    fn handle(&self, call: RawCall) -> RawReply {
        black_box(&call.body);
        let mut response = http::Response::new(Body::from(ANSWER));
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        response.into()
    }
}

fn services() -> Vec<Service> {
    let handler = |answer: serde_json::Value| -> Option<Handler> {
        Some(Arc::new(move |call| {
            println!("{} {}", call.operation, call.document);
            let answer = answer.clone();
            Box::pin(async move { Ok(answer.into()) })
        }))
    };
    let mut cloudwatch = Service::new("cloudwatch");
    cloudwatch.insert("PutMetricData", Label::Real, handler(json!({})));
    cloudwatch.insert("ListMetrics", Label::Real, handler(json!({"Metrics": [{"Namespace": "n"}]})));
    let mut logs = Service::new("logs");
    logs.insert("CreateLogGroup", Label::Real, handler(json!({})));
    let mut runtime = Service::new("sagemaker-runtime");
    runtime.insert("InvokeEndpoint", Label::Real, None);
    let mut sts = Service::new("sts");
    sts.insert("GetCallerIdentity", Label::Real, handler(json!({"Account": "123456789012"})));
    vec![cloudwatch, logs, runtime, Service::new("sagemaker"), sts]
}

fn signed() -> Parts {
    let request =
        Request::post("http://127.0.0.1:7411/endpoints/e/invocations").header("content-type", "text/csv");
    let (mut parts, ()) = request.body(()).expect("a request").into_parts();
    let credentials = Credentials { access_key: "toy".into(), secret: "toy".into(), session_token: None };
    sign(&credentials, "us-east-1", "sagemaker", &mut parts, &sha256_hex(ROW.as_bytes())).expect("signed");
    parts
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("bare") => {
            let answer = |body: Bytes| async move {
                black_box(&body);
                ([("content-type", "application/json")], ANSWER)
            };
            let app = axum::Router::new().route("/endpoints/{name}/invocations", axum::routing::post(answer));
            axum::serve(server::bind(([127, 0, 0, 1], 7412).into()).await?, app).await
        }
        Some("headers") => {
            for (name, value) in &signed().headers {
                println!("{name}: {}", value.to_str().unwrap_or_default());
            }
            println!("\n{ROW}");
            Ok(())
        }
        Some("verify") => {
            let (verifier, parts, rounds) = (Verifier::new(Arc::new(Toy::new())), signed(), 200_000);
            let start = Instant::now();
            for _ in 0..rounds {
                assert!(black_box(verifier.verify(&parts, ROW.as_bytes(), Timestamp::now())).is_ok());
            }
            let each = start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds);
            println!("{each:.2} us a check, body of {} bytes", ROW.len());
            Ok(())
        }
        _ => {
            let door = Door::new(Arc::new(Toy::new()), services()).raw(Arc::new(Invoke));
            let listener = server::bind(([127, 0, 0, 1], 7411).into()).await?;
            server::serve(listener, Arc::new(door), server::Limits::default(), std::future::pending()).await;
            Ok(())
        }
    }
}
