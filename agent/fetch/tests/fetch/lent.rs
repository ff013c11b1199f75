use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tacit_fetch::{FetchKind, Fetcher, LendPool, LentConnection};

use crate::server::Asked;
use crate::{Somebody, all, content, tls, url};

const IMAGE: &str = "http://images/disk.raw";

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (dialled, listener.accept().unwrap().0)
}

/// Serves on a connection that it dialled; returns the requests.
fn lend(
    stream: impl Read + Write + Send + 'static,
    bytes: &[u8],
    requests: Option<usize>,
) -> Arc<Mutex<Vec<Asked>>> {
    let heads: Arc<Mutex<Vec<Asked>>> = Arc::default();
    let (noted, bytes) = (heads.clone(), bytes.to_vec());
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut nth = 0;
        while requests.is_none_or(|requests| nth < requests)
            && let Some(asked) = Asked::read(&mut reader, 0, nth)
        {
            nth += 1;
            let answer = asked.answer(&bytes);
            noted.lock().unwrap().push(asked);
            if reader.get_mut().write_all(&answer).and_then(|()| reader.get_mut().flush()).is_err() {
                return;
            }
        }
    });
    heads
}

fn pool() -> (Arc<LendPool>, Fetcher, Arc<Somebody>) {
    let (pool, somebody) = (Arc::<LendPool>::default(), Arc::new(Somebody::default()));
    (pool.clone(), Fetcher::lent(pool, somebody.clone()), somebody)
}

#[test]
fn a_lent_connection_serves_request_after_request() {
    let bytes = content(100_000);
    let (pool, fetcher, somebody) = pool();
    let (conductor, agent) = pair();
    let heads = lend(conductor, &bytes, None);
    pool.add(LentConnection::plain(agent, Vec::new()));
    for offset in [0, 50_000, 99_999] {
        let got = fetcher.open(&url(IMAGE), offset, Some(1000), None).unwrap();
        assert!(all(got) == bytes[offset as usize..bytes.len().min(offset as usize + 1000)]);
    }
    let heads = heads.lock().unwrap();
    assert_eq!(heads.len(), 3);
    assert!(
        heads[0].head.starts_with("get http://images/disk.raw http/1.1\r\nhost: images\r\n"),
        "{heads:?}"
    );
    assert_eq!(somebody.wanted.load(Ordering::Relaxed), 0);
}

#[test]
fn lent_over_tls_with_what_was_read_ahead() {
    let bytes = content(3 << 20);
    let (pool, fetcher, _) = pool();
    let (conductor, agent) = pair();
    let authority = tls::Authority::new();
    let client = tls::client(conductor, &authority);
    let heads = lend(client, &bytes, None);
    let session = tls::accept(&agent, &authority);
    pool.add(LentConnection::tls(agent, session, Vec::new()));
    for _ in 0..3 {
        assert!(all(fetcher.open(&url(IMAGE), 0, None, None).unwrap()) == bytes);
    }
    assert_eq!(heads.lock().unwrap().len(), 3);
}

#[test]
fn who_has_none_asks_and_waits() {
    let (pool, fetcher, somebody) = pool();
    let fetching = thread::spawn(move || all(fetcher.open(&url(IMAGE), 0, None, None).unwrap()));
    while somebody.wanted.load(Ordering::Relaxed) == 0 {
        thread::yield_now();
    }
    let (conductor, agent) = pair();
    lend(conductor, b"ok", None);
    pool.add(LentConnection::plain(agent, Vec::new()));
    assert_eq!(fetching.join().unwrap(), b"ok");
    assert_eq!(somebody.wanted.load(Ordering::Relaxed), 1);
}

#[test]
fn nobody_lends() {
    let (_pool, fetcher, _) = pool();
    let error = fetcher.with_stall(Duration::from_millis(200)).open(&url(IMAGE), 0, None, None).unwrap_err();
    assert_eq!(error.kind, FetchKind::TimedOut);
}

#[test]
fn closed_ones_are_not_used_and_take_no_place() {
    let (pool, fetcher, somebody) = pool();
    for _ in 0..100 {
        let (conductor, agent) = pair();
        drop(conductor);
        pool.add(LentConnection::plain(agent, Vec::new()));
    }
    let (conductor, agent) = pair();
    let heads = lend(conductor, b"ok", None);
    pool.add(LentConnection::plain(agent, Vec::new()));
    assert_eq!(all(fetcher.open(&url(IMAGE), 0, None, None).unwrap()), b"ok");
    assert_eq!(heads.lock().unwrap().len(), 1);
    assert_eq!(somebody.wanted.load(Ordering::Relaxed), 0);
}

#[test]
fn the_next_one_serves_when_one_is_gone() {
    let (pool, fetcher, _) = pool();
    for requests in [Some(1), None] {
        let (conductor, agent) = pair();
        lend(conductor, b"ok", requests);
        pool.add(LentConnection::plain(agent, Vec::new()));
    }
    for _ in 0..4 {
        assert_eq!(all(fetcher.open(&url(IMAGE), 0, None, None).unwrap()), b"ok");
    }
}

#[test]
fn a_connection_whose_body_was_not_read_does_not_come_back() {
    let bytes = content(1 << 20);
    let (pool, fetcher, somebody) = pool();
    let (conductor, agent) = pair();
    lend(conductor, &bytes, None);
    pool.add(LentConnection::plain(agent, Vec::new()));
    drop(fetcher.open(&url(IMAGE), 0, None, None).unwrap());
    let error = fetcher.with_stall(Duration::from_millis(200)).open(&url(IMAGE), 0, None, None).unwrap_err();
    assert_eq!(error.kind, FetchKind::TimedOut);
    assert_eq!(somebody.wanted.load(Ordering::Relaxed), 1);
}
