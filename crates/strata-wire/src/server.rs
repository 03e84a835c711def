//! The listener: one port for HTTP/1.1 and cleartext HTTP/2, bounded in every
//! direction, and a shutdown that finishes what runs.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::{debug, warn};

/// Connections served at the same time; the next one is told to come back.
const CONNECTIONS: usize = 4096;
/// From accept, or from the end of the request before, to the end of the next request's head.
const HEAD_TIME: Duration = Duration::from_secs(75);
/// Bytes of a request's head; AWS's own limit on headers is near this.
const HEAD_BYTES: usize = 64 * 1024;
const HTTP2_STREAMS: u32 = 256;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer: bytes that are there (no allocation), or a stream.
pub enum Body {
    Full(Bytes),
    Stream(UnsyncBoxBody<Bytes, Failure>),
}

impl Body {
    pub fn stream<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<Failure>,
    {
        Self::Stream(body.map_err(Into::into).boxed_unsync())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Full(bytes)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match self.get_mut() {
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_empty(),
            Self::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(body) => body.size_hint(),
        }
    }
}

/// Who answers requests.
pub trait Answer: Send + Sync + 'static {
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send;
}

/// Serves until `stop` resolves; then closes the port and gives requests in flight `grace` to end.
pub async fn serve<D: Answer>(
    listener: TcpListener,
    door: Arc<D>,
    stop: impl Future<Output = ()>,
    grace: Duration,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let shutdown = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(cause) => {
                // Out of file descriptors, most likely: connections must end before more come.
                warn!(%cause, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        match places.clone().try_acquire_owned() {
            Ok(place) => {
                tokio::spawn(connection(stream, place, door.clone(), shutdown.watcher()));
            }
            Err(_) => {
                tokio::spawn(turn_away(stream));
            }
        }
    }
    drop(listener);
    if timeout(grace, shutdown.shutdown()).await.is_err() {
        warn!(seconds = grace.as_secs(), "requests did not end in time; leaving them");
    }
}

async fn connection<D: Answer>(
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    door: Arc<D>,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let _place = place;
    // Without it an answer waits for the client's delayed acknowledgement: 40 ms.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let door = door.clone();
        async move { Ok::<_, Infallible>(door.answer(request).await) }
    });
    let ended = match timeout(HEAD_TIME, speaks_http2(&stream)).await {
        Ok(Ok(true)) => {
            let mut http = http2::Builder::new(TokioExecutor::new());
            http.timer(TokioTimer::new())
                .max_concurrent_streams(HTTP2_STREAMS)
                .max_header_list_size(HEAD_BYTES as u32)
                .keep_alive_interval(HEAD_TIME);
            watcher.watch(http.serve_connection(TokioIo::new(stream), service)).await
        }
        Ok(Ok(false)) => {
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES);
            watcher.watch(http.serve_connection(TokioIo::new(stream), service)).await
        }
        Ok(Err(_)) | Err(_) => return,
    };
    if let Err(cause) = ended {
        debug!(%cause, "connection ended early");
    }
}

/// HTTP/2 by prior knowledge starts with `PRI * HTTP/2.0`; no HTTP/1.1 method starts so.
async fn speaks_http2(stream: &TcpStream) -> std::io::Result<bool> {
    const START: &[u8] = b"PRI ";
    let mut seen = [0; START.len()];
    loop {
        let n = stream.peek(&mut seen).await?;
        if n == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if seen[..n] != START[..n] {
            return Ok(false);
        }
        if n == START.len() {
            return Ok(true);
        }
        // Peeking wakes at once while bytes wait, so this would spin.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn turn_away(mut stream: TcpStream) {
    const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\
                          Connection: close\r\n\r\n";
    let _ = timeout(Duration::from_secs(1), stream.write_all(BUSY)).await;
}
