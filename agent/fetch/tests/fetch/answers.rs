use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use tacit_fetch::{Authorities, FetchKind, Fetcher};

use crate::server::Server;
use crate::{Somebody, all, content, direct, url};

fn chunked(bytes: &[u8], sizes: &[usize], trailers: &str) -> Vec<u8> {
    let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
        answer.extend_from_slice(format!("{:x};name=\"value\"\r\n", chunk.len()).as_bytes());
        answer.extend_from_slice(chunk);
        answer.extend_from_slice(b"\r\n");
        rest = behind;
    }
    answer.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
    answer
}

#[test]
fn chunked_bodies_come_whole_and_leave_the_connection() {
    let bytes = content(200_000);
    for (sizes, trailers) in [(&[1, 2, 300][..], ""), (&[70_000], "A: b\r\nC: d\r\n"), (&[16 << 10, 5], "")] {
        let server = Server::says(chunked(&bytes, sizes, trailers));
        let (fetcher, url) = (direct(), url(&server.url("/image")));
        for _ in 0..3 {
            let got = fetcher.open(&url, 0, None, None).unwrap();
            assert_eq!((got.offset, got.total), (0, None));
            assert!(all(got) == bytes);
        }
        assert_eq!(server.connections(), 1, "{sizes:?}");
    }
}

#[test]
fn answers_may_come_in_drops() {
    let bytes = content(500);
    let answer = chunked(&bytes, &[7, 100], "A: b\r\n");
    let server = Server::start(move |_, stream| {
        stream.set_nodelay(true).unwrap();
        answer.chunks(3).all(|drop| stream.write_all(drop).is_ok())
    });
    let got = direct().open(&url(&server.url("/image")), 0, None, None).unwrap();
    assert!(all(got) == bytes);
}

#[test]
fn a_body_may_end_with_its_connection() {
    let server = Server::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nto the end").unwrap();
        false
    });
    assert_eq!(all(direct().open(&url(&server.url("/image")), 0, None, None).unwrap()), b"to the end");
}

#[test]
fn interim_answers_are_passed_over() {
    let server = Server::says(
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    assert_eq!(all(direct().open(&url(&server.url("/image")), 0, None, None).unwrap()), b"ok");
}

#[test]
fn interim_answers_for_ever_are_none() {
    let server = Server::says("HTTP/1.1 100 Continue\r\n\r\n".repeat(100));
    let error = direct().open(&url(&server.url("/image")), 0, None, None).unwrap_err();
    assert_eq!(error.kind, FetchKind::Fatal);
}

#[test]
fn what_a_refusal_says_is_not_waited_for_long() {
    let server = Server::start(|asked, stream| {
        let answer: &[u8] = match asked.connection {
            0 => b"HTTP/1.1 307 There\r\nLocation: /there\r\nContent-Length: 100\r\n\r\nnever whole",
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        };
        stream.write_all(answer).is_ok()
    });
    let start = Instant::now();
    assert_eq!(all(direct().open(&url(&server.url("/here")), 0, None, None).unwrap()), b"ok");
    assert!(start.elapsed() < Duration::from_secs(20), "a minute is the longest silence of a body");
}

#[test]
fn what_an_answer_means() {
    for (status, kind) in [
        (500, FetchKind::Retryable),
        (503, FetchKind::Retryable),
        (429, FetchKind::Retryable),
        (408, FetchKind::Retryable),
        (404, FetchKind::Fatal),
        (403, FetchKind::Fatal),
        (304, FetchKind::Fatal),
        (204, FetchKind::Fatal),
    ] {
        let server = Server::says(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"));
        let error = direct().open(&url(&server.url("/image?secret")), 0, None, None).unwrap_err();
        assert_eq!(error.kind, kind, "{status}");
        assert!(error.to_string().contains("/image: ") && !error.to_string().contains("secret"), "{error}");
    }
    for nonsense in ["SSH-2.0-OpenSSH_9\r\n\r\n", "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"] {
        let server = Server::says(nonsense);
        let error = direct().open(&url(&server.url("/image")), 0, None, None).unwrap_err();
        assert_eq!(error.kind, FetchKind::Fatal, "{nonsense}");
    }
}

#[test]
fn documents_are_asked_for_again() {
    let server = Server::start(|asked, stream| {
        let answer: &[u8] = match asked.nth {
            0 => b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy",
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        };
        stream.write_all(answer).is_ok()
    });
    let document = |limit| direct().document(&url(&server.url("/sums")), limit);
    assert_eq!(document(2).unwrap(), b"ok");
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn documents_are_bounded() {
    let server = Server::says(chunked(&content(1000), &[100], ""));
    assert_eq!(direct().document(&url(&server.url("/sums")), 1000).unwrap().len(), 1000);
    let error = direct().document(&url(&server.url("/sums")), 999).unwrap_err();
    assert_eq!(error.kind, FetchKind::Fatal);
}

#[test]
fn nobody_waits_for_a_document_that_is_not_wanted_any_more() {
    let server = Server::says("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    let somebody = Arc::new(Somebody::default());
    let fetcher = Fetcher::direct(Authorities::public(), somebody.clone()).unwrap();
    let url = url(&server.url("/sums"));
    let fetching = thread::spawn(move || fetcher.document(&url, 10));
    while server.asked().is_empty() {
        thread::yield_now();
    }
    let start = Instant::now();
    somebody.gone.store(true, Ordering::Relaxed);
    assert_eq!(fetching.join().unwrap().unwrap_err().kind, FetchKind::Cancelled);
    assert!(start.elapsed() < Duration::from_secs(10), "all pauses together are 15 seconds");
}
