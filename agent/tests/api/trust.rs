//! Who may call.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{Authority, Caller, Identity, TestAgent};

/// Asserts that this caller gets an error and not a byte of HTTP.
fn assert_refused(agent: &TestAgent, identity: Option<&Identity>) {
    let caller = Caller::new(agent.address, &agent.authority.pem, identity);
    let outcome = caller.raw(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(outcome.is_err(), "{:?}", outcome.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
}

#[test]
fn only_the_conductor_is_answered() {
    let agent = TestAgent::start();
    assert_refused(&agent, None);
    assert_refused(&agent, Some(&Authority::new("another authority").client()));
    // Another node has a certificate of the same authority, for serving.
    assert_refused(&agent, Some(&agent.authority.server()));
    assert_eq!(agent.get("/v1/status").status, 200);
}

#[test]
fn plain_http_gets_no_answer() {
    let agent = TestAgent::start();
    let mut stream = TcpStream::connect(agent.address).unwrap();
    stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    // A reset is as good an answer as a TLS alert.
    if stream.read_to_end(&mut bytes).is_ok() {
        assert!(!bytes.windows(4).any(|window| window == b"HTTP"), "{bytes:?}");
    }
}

#[test]
fn a_silent_caller_takes_nobodys_place() {
    let agent = TestAgent::start();
    let silent: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(agent.address).unwrap()).collect();
    assert_eq!(agent.get("/v1/status").status, 200);
    drop(silent);
}
