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
use tokio::sync::{Semaphore, SemaphorePermit};

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

/// Bodies up to this size are not counted: they fit beside each other on any machine.
const SMALL: usize = 64 << 10;

/// Bounds for request bodies, shared by all requests.
pub struct Reader {
    /// Kilobytes that large bodies may take together. Later ones wait for room, unread: so
    /// memory stays bounded whatever strangers send.
    room: Semaphore,
    patience: Duration,
}

/// A body, and its share of the room until it is dropped.
#[derive(Debug)]
pub struct Held<'r> {
    pub bytes: Bytes,
    _room: Option<SemaphorePermit<'r>>,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new(512 << 20, PATIENCE)
    }
}

impl Reader {
    pub fn new(room: usize, patience: Duration) -> Self {
        Self { room: Semaphore::new(room >> 10), patience }
    }

    /// Reads a body of at most `max` bytes.
    pub async fn read<B>(&self, headers: &HeaderMap, body: B, max: usize) -> Result<Held<'_>, ReadError>
    where
        B: HttpBody<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        if body.is_end_stream() {
            return Ok(Held { bytes: Bytes::new(), _room: None });
        }
        let mut reading = pin!(self.read_within(headers, body, max));
        // Mostly the body came along with the head: no timer then.
        if let Poll::Ready(read) = futures::poll!(reading.as_mut()) {
            return read;
        }
        match tokio::time::timeout(self.patience, reading).await {
            Ok(read) => read,
            Err(_) => Err(ReadError::TooSlow),
        }
    }

    async fn read_within<B>(&self, headers: &HeaderMap, body: B, max: usize) -> Result<Held<'_>, ReadError>
    where
        B: HttpBody<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let told = body.size_hint().exact();
        let most = told.map_or(max, |length| (length as usize).min(max));
        let room = match most > SMALL {
            // The semaphore is never closed.
            true => self.room.acquire_many((most >> 10) as u32).await.ok(),
            false => None,
        };
        Ok(Held { bytes: read_all(headers, body, max).await?, _room: room })
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

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body_util::StreamBody;

    use super::*;

    type Frames = Vec<Result<Frame<Bytes>, BoxError>>;

    fn frames(sizes: &[usize]) -> Frames {
        sizes.iter().map(|size| Ok(Frame::data(Bytes::from(vec![b'x'; *size])))).collect()
    }

    async fn read(reader: &Reader, sizes: &[usize], max: usize) -> Result<usize, ReadError> {
        let body = StreamBody::new(stream::iter(frames(sizes)));
        reader.read(&HeaderMap::new(), body, max).await.map(|held| held.bytes.len())
    }

    #[tokio::test]
    async fn bodies_of_any_number_of_frames() {
        let reader = Reader::default();
        assert_eq!(read(&reader, &[], 10).await.unwrap(), 0);
        assert_eq!(read(&reader, &[4], 10).await.unwrap(), 4);
        assert_eq!(read(&reader, &[4, 5, 1], 10).await.unwrap(), 10);
        assert!(matches!(read(&reader, &[4, 7], 10).await, Err(ReadError::TooLarge { max: 10 })));
    }

    #[tokio::test]
    async fn slow_bodies_end() {
        let reader = Reader::new(1 << 20, Duration::from_millis(5));
        let never = StreamBody::new(stream::pending::<Result<Frame<Bytes>, BoxError>>());
        let read = reader.read(&HeaderMap::new(), never, 10).await;
        assert!(matches!(read, Err(ReadError::TooSlow)));
    }

    #[tokio::test]
    async fn large_bodies_wait_for_room_and_give_it_back() {
        let reader = Reader::new(1 << 20, Duration::from_millis(5));
        let large = || StreamBody::new(stream::iter(frames(&[600 << 10])));
        let headers = HeaderMap::new();
        let held = reader.read(&headers, large(), 700 << 10).await.unwrap();
        assert!(matches!(reader.read(&headers, large(), 700 << 10).await, Err(ReadError::TooSlow)));
        // small ones are not held up
        assert_eq!(read(&reader, &[10], 10).await.unwrap(), 10);
        drop(held);
        assert!(reader.read(&headers, large(), 700 << 10).await.is_ok());
    }
}
