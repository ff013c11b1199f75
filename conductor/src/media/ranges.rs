//! Random-access content over HTTP: `Range`, `If-Range`, `HEAD` (RFC 9110 §14), in fixed memory.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Response, StatusCode};
use tacit_image::media::NodeMedium;

/// Bytes read at once.
const CHUNK: u64 = 256 * 1024;
/// Chunks read ahead of the one that is being sent.
const AHEAD: usize = 2;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Body of every answer; an error aborts the connection, so that no reader takes a part for the whole.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body of nothing.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that is at hand.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Bytes that can be read anywhere; reads may block.
pub trait RangeRead: Send + Sync {
    /// Size in bytes; never changes.
    fn len(&self) -> u64;

    /// Reads at `offset` into `buffer`, possibly less than it holds; 0 only at the end.
    ///
    /// # Errors
    /// Those of the file or medium behind it.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: RangeRead + ?Sized> RangeRead for Arc<T> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        (**self).read_at(offset, buffer)
    }
}

impl RangeRead for NodeMedium {
    fn len(&self) -> u64 {
        NodeMedium::len(self)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        NodeMedium::read_at(self, offset, buffer)
    }
}

impl RangeRead for Bytes {
    fn len(&self) -> u64 {
        self.as_ref().len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.as_ref().get(offset..)).unwrap_or(&[]);
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// Something to answer requests with.
#[derive(Clone)]
pub struct Content {
    pub source: Arc<dyn RangeRead>,
    /// Strong entity tag with its quotes. Without one `If-Range` never matches.
    pub etag: Option<String>,
    pub media_type: &'static str,
}

impl Content {
    /// Answers `GET` or `HEAD`. Several ranges in one request are answered with the whole, as RFC 9110 allows.
    pub fn answer(self, method: &Method, headers: &HeaderMap) -> Response<Body> {
        let length = self.source.len();
        let asked = if self.range_counts(headers) { asked_range(headers, length) } else { Asked::Whole };
        let mut response = Response::new(empty());
        let (status, range) = match asked {
            Asked::Whole => (StatusCode::OK, 0..length),
            Asked::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
            Asked::Outside => (StatusCode::RANGE_NOT_SATISFIABLE, 0..0),
        };
        *response.status_mut() = status;
        let answer = response.headers_mut();
        answer.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        answer.insert(header::CONTENT_LENGTH, (range.end - range.start).into());
        answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        if let Some(etag) = self.etag.as_deref().and_then(|etag| HeaderValue::from_str(etag).ok()) {
            answer.insert(header::ETAG, etag);
        }
        let content_range = match status {
            StatusCode::PARTIAL_CONTENT => Some(format!("bytes {}-{}/{length}", range.start, range.end - 1)),
            StatusCode::RANGE_NOT_SATISFIABLE => Some(format!("bytes */{length}")),
            _ => None,
        };
        if let Some(value) = content_range.and_then(|text| HeaderValue::try_from(text).ok()) {
            answer.insert(header::CONTENT_RANGE, value);
        }
        if *method == Method::GET && !range.is_empty() {
            *response.body_mut() = chunks(self.source, range);
        }
        response
    }

    fn range_counts(&self, headers: &HeaderMap) -> bool {
        headers.get(header::IF_RANGE).is_none_or(|condition| {
            self.etag.as_deref().is_some_and(|etag| condition.as_bytes() == etag.as_bytes())
        })
    }
}

fn chunks(source: Arc<dyn RangeRead>, range: Range<u64>) -> Body {
    let starts = stream::iter((range.start..range.end).step_by(CHUNK as usize));
    let read = move |start: u64| {
        let source = Arc::clone(&source);
        let count = CHUNK.min(range.end - start) as usize;
        async move {
            let read = tokio::task::spawn_blocking(move || read_exactly(&*source, start, count));
            Ok::<_, BoxError>(Frame::data(read.await??))
        }
    };
    StreamBody::new(starts.map(read).buffered(AHEAD)).boxed_unsync()
}

fn read_exactly(source: &dyn RangeRead, start: u64, count: usize) -> io::Result<Bytes> {
    let mut buffer = vec![0; count];
    let mut filled = 0;
    while filled < count {
        match source.read_at(start + filled as u64, &mut buffer[filled..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(buffer.into())
}

#[derive(Debug, PartialEq)]
enum Asked {
    Whole,
    Part(Range<u64>),
    Outside,
}

fn asked_range(headers: &HeaderMap, length: u64) -> Asked {
    let mut values = headers.get_all(header::RANGE).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_or(Asked::Whole, |text| parse_range(text, length)),
        _ => Asked::Whole,
    }
}

/// What is malformed, or in another unit, is as if it were not there.
fn parse_range(text: &str, length: u64) -> Asked {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|spec| spec.trim().split_once('-')) else {
        return Asked::Whole;
    };
    let number = |digits: &str| {
        let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        // More digits than fit are beyond every end.
        valid.then(|| digits.parse::<u64>().unwrap_or(u64::MAX))
    };
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Some(first), None) if last.is_empty() => first..length,
        (None, Some(count)) if first.is_empty() => length.saturating_sub(count)..length,
        _ => return Asked::Whole,
    };
    if range.start < range.end { Asked::Part(range) } else { Asked::Outside }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_the_rfc() {
        let cases = [
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=2-5", Asked::Part(2..6)),
            ("bytes=2-", Asked::Part(2..10)),
            ("bytes=-3", Asked::Part(7..10)),
            ("bytes=-30", Asked::Part(0..10)),
            ("bytes=9-99999999999999999999999", Asked::Part(9..10)),
            ("bytes=10-", Asked::Outside),
            ("bytes=10-11", Asked::Outside),
            ("bytes=-0", Asked::Outside),
            ("bytes=5-2", Asked::Whole),
            ("bytes=0-1,4-5", Asked::Whole),
            ("bytes=", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
            ("octets=0-1", Asked::Whole),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_range(text, 10), expected, "{text}");
        }
        assert_eq!(parse_range("bytes=0-", 0), Asked::Outside);
    }

    struct Short;
    impl RangeRead for Short {
        fn len(&self) -> u64 {
            2 * CHUNK
        }
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
            // One byte at a time, and a file that lost its tail.
            buffer[0] = 7;
            Ok(usize::from(offset < CHUNK))
        }
    }

    #[tokio::test]
    async fn a_source_that_ends_early_is_an_error_not_an_end() {
        let content = Content { source: Arc::new(Short), etag: None, media_type: "x/y" };
        let response = content.answer(&Method::GET, &HeaderMap::new());
        let mut body = response.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first.len() as u64, CHUNK);
        assert!(body.frame().await.unwrap().is_err());
    }

    #[tokio::test]
    async fn if_range_matches_only_the_same_strong_tag() {
        let answer = |etag: Option<&str>, condition: &str| {
            let content = Content {
                source: Arc::new(Bytes::from_static(b"0123456789")),
                etag: etag.map(str::to_owned),
                media_type: "x/y",
            };
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::from_static("bytes=4-"));
            headers.insert(header::IF_RANGE, condition.parse().unwrap());
            content.answer(&Method::GET, &headers)
        };
        assert_eq!(answer(Some("\"a\""), "\"a\"").status(), 206);
        assert_eq!(answer(Some("\"a\""), "\"b\"").status(), 200);
        assert_eq!(answer(None, "\"a\"").status(), 200);
        let body = answer(Some("\"a\""), "\"a\"").into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "456789");
    }
}
