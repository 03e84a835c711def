//! The body of a request, watched: what `s3s` leaves unread, and the text of a document.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;

use crate::service::LARGEST_DOCUMENT;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Inner = UnsyncBoxBody<Bytes, BoxError>;

/// What is read of a refused body before the connection is closed instead.
const MOST_DRAINED: usize = 16 << 20;
const LONGEST_DRAIN: Duration = Duration::from_secs(2);

/// What is known of a body when its request is answered.
#[derive(Clone, Default)]
pub struct Trace(Arc<Seen>);

#[derive(Default)]
struct Seen {
    begun: AtomicBool,
    rest: Mutex<Option<Inner>>,
    text: Mutex<Vec<u8>>,
}

/// A body that leaves a trace.
pub struct Watched {
    inner: Option<Inner>,
    keep: bool,
    trace: Trace,
}

impl Watched {
    /// `keep`: whether its text is wanted afterwards.
    pub fn new<B>(body: B, keep: bool) -> (Self, Trace)
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let trace = Trace::default();
        let inner = Some(body.map_err(Into::into).boxed_unsync());
        (Self { inner, keep, trace: trace.clone() }, trace)
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.trace.0.begun.store(true, Ordering::Relaxed);
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let (true, Some(bytes), Ok(mut text)) =
                    (self.keep, frame.data_ref(), self.trace.0.text.lock())
                    && text.len() + bytes.len() <= LARGEST_DOCUMENT
                {
                    text.extend_from_slice(bytes);
                }
            }
            Some(Err(_)) | None => self.inner = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let rest = self.inner.take().filter(|rest| !http_body::Body::is_end_stream(rest));
        if let Ok(mut slot) = self.trace.0.rest.lock() {
            *slot = rest;
        }
    }
}

impl Trace {
    /// The text that was read, where it was kept.
    pub fn text(&self) -> Vec<u8> {
        self.0.text.lock().map(|text| text.clone()).unwrap_or_default()
    }

    /// Reads what is left of the body, if that is little: a client that still sends would not see
    /// the answer on a closed connection. `false`: too much is left, or the client waits to be
    /// told to go on (`Expect: 100-continue`); then only closing the connection ends it.
    pub async fn drain(&self, expects: bool) -> bool {
        let rest = self.0.rest.lock().ok().and_then(|mut slot| slot.take());
        let Some(mut rest) = rest else { return true };
        if expects && !self.0.begun.load(Ordering::Relaxed) {
            return false;
        }
        let reading = async {
            let mut read = 0;
            while let Some(Ok(frame)) = rest.frame().await {
                read += frame.data_ref().map_or(0, Bytes::len);
                if read > MOST_DRAINED {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(LONGEST_DRAIN, reading).await.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    fn watched(bytes: usize) -> (Watched, Trace) {
        Watched::new(Full::new(Bytes::from(vec![b'x'; bytes])), true)
    }

    #[tokio::test]
    async fn a_little_is_drained() {
        let (body, trace) = watched(10);
        drop(body);
        assert!(trace.drain(false).await);
        let (body, trace) = watched(MOST_DRAINED + 1);
        drop(body);
        assert!(!trace.drain(false).await);
    }

    #[tokio::test]
    async fn nobody_is_told_to_go_on_for_nothing() {
        let (body, trace) = watched(10);
        drop(body);
        assert!(!trace.drain(true).await);
        let (body, trace) = watched(0);
        drop(body);
        assert!(trace.drain(true).await);
    }

    #[tokio::test]
    async fn the_text_is_kept() {
        let (body, trace) = watched(10);
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 10);
        assert_eq!(trace.text(), b"xxxxxxxxxx");
        assert!(trace.drain(true).await);
    }
}
