//! A conductor's side of lent connections: HTTP server on connections that it dialled, for some paths only.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::Caller;
use super::call::TlsStream;

/// What a path of the lender's holds.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) bytes: Arc<Vec<u8>>,
    /// The first answer breaks off behind so many bytes.
    pub(crate) break_first_at: Option<usize>,
    /// Answers go on behind so many bytes only when the lender is told so; nobody tells.
    pub(crate) stall_at: Option<usize>,
}

impl Served {
    pub(crate) fn whole(bytes: Vec<u8>) -> Self {
        Self { bytes: Arc::new(bytes), break_first_at: None, stall_at: None }
    }
}

#[derive(Clone)]
pub(crate) struct Lender {
    caller: Caller,
    served: Arc<HashMap<String, Served>>,
    /// `path range` of each request.
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
}

impl Lender {
    pub(crate) fn new(caller: &Caller, served: impl IntoIterator<Item = (&'static str, Served)>) -> Self {
        Self {
            caller: caller.clone(),
            served: Arc::new(served.into_iter().map(|(url, served)| (url.to_owned(), served)).collect()),
            requests: Arc::default(),
        }
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Lends one connection and serves on it until the agent closes it or an answer breaks off.
    pub(crate) fn lend(&self) -> JoinHandle<()> {
        let lender = self.clone();
        std::thread::spawn(move || lender.serve())
    }

    fn serve(&self) {
        let mut stream = self.caller.connect().unwrap();
        let head = "POST /v2/lend HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: PTTH/1.0\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        stream.flush().unwrap();
        let mut reader = BufReader::with_capacity(64 * 1024, stream);
        let answer = read_head(&mut reader).expect("an answer to the offer");
        assert!(answer[0].starts_with("HTTP/1.1 101 "), "{answer:?}");
        while let Some(head) = read_head(&mut reader) {
            if !self.answer(&head, reader.get_mut()) {
                return;
            }
        }
    }

    fn answer(&self, head: &[String], stream: &mut TlsStream) -> bool {
        let url = head[0].split(' ').nth(1).unwrap().to_owned();
        let header = |name: &str| {
            head[1..].iter().find_map(|line| {
                let (known, value) = line.split_once(':')?;
                known.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let range = header("range");
        let first_time = {
            let mut requests = self.requests.lock().unwrap();
            let seen = requests.iter().any(|request| request.starts_with(&format!("{url} ")));
            requests.push(format!("{url} {}", range.as_deref().unwrap_or("-")));
            !seen
        };
        let Some(served) = self.served.get(&url) else {
            return stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").is_ok();
        };
        let total = served.bytes.len();
        let asked = range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let start: usize = asked.map_or(0, |(first, _)| first.parse().unwrap());
        let last: usize = asked
            .filter(|(_, last)| !last.is_empty())
            .map_or(total - 1, |(_, last)| last.parse::<usize>().unwrap().min(total - 1));
        let mut head = if asked.is_some() {
            format!("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{last}/{total}\r\n")
        } else {
            "HTTP/1.1 200 OK\r\n".to_owned()
        };
        head.push_str(&format!("ETag: \"one\"\r\nContent-Length: {}\r\n\r\n", last + 1 - start));
        let cut = if first_time { served.break_first_at } else { None };
        let end = cut.or(served.stall_at).unwrap_or(last + 1).max(start);
        if stream.write_all(head.as_bytes()).is_err() || stream.write_all(&served.bytes[start..end]).is_err()
        {
            return false;
        }
        if stream.flush().is_err() || cut.is_some() {
            return false;
        }
        if served.stall_at.is_some() {
            // Held open until the agent gives up.
            let mut byte = [0];
            return std::io::Read::read(stream, &mut byte).is_ok_and(|read| read > 0);
        }
        true
    }
}

/// Lines of an HTTP head; `None` at the end of the connection.
fn read_head(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(0) | Err(_) => return None,
            Ok(_) if line == "\r\n" => return Some(lines),
            Ok(_) => lines.push(line.trim_end().to_owned()),
        }
    }
}
