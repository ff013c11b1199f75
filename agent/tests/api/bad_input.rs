//! What must not hurt.

use std::io::{Read, Write};

use crate::support::TestAgent;

#[test]
fn a_body_of_100_mb_is_refused_unread() {
    let agent = TestAgent::start();
    let before = agent.peak_memory();
    let mut stream = agent.caller.connect().unwrap();
    let head =
        "POST /v1/commands/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 100000000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    // The answer comes although hardly any of the body was sent.
    stream.write_all(&[b' '; 100_000]).unwrap();
    stream.flush().unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    assert!(agent.peak_memory() < before + (16 << 20), "{before}");
    assert_eq!(agent.get("/v1/status").status, 200);
}

#[test]
fn json_10_000_levels_deep() {
    let agent = TestAgent::start();
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let body = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        let answer = agent.post("/v1/commands/", &body);
        assert_eq!(answer.status, 400);
        assert!(answer.json()["faultstring"].as_str().unwrap().contains("recursion limit exceeded"));
        let answer = agent.caller.request("PUT", "/v2/operations/a", Some(body.as_bytes()));
        assert_eq!(answer.status, 400);
    }
}

#[test]
fn garbage_in_v2() {
    let agent = TestAgent::start();
    for (body, status) in [
        ("", 400),
        ("{", 400),
        ("[]", 400),
        ("{\"command\": 5}", 400),
        ("{\"command\": \"nope.nope\"}", 400),
        ("{\"command\": \"standby.sync\", \"params\": {\"x\": 1}}", 400),
        ("{\"command\": \"standby.prepare_image\", \"params\": {\"image_info\": {\"id\": \"x\"}}}", 400),
    ] {
        let answer = agent.caller.request("PUT", "/v2/operations/a", Some(body.as_bytes()));
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert!(answer.json()["faultstring"].is_string());
    }
    assert_eq!(agent.get("/v2/operations/a").status, 404);
    assert_eq!(agent.get("/v2/operations").json(), serde_json::json!([]));
    assert_eq!(agent.put("/v2/clock", &serde_json::json!({"unix_time": 12.0})).status, 400);
    assert_eq!(agent.post("/v2/lend", "").status, 400);
    assert_eq!(agent.get("/v2/nope").status, 404);
    assert_eq!(agent.post("/v2/status", "").status, 405);
}
