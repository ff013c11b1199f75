use std::io::Write;

use tacit_fetch::{FetchKind, HttpSource};
use tacit_imaging::{Source, SourceError};

use crate::server::Server;
use crate::{all, content, direct, url};

const TOTAL: usize = 300_000;

#[test]
fn parts_come_as_asked() {
    let bytes = content(TOTAL);
    let server = Server::good(bytes.clone());
    let (fetcher, url) = (direct(), url(&server.url("/image")));
    for (offset, len) in [(0, None), (0, Some(10)), (1000, Some(100_000)), (299_990, Some(100)), (7, None)] {
        let got = fetcher.open(&url, offset, len, None).unwrap();
        assert_eq!(
            (got.offset, got.total, got.etag.as_deref()),
            (offset, Some(TOTAL as u64), Some("\"one\""))
        );
        let end = len.map_or(TOTAL, |len: u64| TOTAL.min((offset + len) as usize));
        assert!(all(got) == bytes[offset as usize..end], "{offset} {len:?}");
    }
    let ranges: Vec<_> = server.asked().iter().map(|asked| asked.field("range").map(str::to_owned)).collect();
    let expected =
        [None, Some("bytes=0-9"), Some("bytes=1000-100999"), Some("bytes=299990-300089"), Some("bytes=7-")];
    assert_eq!(ranges, expected.map(|range| range.map(str::to_owned)));
}

#[test]
fn who_ignores_ranges_sends_all_and_no_more_than_asked_is_read() {
    let bytes = content(TOTAL);
    let answer = [format!("HTTP/1.1 200 OK\r\nContent-Length: {TOTAL}\r\n\r\n").as_bytes(), &bytes].concat();
    let server = Server::says(answer);
    let (fetcher, url) = (direct(), url(&server.url("/image")));
    for (offset, len, end) in [(0, Some(10), 10), (1000, Some(10), 1010), (1000, None, TOTAL)] {
        let got = fetcher.open(&url, offset, len, None).unwrap();
        assert_eq!((got.offset, got.total), (0, Some(TOTAL as u64)));
        assert!(all(got) == bytes[..end], "{offset} {len:?}");
    }
}

#[test]
fn the_very_end_is_no_failure() {
    let server = Server::good(content(TOTAL));
    let (fetcher, url) = (direct(), url(&server.url("/image")));
    let got = fetcher.open(&url, TOTAL as u64, None, Some("\"one\"")).unwrap();
    assert_eq!((got.offset, got.total), (TOTAL as u64, Some(TOTAL as u64)));
    assert!(all(got).is_empty());
    for offset in [TOTAL as u64 + 1, u64::MAX / 2] {
        assert_eq!(fetcher.open(&url, offset, Some(5), None).unwrap_err().kind, FetchKind::Changed);
    }
    assert_eq!(server.connections(), 1, "what was said with 416 is short enough to be read");
}

#[test]
fn a_416_without_a_length_is_a_change() {
    let server = Server::says("HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n");
    let error = direct().open(&url(&server.url("/image")), 5, None, None).unwrap_err();
    assert_eq!(error.kind, FetchKind::Changed);
}

#[test]
fn another_entity_tag_is_a_change() {
    let whole = "HTTP/1.1 200 OK\r\nETag: \"two\"\r\nContent-Length: 4\r\n\r\nabcd";
    let part = "HTTP/1.1 206 Partial Content\r\nETag: \"two\"\r\nContent-Range: bytes 2-3/4\r\nContent-Length: 2\r\n\r\ncd";
    for answer in [whole, part] {
        let server = Server::says(answer);
        let mut source = HttpSource::new(direct(), url(&server.url("/image")));
        let outcome = source.open(2, None, Some("\"one\"")).map(|_| ());
        assert!(matches!(outcome, Err(SourceError::Changed { .. })), "{outcome:?}");
        assert_eq!(server.asked()[0].field("if-range"), Some("\"one\""));
        assert!(source.open(2, None, Some("\"two\"")).is_ok());
    }
}

#[test]
fn ranges_that_make_no_sense_are_refused() {
    let fields = [
        "Content-Length: 2",
        "Content-Range: bytes 3-4/9\r\nContent-Length: 2",
        "Content-Range: bytes 2-4/9\r\nContent-Length: 2",
        "Content-Range: bytes 2-9/9\r\nContent-Length: 8",
    ];
    for fields in fields {
        let server = Server::says(format!("HTTP/1.1 206 Partial Content\r\n{fields}\r\n\r\nab"));
        let error = direct().open(&url(&server.url("/image")), 2, None, None).unwrap_err();
        assert_eq!(error.kind, FetchKind::Fatal, "{fields}: {error}");
    }
    // Not asked for.
    let server = Server::says(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/2\r\nContent-Length: 2\r\n\r\nab",
    );
    let error = direct().open(&url(&server.url("/image")), 0, None, None).unwrap_err();
    assert_eq!(error.kind, FetchKind::Fatal);
}

#[test]
fn a_server_may_send_less_than_asked() {
    let server = Server::start(|_, stream| {
        let head = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-3/9\r\nContent-Length: 2\r\n\r\n";
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(b"cd")).is_ok()
    });
    let got = direct().open(&url(&server.url("/image")), 2, Some(7), None).unwrap();
    assert_eq!(got.total, Some(9));
    assert_eq!(all(got), b"cd");
}
