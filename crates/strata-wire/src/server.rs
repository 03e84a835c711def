//! Listens, speaks HTTP/1.1 and HTTP/2 (by prior knowledge) on one port, and ends gracefully.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::Door;

#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once; further ones get a 503 and are closed.
    pub connections: usize,
    /// How long a connection may be without a whole request, be it idle or slow.
    pub idle: Duration,
    /// How long requests in flight may go on after the end was asked for.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 4096, idle: Duration::from_secs(60), grace: Duration::from_secs(30) }
    }
}

/// The largest head of a request: the longest presigned URLs take a few kilobytes.
const MOST_HEAD: usize = 64 << 10;

/// Serves until `end` is ready, then finishes what is in flight and returns.
pub async fn serve(listener: TcpListener, door: Arc<Door>, limits: Limits, end: impl Future<Output = ()>) {
    let room = Arc::new(Semaphore::new(limits.connections));
    let (ending, ended) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut end = pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => match room.clone().try_acquire_owned() {
                    Ok(place) => {
                        let (door, ended, idle) = (door.clone(), ended.clone(), limits.idle);
                        connections.spawn(async move {
                            connection(stream, door, idle, ended).await;
                            drop(place);
                        });
                    }
                    Err(_) => turn_away(stream),
                },
                Err(cause) => wait_after(&cause).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    ending.send_replace(true);
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.grace, finished).await.is_err() {
        tracing::warn!(grace = ?limits.grace, open = connections.len(), "requests did not end in time");
        connections.shutdown().await;
    }
}

/// Binds the port, so that a caller can tell the address before anything is served.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

async fn connection(stream: TcpStream, door: Arc<Door>, idle: Duration, mut ended: watch::Receiver<bool>) {
    // Small answers must not wait for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    let activity = Arc::new(Activity::default());
    let service = {
        let activity = activity.clone();
        service_fn(move |request| {
            let (door, busy) = (door.clone(), Busy::new(&activity));
            async move {
                let mut response = door.answer(request).await;
                response.body_mut().hold(busy);
                Ok::<_, Infallible>(response)
            }
        })
    };
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // hyper's own time-out for heads takes two timers a request; `Activity` takes none.
    builder.http1().max_buf_size(MOST_HEAD.max(8192)).half_close(false).pipeline_flush(true);
    builder.http2().max_header_list_size(MOST_HEAD as u32).max_concurrent_streams(256);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));

    // An idle connection is closed at the second tick that finds nothing happened.
    let mut tick = tokio::time::interval_at(Instant::now() + idle / 2, idle / 2);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut seen, mut quiet) = (0, 0);
    let mut ending = false;
    loop {
        tokio::select! {
            done = serving.as_mut() => {
                if let Err(cause) = done {
                    tracing::debug!(%cause, "connection ended");
                }
                return;
            }
            _ = tick.tick() => {
                let (begun, busy) = activity.read();
                quiet = if busy || begun != seen { 0 } else { quiet + 1 };
                seen = begun;
                if quiet >= 2 {
                    return;
                }
            }
            _ = ended.changed(), if !ending => {
                ending = true;
                serving.as_mut().graceful_shutdown();
                // Nothing in flight: a half-sent head is not worth the grace.
                if !activity.read().1 {
                    let soon = tokio::time::timeout(Duration::from_millis(200), serving.as_mut());
                    if soon.await.is_ok() || !activity.read().1 {
                        return;
                    }
                }
            }
        }
    }
}

/// Requests begun and ended on a connection: tells an idle one from a busy one without a
/// clock a request.
#[derive(Default)]
struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Activity {
    fn read(&self) -> (u64, bool) {
        let ended = self.ended.load(Ordering::Acquire);
        let begun = self.begun.load(Ordering::Acquire);
        (begun, begun != ended)
    }
}

/// One request in flight.
struct Busy(Arc<Activity>);

impl Busy {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.begun.fetch_add(1, Ordering::AcqRel);
        Self(activity.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::AcqRel);
    }
}

/// One connection too many: says so without waiting for a request, and closes.
fn turn_away(stream: TcpStream) {
    const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\
        x-amzn-errortype: ServiceUnavailable\r\nContent-Length: 51\r\nConnection: close\r\n\r\n\
        {\"message\":\"too many connections; try again later\"}";
    let _ = stream.try_write(BUSY);
}

/// A connection that was gone again is nothing; no more file handles is a reason to wait.
async fn wait_after(cause: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(cause.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::warn!(%cause, "could not accept a connection");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
