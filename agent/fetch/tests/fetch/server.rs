//! An HTTP server that does what a test wants.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// From 0 on: of the connection, and of the request on it.
    pub(crate) connection: usize,
    pub(crate) nth: usize,
    /// Lower case.
    pub(crate) head: String,
}

impl Asked {
    pub(crate) fn read(reader: &mut impl BufRead, connection: usize, nth: usize) -> Option<Self> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        Some(Self { connection, nth, head: head.to_lowercase() })
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.trim_end()))
    }

    /// First and last byte asked for, the first and the last of `total` where nothing is said.
    pub(crate) fn range(&self, total: usize) -> (usize, usize) {
        let Some(range) = self.field("range") else { return (0, total - 1) };
        let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        (first.parse().unwrap(), last.parse().map_or(total - 1, |last: usize| last.min(total - 1)))
    }

    /// What a good server answers.
    pub(crate) fn answer(&self, content: &[u8]) -> Vec<u8> {
        let total = content.len();
        let (first, last) = self.range(total);
        if first >= total {
            let head = "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 4\r\n";
            return format!("{head}Content-Range: bytes */{total}\r\n\r\nnone").into_bytes();
        }
        let part = &content[first..=last];
        let head = match self.field("range") {
            Some(_) => {
                format!("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {first}-{last}/{total}\r\n")
            }
            None => "HTTP/1.1 200 OK\r\n".to_owned(),
        };
        [format!("{head}ETag: \"one\"\r\nContent-Length: {}\r\n\r\n", part.len()).as_bytes(), part].concat()
    }
}

/// Whether a connection goes on.
pub(crate) type Goes = bool;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers each request with what `answer` writes.
    pub(crate) fn start(answer: impl Fn(&Asked, &mut TcpStream) -> Goes + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (noted, answer) = (asked.clone(), Arc::new(answer));
        thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (noted, answer) = (noted.clone(), answer.clone());
                thread::spawn(move || {
                    let mut reader = BufReader::new(stream.unwrap());
                    let mut nth = 0;
                    while let Some(request) = Asked::read(&mut reader, connection, nth) {
                        noted.lock().unwrap().push(request.clone());
                        nth += 1;
                        if !answer(&request, reader.get_mut()) {
                            break;
                        }
                    }
                });
            }
        });
        Self { address, asked }
    }

    /// Serves `content` as it should be served.
    pub(crate) fn good(content: Vec<u8>) -> Self {
        Self::start(move |asked, stream| stream.write_all(&asked.answer(&content)).is_ok())
    }

    /// Answers each request with the same bytes.
    pub(crate) fn says(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |_, stream| stream.write_all(&answer).is_ok())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How many connections requests came on.
    pub(crate) fn connections(&self) -> usize {
        self.asked().iter().map(|asked| asked.connection + 1).max().unwrap_or(0)
    }
}
