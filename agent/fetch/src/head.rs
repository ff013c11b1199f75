//! Heads of responses (RFC 9112).

use http::StatusCode;

use crate::error::Broken;

/// Largest head in bytes, and most fields in one.
const HEAD: usize = 64 << 10;
const FIELDS: usize = 128;

/// What of a response's head matters here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) framing: Framing,
    /// Whether another request may follow on the connection.
    pub(crate) persists: bool,
    pub(crate) location: Option<String>,
    /// As sent: strong or weak.
    pub(crate) etag: Option<String>,
    pub(crate) content_range: Option<ContentRange>,
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Exactly(u64),
    Chunked,
    UntilClose,
}

/// `Content-Range` (RFC 9110 §14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentRange {
    Part {
        first: u64,
        last: u64,
        total: Option<u64>,
    },
    /// Nothing of the range exists.
    Outside {
        total: Option<u64>,
    },
}

impl Head {
    /// The head at the beginning of `bytes` and its length; `None` while it is not complete.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Broken> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let length = match response.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() < HEAD => return Ok(None),
            Ok(httparse::Status::Partial) => {
                return Err(Broken::fatal(format!("the answer's head has more than {HEAD} bytes")));
            }
            Err(error) => return Err(Broken::fatal(format!("the answer is no HTTP: {error}"))),
        };
        let status = response
            .code
            .and_then(|code| StatusCode::from_u16(code).ok())
            .ok_or_else(|| Broken::fatal("the answer has no status"))?;
        let mut head = Self {
            status,
            framing: Framing::UntilClose,
            persists: response.version == Some(1),
            location: None,
            etag: None,
            content_range: None,
        };
        let mut length_told = None;
        let mut encodings = false;
        for field in response.headers.iter() {
            let Ok(value) = std::str::from_utf8(field.value).map(str::trim) else { continue };
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            if is("content-length") {
                let told = value.parse().map_err(|_| Broken::fatal("Content-Length is no number"))?;
                if length_told.replace(told).is_some_and(|before: u64| before != told) {
                    return Err(Broken::fatal("two lengths in one answer"));
                }
            } else if is("transfer-encoding") {
                if encodings || !value.eq_ignore_ascii_case("chunked") {
                    return Err(Broken::fatal(format!("the transfer encoding {value} was not asked for")));
                }
                encodings = true;
            } else if is("connection") {
                head.persists &= !value.split(',').any(|option| option.trim().eq_ignore_ascii_case("close"));
            } else if is("location") {
                head.location = Some(value.to_owned());
            } else if is("etag") {
                head.etag = Some(value.to_owned());
            } else if is("content-range") {
                head.content_range = ContentRange::parse(value);
            }
        }
        let bodiless = status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED;
        head.framing = match (length_told, encodings) {
            _ if bodiless => Framing::Exactly(0),
            (told, true) => {
                // Whoever says both may mean two different ends (RFC 9112 §6.3).
                head.persists &= told.is_none();
                Framing::Chunked
            }
            (Some(length), false) => Framing::Exactly(length),
            (None, false) => Framing::UntilClose,
        };
        head.persists &= head.framing != Framing::UntilClose;
        Ok(Some((head, length)))
    }
}

impl ContentRange {
    fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.strip_prefix("bytes ")?.trim().split_once('/')?;
        let total = if total == "*" { None } else { Some(total.parse().ok()?) };
        if range == "*" {
            return Some(Self::Outside { total });
        }
        let (first, last) = range.split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last && total.is_none_or(|total| last < total)).then_some(Self::Part { first, last, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Head, Broken> {
        Ok(Head::parse(text.as_bytes())?.expect("a whole head").0)
    }

    #[test]
    fn content_ranges() {
        let part = |first, last, total| Some(ContentRange::Part { first, last, total });
        assert_eq!(ContentRange::parse("bytes 5-9/10"), part(5, 9, Some(10)));
        assert_eq!(ContentRange::parse("bytes 5-9/*"), part(5, 9, None));
        assert_eq!(ContentRange::parse("bytes */10"), Some(ContentRange::Outside { total: Some(10) }));
        for bad in ["", "items 1-2/3", "bytes 5-9/x", "bytes 9-5/10", "bytes 5-10/10", "bytes 5-/10"] {
            assert_eq!(ContentRange::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn lengths() {
        let framing = |fields: &str| head(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).unwrap().framing;
        assert_eq!(framing("content-length: 7\r\n"), Framing::Exactly(7));
        assert_eq!(framing("Content-Length: 7\r\nContent-Length: 7\r\n"), Framing::Exactly(7));
        assert_eq!(framing("Transfer-Encoding: Chunked\r\nContent-Length: 7\r\n"), Framing::Chunked);
        assert_eq!(framing(""), Framing::UntilClose);
        assert_eq!(
            head("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n").unwrap().framing,
            Framing::Exactly(0)
        );
        for bad in [
            "Content-Length: 7\r\nContent-Length: 8\r\n",
            "Content-Length: -1\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
        ] {
            assert!(head(&format!("HTTP/1.1 200 OK\r\n{bad}\r\n")).is_err(), "{bad}");
        }
    }

    #[test]
    fn connections_persist_where_both_ends_know_where_the_body_ends() {
        let persists = |text: &str| head(text).unwrap().persists;
        assert!(persists("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
        assert!(!persists("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
        assert!(!persists("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n"));
        assert!(!persists("HTTP/1.1 200 OK\r\n\r\n"));
        assert!(!persists("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 7\r\n\r\n"));
    }

    #[test]
    fn heads_are_bounded() {
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\nA: b\r\n").unwrap().is_none());
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(HEAD));
        assert!(Head::parse(long.as_bytes()).is_err());
        assert!(Head::parse(b"SSH-2.0-x\r\n\r\n").is_err());
    }
}
