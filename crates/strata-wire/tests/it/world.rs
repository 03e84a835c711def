//! A small cloud on a free port: two toy services, two raw routes, a fallback; and a client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use strata_base::Timestamp;
use strata_wire::server::{Limits, serve};
use strata_wire::sigv4::{Credential, Credentials, Keyring, sha256_hex, sign};
use strata_wire::{
    Body, Call, Caller, Door, Fault, Handler, Label, RawCall, RawReply, RawRoute, Reply, Service,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

pub const SECRET: &str = "secret";

pub struct World {
    pub address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<()>>,
    /// Lets the operation that waits (`logs` PutQueryDefinition) go on.
    pub go: Arc<Notify>,
    /// Told when it has begun.
    pub begun: Arc<Notify>,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    #[track_caller]
    pub fn is(&self, status: u16, body: &str) {
        let id = self.headers["x-amzn-requestid"].to_str().unwrap();
        assert_eq!((self.status.as_u16(), self.body.replace(id, "ID").as_str()), (status, body));
        assert!(self.headers.contains_key("x-amz-request-id"));
    }

    #[track_caller]
    pub fn fails(&self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        let typed = self.headers.get("x-amzn-errortype").is_some_and(|t| t == code);
        assert!(
            typed || self.body.contains(&format!("<Code>{code}</Code>")),
            "{:?} {}",
            self.headers,
            self.body
        );
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    pub async fn with(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (go, begun) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let door = Door::new(Arc::new(Keys), services(&go, &begun))
            .raw(Arc::new(Echo))
            .raw(Arc::new(Open))
            .fallback(|request: Request<hyper::body::Incoming>| async move {
                let text = format!("fallback {} {}", request.method(), request.uri().path());
                http::Response::new(Full::new(Bytes::from(text)))
            });
        let (end, ended) = oneshot::channel();
        let served = tokio::spawn(serve(listener, Arc::new(door), limits, ended.map(|_| ())));
        Self { address, end: Some(end), served: Some(served), go, begun }
    }

    /// Asks the server to end; the handle is done when it has.
    pub fn end(&mut self) -> JoinHandle<()> {
        let _ = self.end.take().unwrap().send(());
        self.served.take().unwrap()
    }

    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Request<Full<Bytes>> {
        let mut request =
            Request::builder().method(method).uri(path).header("host", self.address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Full::new(Bytes::from(body.to_owned()))).unwrap()
    }

    pub fn signed(
        &self,
        service: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Request<Full<Bytes>> {
        let (mut parts, full) = self.request(method, path, headers, body).into_parts();
        sign(&key(), "eu-west-3", service, &mut parts, &sha256_hex(body.as_bytes())).unwrap();
        Request::from_parts(parts, full)
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut client, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        read(client.send_request(request).await.unwrap()).await
    }

    pub async fn send_http2(&self, request: Request<Full<Bytes>>) -> Answer {
        let (mut parts, body) = request.into_parts();
        parts.headers.remove("host");
        parts.uri = format!("http://{}{}", self.address, parts.uri).parse().unwrap();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        read(client.send_request(Request::from_parts(parts, body)).await.unwrap()).await
    }

    pub async fn json(&self, target: &str, body: &str) -> Answer {
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
        self.send(self.signed("logs", "POST", "/", &headers, body)).await
    }

    pub async fn query(&self, service: &str, body: &str) -> Answer {
        let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        self.send(self.signed(service, "POST", "/", &headers, body)).await
    }
}

pub async fn read(response: http::Response<hyper::body::Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

pub fn key() -> Credentials {
    Credentials { access_key: "AKID".into(), secret: SECRET.into(), session_token: None }
}

struct Keys;

impl Keyring for Keys {
    fn find(&self, access_key: &str) -> Option<Arc<Credential>> {
        (access_key == "AKID").then(|| {
            Arc::new(Credential {
                secret: SECRET.into(),
                session_token: None,
                expires: None::<Timestamp>,
                caller: Arc::new(Caller {
                    access_key: "AKID".into(),
                    arn: "arn:aws:iam::123456789012:root".into(),
                    user_id: "123456789012".into(),
                    account: "123456789012".into(),
                }),
            })
        })
    }
}

fn handler<F, Fut>(run: F) -> Option<Handler>
where
    F: Fn(Call) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply, Fault>> + Send + 'static,
{
    Some(Arc::new(move |call| Box::pin(run(call))))
}

fn services(go: &Arc<Notify>, begun: &Arc<Notify>) -> Vec<Service> {
    let mut logs = Service::new("logs");
    // tells what arrived
    logs.insert(
        "DescribeLogGroups",
        Label::Real,
        handler(|call| async move {
            let group =
                json!({"logGroupName": call.document.to_string(), "arn": call.region, "creationTime": 1});
            Ok(json!({"logGroups": [group], "nextToken": null, "unheard": 1}).into())
        }),
    );
    logs.insert(
        "DeleteLogGroup",
        Label::Real,
        handler(|_| async { Err(Fault::new(400, "ResourceNotFoundException", "no such group")) }),
    );
    logs.insert("CreateLogGroup", Label::Real, handler(|_| async { Ok(Reply::default()) }));
    logs.insert("StopQuery", Label::Real, handler(|_| async { panic!("a bug") }));
    logs.insert("StartQuery", Label::Refused("query the metrics instead".into()), None);
    let (go, begun) = (go.clone(), begun.clone());
    logs.insert(
        "PutQueryDefinition",
        Label::Real,
        handler(move |_| {
            let (go, begun) = (go.clone(), begun.clone());
            async move {
                begun.notify_one();
                go.notified().await;
                Ok(json!({"queryDefinitionId": "done"}).into())
            }
        }),
    );

    let mut sts = Service::new("sts");
    sts.insert(
        "GetCallerIdentity",
        Label::Real,
        handler(|call| async move {
            let caller = call.caller;
            Ok(json!({"Account": caller.account, "Arn": caller.arn, "UserId": caller.user_id}).into())
        }),
    );
    sts.insert(
        "AssumeRole",
        Label::Real,
        handler(|call| async move {
            let time = Timestamp(1_398_796_238_000).seconds();
            let credentials =
                json!({"AccessKeyId": "A", "SecretAccessKey": "S", "SessionToken": "T", "Expiration": time});
            Ok(json!({"Credentials": credentials, "SourceIdentity": call.document["RoleSessionName"]}).into())
        }),
    );

    let mut metrics = Service::new("cloudwatch");
    metrics.insert(
        "PutMetricData",
        Label::Real,
        handler(|call| async move {
            let times = &call.document["MetricData"][0]["Timestamp"];
            match times.as_f64() {
                Some(1_398_796_238.0) => Ok(Reply::default()),
                _ => Err(Fault::new(400, "InvalidParameterValue", format!("Timestamp is {times}"))),
            }
        }),
    );
    metrics.insert(
        "GetDashboard",
        Label::Real,
        handler(|_| async { Err(Fault::new(400, "DashboardNotFoundError", "no such dashboard")) }),
    );
    metrics.insert(
        "GetMetricStatistics",
        Label::Real,
        handler(|_| async {
            Ok(json!({"Label": "m", "Datapoints": [{"Timestamp": 60.0, "Sum": 1.5}]}).into())
        }),
    );

    let mut runtime = Service::new("sagemaker-runtime");
    runtime.insert("InvokeEndpoint", Label::Real, None);
    runtime.insert(
        "InvokeEndpointAsync",
        Label::Real,
        handler(|call| async move {
            let text = format!("{} {}", call.document["EndpointName"], call.payload.len());
            Ok(json!({"InferenceId": "i", "OutputLocation": text}).into())
        }),
    );
    vec![metrics, logs, runtime, sts]
}

/// Answers invocations with who asked and what for.
struct Echo;

impl RawRoute for Echo {
    fn claims(&self, head: &http::request::Parts, service: Option<&str>) -> bool {
        service == Some("sagemaker") && head.uri.path().ends_with("/invocations")
    }

    fn max_body(&self) -> usize {
        6 << 20
    }

    fn handle(&self, call: RawCall) -> RawReply {
        match &call.body[..] {
            b"panic" => panic!("a bug"),
            b"panic later" => return RawReply::Later(Box::pin(async { panic!("a bug") })),
            _ => {}
        }
        let who = call.caller.map(|caller| caller.access_key.clone());
        let text = format!("{who:?} sent {} bytes", call.body.len());
        RawReply::Later(Box::pin(async move { http::Response::new(Body::from(text)) }))
    }
}

/// A route that anybody may ask.
struct Open;

impl RawRoute for Open {
    fn claims(&self, head: &http::request::Parts, _: Option<&str>) -> bool {
        head.uri.path() == "/open"
    }

    fn signed(&self) -> bool {
        false
    }

    fn handle(&self, call: RawCall) -> RawReply {
        assert!(call.caller.is_none());
        RawReply::Now(http::Response::new(Body::from("open")))
    }
}

/// No test waits for ever.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("in time")
}
