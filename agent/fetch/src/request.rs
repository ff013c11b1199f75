//! What is asked.

use std::ops::Range;

use http::HeaderValue;

use crate::Url;

/// A part of what a URL leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) offset: u64,
    /// Not asked for: the rest.
    pub(crate) len: Option<u64>,
    /// Strong entity tag of the parts fetched before.
    pub(crate) etag: Option<&'a str>,
}

impl<'a> Asked<'a> {
    /// Whether the request has a `Range`.
    pub(crate) fn is_part(&self) -> bool {
        self.offset > 0 || self.len.is_some()
    }

    /// The bytes asked for, where their end is known.
    fn range(&self) -> Option<Range<u64>> {
        Some(self.offset..self.offset.checked_add(self.len?.max(1))?)
    }

    /// The head of a request (RFC 9112 §3), whose target is whole for those who pass it on.
    pub(crate) fn head(&self, url: &Url, absolute: bool, authorization: Option<&HeaderValue>) -> Vec<u8> {
        let target = if absolute { url.absolute_form() } else { url.origin_form() };
        let mut head = format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\nUser-Agent: tacit/{}\r\nAccept: */*\r\n",
            url.host(),
            env!("CARGO_PKG_VERSION")
        );
        if self.is_part() {
            match self.range() {
                Some(range) => {
                    head += &format!("Range: bytes={}-{}\r\n", range.start, range.end - 1);
                }
                None => head += &format!("Range: bytes={}-\r\n", self.offset),
            }
            if let Some(etag) = self.etag.filter(|etag| is_strong(etag)) {
                head += &format!("If-Range: {etag}\r\n");
            }
        }
        let mut head = head.into_bytes();
        if let Some(value) = authorization {
            head.extend_from_slice(b"Authorization: ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

/// Whether it is a strong entity tag (RFC 9110 §8.8.3), and nothing that would end its line.
pub(crate) fn is_strong(etag: &str) -> bool {
    etag.len() >= 2
        && etag.starts_with('"')
        && etag.ends_with('"')
        && !etag.bytes().any(|byte| byte.is_ascii_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(offset: u64, len: Option<u64>, etag: Option<&str>) -> String {
        let url = Url::parse("http://host:81/a?b").expect("a URL");
        String::from_utf8(Asked { offset, len, etag }.head(&url, false, None)).expect("text")
    }

    #[test]
    fn ranges() {
        assert!(!head(0, None, Some("\"x\"")).contains("ange"));
        assert!(head(0, Some(10), None).contains("\r\nRange: bytes=0-9\r\n"));
        assert!(head(5, Some(10), None).contains("\r\nRange: bytes=5-14\r\n"));
        assert!(head(5, None, Some("\"x\"")).ends_with("\r\nRange: bytes=5-\r\nIf-Range: \"x\"\r\n\r\n"));
        assert!(head(5, Some(u64::MAX), None).contains("\r\nRange: bytes=5-\r\n"));
    }

    #[test]
    fn only_strong_tags_are_conditions() {
        for weak in ["W/\"x\"", "x", "\"", "\"a\r\nB: c\""] {
            assert!(!head(5, None, Some(weak)).contains("If-Range"), "{weak}");
        }
    }
}
