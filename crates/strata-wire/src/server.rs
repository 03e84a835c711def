//! Listens, speaks HTTP/1.1 and HTTP/2 (by prior knowledge) on one port, and ends gracefully.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures::task::AtomicWaker;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
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

/// How long a client has, at the end, to take the answer that it was given.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Serves until `end` is ready, then finishes what is in flight and returns.
pub async fn serve(listener: TcpListener, door: Arc<Door>, limits: Limits, end: impl Future<Output = ()>) {
    let room = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    let mut open: HashMap<Id, Open> = HashMap::new();
    let mut end = pin!(end);
    let mut tick = tokio::time::interval_at(Instant::now() + limits.idle / 4, limits.idle / 4);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = &mut end => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => match room.clone().try_acquire_owned() {
                    Ok(place) => {
                        let link = Arc::new(Link::default());
                        let (door, theirs) = (door.clone(), link.clone());
                        let task = connections.spawn(async move {
                            connection(stream, door, theirs).await;
                            drop(place);
                        });
                        open.insert(task.id(), Open { task, link, begun: 0, quiet: 0 });
                    }
                    Err(_) => turn_away(stream),
                },
                Err(cause) => wait_after(&cause).await,
            },
            Some(ended) = connections.join_next_with_id() => forget(&mut open, ended),
            _ = tick.tick() => open.values_mut().for_each(Open::close_if_idle),
        }
    }
    drop(listener);
    for connection in open.values() {
        connection.link.ending.store(true, Ordering::Release);
        connection.link.waker.wake();
    }
    let finished = async {
        while let Some(ended) = connections.join_next_with_id().await {
            forget(&mut open, ended);
        }
    };
    if tokio::time::timeout(limits.grace, finished).await.is_err() {
        tracing::warn!(grace = ?limits.grace, open = connections.len(), "requests did not end in time");
        connections.shutdown().await;
    }
}

/// A connection among the door's, while it is there.
struct Counted(Arc<Door>);

impl Counted {
    fn new(door: &Arc<Door>) -> Self {
        door.connections.fetch_add(1, Ordering::Relaxed);
        Self(door.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

fn forget(open: &mut HashMap<Id, Open>, ended: Result<(Id, ()), JoinError>) {
    match ended {
        Ok((id, ())) => open.remove(&id),
        Err(cause) => open.remove(&cause.id()),
    };
}

/// Binds the port, so that a caller can tell the address before anything is served.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

async fn connection(stream: TcpStream, door: Arc<Door>, link: Arc<Link>) {
    // Small answers must not wait for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    let _counted = Counted::new(&door);
    let theirs = link.clone();
    let service = service_fn(move |request| {
        let (door, busy) = (door.clone(), Busy::new(&theirs));
        async move {
            let mut response = door.answer(request).await;
            response.body_mut().hold(busy);
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // hyper's own time-out for heads takes two timers a request; `Open` takes none.
    builder.http1().max_buf_size(MOST_HEAD).half_close(false);
    builder.http2().max_header_list_size(MOST_HEAD as u32).max_concurrent_streams(256);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));

    let (mut known, mut ending) = (false, None);
    let served = poll_fn(|cx| {
        if !std::mem::replace(&mut known, true) {
            link.waker.register(cx.waker());
        }
        if ending.is_none() && link.ending.load(Ordering::Acquire) {
            serving.as_mut().graceful_shutdown();
            ending = Some(Box::pin(tokio::time::sleep(LAST_WORDS)));
        }
        if let Poll::Ready(done) = serving.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        // Still open without a request in flight: half a head, or an answer that nobody reads.
        if let Some(patience) = &mut ending
            && !link.busy()
            && patience.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    });
    if let Err(cause) = served.await {
        tracing::debug!(%cause, "connection ended");
    }
}

/// What a connection and the server tell each other. The connection polls nothing for it:
/// counting two numbers a request is all that watching costs.
#[derive(Default)]
struct Link {
    begun: AtomicU64,
    ended: AtomicU64,
    /// The server asks the connection to finish.
    ending: AtomicBool,
    waker: AtomicWaker,
}

impl Link {
    fn busy(&self) -> bool {
        let ended = self.ended.load(Ordering::Acquire);
        self.begun.load(Ordering::Acquire) != ended
    }
}

/// A connection as the server sees it.
struct Open {
    task: AbortHandle,
    link: Arc<Link>,
    /// Requests begun at the last look, and looks since anything happened.
    begun: u64,
    quiet: u32,
}

impl Open {
    /// Closes a connection that had no request for four looks: idle ones, and those that
    /// send a head byte by byte.
    fn close_if_idle(&mut self) {
        let begun = self.link.begun.load(Ordering::Acquire);
        let idle = begun == self.begun && !self.link.busy();
        self.quiet = if idle { self.quiet + 1 } else { 0 };
        self.begun = begun;
        if self.quiet >= 4 {
            self.task.abort();
        }
    }
}

/// One request in flight.
struct Busy(Arc<Link>);

impl Busy {
    fn new(link: &Arc<Link>) -> Self {
        link.begun.fetch_add(1, Ordering::AcqRel);
        Self(link.clone())
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
