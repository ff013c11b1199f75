use std::io::{Read, Write};

use crate::server::Server;
use crate::{all, content, direct, url};

#[test]
fn one_connection_serves_many_parts() {
    let bytes = content(1 << 20);
    let server = Server::good(bytes.clone());
    let (fetcher, url) = (direct(), url(&server.url("/image")));
    for part in 0..20 {
        let offset = part * 10_000;
        let mut got = fetcher.open(&url, offset as u64, Some(10_000), Some("\"one\"")).unwrap();
        // Read exactly, as who knows what was asked for does: no call sees the end.
        let mut piece = vec![0; 10_000];
        got.reader.read_exact(&mut piece).unwrap();
        assert!(piece == bytes[offset..offset + 10_000], "{offset}");
    }
    assert_eq!((server.asked().len(), server.connections()), (20, 1));
}

#[test]
fn clones_share_connections() {
    let server = Server::good(content(1000));
    let (fetcher, url) = (direct(), url(&server.url("/image")));
    for _ in 0..3 {
        all(fetcher.clone().open(&url, 0, None, None).unwrap());
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn two_readers_have_a_connection_each() {
    let bytes = content(1 << 20);
    let server = Server::good(bytes.clone());
    let (fetcher, url) = (direct(), url(&server.url("/image")));
    let first = fetcher.open(&url, 0, None, None).unwrap();
    let second = fetcher.open(&url, 0, None, None).unwrap();
    assert!(all(first) == bytes && all(second) == bytes);
    assert_eq!(server.connections(), 2);
}

#[test]
fn servers_that_close_are_dialled_again() {
    let bytes = content(1000);
    for announced in [true, false] {
        let served = bytes.clone();
        let server = Server::start(move |asked, stream| {
            let answer = String::from_utf8_lossy(b"HTTP/1.1 200 OK\r\n").into_owned()
                + if announced { "Connection: close\r\n" } else { "" };
            let answer = [answer.as_bytes(), &asked.answer(&served)["HTTP/1.1 200 OK\r\n".len()..]].concat();
            stream.write_all(&answer).unwrap();
            false
        });
        let (fetcher, url) = (direct(), url(&server.url("/image")));
        for _ in 0..5 {
            assert!(all(fetcher.open(&url, 0, None, None).unwrap()) == bytes);
        }
        assert_eq!((server.asked().len(), server.connections()), (5, 5));
    }
}

#[test]
fn a_request_that_met_a_closing_connection_is_made_again() {
    let bytes = content(1000);
    let served = bytes.clone();
    let server = Server::start(move |asked, stream| {
        // The second request on each connection is read, and not answered.
        asked.nth == 0 && stream.write_all(&asked.answer(&served)).is_ok()
    });
    let (fetcher, url) = (direct(), url(&server.url("/image")));
    for _ in 0..3 {
        assert!(all(fetcher.open(&url, 0, None, None).unwrap()) == bytes);
    }
    assert_eq!((server.asked().len(), server.connections()), (5, 3));
}

#[test]
fn bytes_that_nobody_asked_for_spoil_nothing() {
    let server = Server::start(|_, stream| {
        let extra =
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad";
        stream.write_all(extra.as_bytes()).is_ok()
    });
    let (fetcher, url) = (direct(), url(&server.url("/image")));
    for _ in 0..3 {
        assert_eq!(all(fetcher.open(&url, 0, None, None).unwrap()), b"ok");
    }
    assert_eq!(server.connections(), 3);
}

#[test]
fn redirects_keep_the_connection() {
    let server = Server::start(|asked, stream| {
        let answer: &[u8] = if asked.head.starts_with("get /there ") {
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        } else {
            b"HTTP/1.1 307 There\r\nLocation: there\r\nContent-Length: 5\r\n\r\nthere"
        };
        stream.write_all(answer).is_ok()
    });
    let got = direct().open(&url(&server.url("/here")), 0, Some(2), None).unwrap();
    assert_eq!(all(got), b"ok");
    assert_eq!((server.asked().len(), server.connections()), (2, 1));
    assert!(server.asked().iter().all(|asked| asked.field("range") == Some("bytes=0-1")));
}
