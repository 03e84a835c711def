//! Bodies: answers that are bytes or streams, and request bodies read with bounds.

use std::any::Any;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer. Bytes are not boxed: the fast path sends them as they are.
pub struct Body(Inner);

enum Inner {
    Bytes(Option<Bytes>),
    Stream(UnsyncBoxBody<Bytes, BoxError>, Option<Box<dyn Any + Send>>),
}

pub type Response = http::Response<Body>;

impl Body {
    pub fn empty() -> Self {
        Self(Inner::Bytes(None))
    }

    /// A body of any kind, e.g. a file that is read while it is sent.
    pub fn stream<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Inner::Stream(body.map_err(Into::into).boxed_unsync(), None))
    }

    /// Keeps `guard` until the body is sent. Bytes need no guard: they are handed over at once.
    pub(crate) fn hold(&mut self, guard: impl Any + Send) {
        if let Inner::Stream(_, held) = &mut self.0 {
            *held = Some(Box::new(guard));
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Inner::Bytes((!bytes.is_empty()).then_some(bytes)))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().0 {
            Inner::Bytes(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Inner::Stream(stream, _) => Pin::new(stream).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Bytes(bytes) => bytes.is_none(),
            Inner::Stream(stream, _) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Bytes(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Inner::Stream(stream, _) => stream.size_hint(),
        }
    }
}

/// Why a request's body is not here.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the body is larger than {max} bytes")]
    TooLarge { max: usize },
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the body broke off: {0}")]
    Broken(String),
}

/// How long a whole body may take. Six megabytes in a minute is a slow telephone line.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is read and thrown away after a body turned out too large, so that a client which
/// sends first and listens later hears the answer rather than a closed connection.
const MOST_DRAINED: usize = 32 << 20;

/// Reads a body of at most `max` bytes.
pub async fn read<B>(headers: &HeaderMap, body: B, max: usize) -> Result<Bytes, ReadError>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let mut reading = pin!(read_all(headers, body, max));
    // Mostly the body came along with the head: no timer then.
    if let Poll::Ready(read) = futures::poll!(reading.as_mut()) {
        return read;
    }
    match tokio::time::timeout(PATIENCE, reading).await {
        Ok(read) => read,
        Err(_) => Err(ReadError::TooSlow),
    }
}

async fn read_all<B>(headers: &HeaderMap, mut body: B, max: usize) -> Result<Bytes, ReadError>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let told = body.size_hint().exact();
    if told.is_some_and(|length| length > max as u64) {
        // A client that asked first (Expect: 100-continue) sends nothing unless we read.
        if !headers.contains_key(http::header::EXPECT) {
            drain(&mut body).await;
        }
        return Err(ReadError::TooLarge { max });
    }
    let mut first = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|cause| ReadError::Broken(cause.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        let so_far = rest.as_ref().map_or(first.len(), BytesMut::len);
        if so_far + data.len() > max {
            drain(&mut body).await;
            return Err(ReadError::TooLarge { max });
        }
        match &mut rest {
            None if first.is_empty() => first = data,
            None => {
                // At least what is here; a promised length is not trusted with memory at once.
                let room = told.unwrap_or(0).min(256 << 10) as usize;
                let mut all = BytesMut::with_capacity(room.max(first.len() + data.len()));
                all.extend_from_slice(&first);
                all.extend_from_slice(&data);
                rest = Some(all);
            }
            Some(all) => all.extend_from_slice(&data),
        }
    }
    Ok(rest.map_or(first, BytesMut::freeze))
}

async fn drain<B>(body: &mut B)
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let all = async {
        let mut drained = 0;
        while let Some(Ok(frame)) = body.frame().await {
            drained += frame.data_ref().map_or(0, Bytes::len);
            if drained > MOST_DRAINED {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(10), all).await;
}
