use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use tacit_fetch::{Authorities, FetchKind, Fetcher};

use crate::server::Server;
use crate::{Somebody, all, content, direct, url};

const TOTAL: usize = 100_000;

/// Reads until it breaks, and says where and how.
fn until_broken(mut reader: impl Read) -> (usize, io::ErrorKind) {
    let (mut buf, mut read) = (vec![0; 32 << 10], 0);
    loop {
        match reader.read(&mut buf) {
            Ok(0) => panic!("an end after {read} bytes"),
            Ok(count) => read += count,
            Err(error) => return (read, error.kind()),
        }
    }
}

/// Sends half of the first answer, and then goes on as it is told.
fn half(then: impl Fn() -> bool + Send + Sync + 'static) -> (Server, Vec<u8>) {
    let bytes = content(TOTAL);
    let served = bytes.clone();
    let server = Server::start(move |asked, stream| {
        let answer = asked.answer(&served);
        if asked.connection > 0 {
            return stream.write_all(&answer).is_ok();
        }
        stream.write_all(&answer[..TOTAL / 2]).unwrap();
        then()
    });
    (server, bytes)
}

#[test]
fn a_cut_is_no_end_and_the_rest_can_be_fetched() {
    let (server, bytes) = half(|| false);
    let (fetcher, url) = (direct(), url(&server.url("/image")));
    let (read, kind) = until_broken(fetcher.open(&url, 0, None, None).unwrap().reader);
    assert_eq!(kind, io::ErrorKind::ConnectionReset);
    let rest = fetcher.open(&url, read as u64, None, Some("\"one\"")).unwrap();
    assert_eq!(rest.offset, read as u64);
    assert!(all(rest) == bytes[read..]);
}

#[test]
fn a_broken_reader_stays_broken() {
    let (server, _) = half(|| false);
    let mut reader = direct().open(&url(&server.url("/image")), 0, None, None).unwrap().reader;
    until_broken(&mut reader);
    assert!(reader.read(&mut [0]).is_err());
}

#[test]
fn cut_and_damaged_chunks_are_no_end() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in ["", "5\r\nab", "5\r\nabcde", "5\r\nabcde\r\n", "0\r\n", "5\r\nabcdeXX0\r\n\r\n", "zz\r\n"] {
        let answer = format!("{head}{body}");
        let server = Server::start(move |_, stream| {
            stream.write_all(answer.as_bytes()).unwrap();
            false
        });
        let got = direct().open(&url(&server.url("/image")), 0, None, None).unwrap();
        let (_, kind) = until_broken(got.reader);
        assert_eq!(kind, io::ErrorKind::ConnectionReset, "{body:?}");
    }
}

#[test]
fn silence_ends_a_fetch() {
    let (server, _) = half(wait_for_ever);
    let stall = Duration::from_secs(1);
    let got = direct().with_stall(stall).open(&url(&server.url("/image")), 0, None, None).unwrap();
    let start = Instant::now();
    let (read, kind) = until_broken(got.reader);
    let took = start.elapsed();
    assert_eq!(kind, io::ErrorKind::TimedOut);
    // Half of the time that is usual when none is set.
    assert!(read > 0 && took >= stall && took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn no_answer_at_all_ends_a_fetch() {
    let server = Server::start(|_, _| wait_for_ever());
    let fetcher = direct().with_stall(Duration::from_millis(300));
    let error = fetcher.open(&url(&server.url("/image")), 0, None, None).unwrap_err();
    assert_eq!(error.kind, FetchKind::TimedOut);
}

#[test]
fn a_slow_server_is_not_a_silent_one() {
    let bytes = content(40);
    let served = bytes.clone();
    let server = Server::start(move |asked, stream| {
        stream.set_nodelay(true).unwrap();
        asked.answer(&served).iter().all(|byte| {
            // Slower in all than the longest silence, and never silent for that long.
            thread::park_timeout(Duration::from_millis(30));
            stream.write_all(&[*byte]).is_ok()
        })
    });
    let fetcher = direct().with_stall(Duration::from_secs(2));
    assert!(all(fetcher.open(&url(&server.url("/image")), 0, None, None).unwrap()) == bytes);
}

#[test]
fn who_loses_interest_does_not_wait() {
    let (server, _) = half(wait_for_ever);
    let somebody = Arc::new(Somebody::default());
    let fetcher = Fetcher::direct(Authorities::public(), somebody.clone()).unwrap();
    let mut reader = fetcher.open(&url(&server.url("/image")), 0, None, None).unwrap().reader;
    let (begun, begins) = std::sync::mpsc::channel();
    let reading = thread::spawn(move || {
        let mut buf = vec![0; TOTAL];
        let mut read = 0;
        loop {
            match reader.read_some(&mut buf) {
                Ok(count) => read += count,
                Err(error) => return error.kind,
            }
            if read >= TOTAL / 2 - 500 {
                begun.send(()).unwrap();
            }
        }
    });
    begins.recv().unwrap();
    let start = Instant::now();
    somebody.gone.store(true, Ordering::Relaxed);
    assert_eq!(reading.join().unwrap(), FetchKind::Cancelled);
    // Without interest it would wait for as long as a server may be silent: a minute.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn a_reader_dropped_early_neither_waits_nor_spoils() {
    let (server, bytes) = half(wait_for_ever);
    let (fetcher, url) = (direct(), url(&server.url("/image")));
    let mut reader = fetcher.open(&url, 0, None, None).unwrap().reader;
    reader.read_exact(&mut [0; 10]).unwrap();
    let start = Instant::now();
    drop(reader);
    assert!(start.elapsed() < Duration::from_secs(20));
    assert!(all(fetcher.open(&url, 0, None, None).unwrap()) == bytes);
    assert_eq!(server.connections(), 2);
}

#[test]
fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = direct().open(&url(&format!("http://{address}/image")), 0, None, None).unwrap_err();
    assert_eq!(error.kind, FetchKind::Retryable, "{error}");
}

/// The thread ends with the test's process.
fn wait_for_ever() -> bool {
    loop {
        thread::park();
    }
}
