//! Images that the agent fetches itself, as stock Ironic expects.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::support::{TestAgent, finished, image, sha256, write_request};

/// A plain HTTP server that answers each request with what `respond` makes of its head.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn start(respond: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = heads.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if reader.read_line(&mut head).unwrap() == 0 {
                        break;
                    }
                }
                let answer = respond(&head);
                noted.lock().unwrap().push(head);
                // A client that has seen enough may be gone.
                if let Err(error) = reader.get_mut().write_all(&answer) {
                    eprintln!("the client went: {error}");
                }
            }
        });
        Self { address, heads }
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

pub(crate) fn ok(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

#[test]
fn redirects_are_followed_and_credentials_stay_at_home() {
    let agent = TestAgent::with_disk(Some(32 << 20));
    let image = image(4 << 20);
    let checksum = sha256(&image);
    let elsewhere = Server::start(move |_| ok(&image));
    let target = format!("http://{}/far/disk.raw?token=secret", elsewhere.address);
    let home = Server::start(move |_| {
        format!("HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n").into_bytes()
    });
    // `Bearer secret`
    let more = json!({"transport": "direct", "image_request_authorization": "QmVhcmVyIHNlY3JldA=="});
    let request = write_request(&agent, &format!("http://{}/disk.raw", home.address), &checksum, more);
    assert_eq!(agent.put("/v2/operations/deploy", &request).status, 201);
    let operation = finished(&agent, "deploy");
    assert_eq!(operation["state"], "succeeded", "{operation}");
    let (first, second) = (&home.heads()[0], &elsewhere.heads()[0]);
    assert!(first.starts_with("GET /disk.raw HTTP/1.1\r\n"), "{first}");
    assert!(first.to_lowercase().contains("authorization: bearer secret\r\n"), "{first}");
    assert!(second.starts_with("GET /far/disk.raw?token=secret HTTP/1.1\r\n"), "{second}");
    assert!(!second.to_lowercase().contains("authorization"), "{second}");
}

#[test]
fn endless_redirects_end() {
    let agent = TestAgent::with_disk(Some(32 << 20));
    let server = Server::start(|_| {
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n".to_vec()
    });
    let url = format!("http://{}/disk.raw", server.address);
    let request = write_request(&agent, &url, &"0".repeat(64), json!({"transport": "direct"}));
    assert_eq!(agent.put("/v2/operations/deploy", &request).status, 201);
    let operation = finished(&agent, "deploy");
    assert_eq!(operation["error"]["type"], "ImageDownloadError", "{operation}");
    assert_eq!(operation["error"]["disk"], "untouched");
    assert_eq!(server.heads().len(), 6);
}

#[test]
fn the_second_url_serves_when_the_first_is_gone() {
    let agent = TestAgent::with_disk(Some(32 << 20));
    let image = image(4 << 20);
    let checksum = sha256(&image);
    let gone = Server::start(|_| b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec());
    let there = Server::start(move |_| ok(&image));
    let urls = [gone.address, there.address].map(|address| format!("http://{address}/disk.raw"));
    let request = write_request(&agent, "", &checksum, json!({"transport": "direct", "urls": urls}));
    assert_eq!(agent.put("/v2/operations/deploy", &request).status, 201);
    let operation = finished(&agent, "deploy");
    assert_eq!(operation["state"], "succeeded", "{operation}");
    assert_eq!((gone.heads().len(), there.heads().len()), (1, 1));
}
