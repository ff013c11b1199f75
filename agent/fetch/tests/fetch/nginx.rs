//! A server that image servers are made of.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tacit_fetch::HttpSource;
use tacit_imaging::{Source, SourceError};
use tacit_ports::free_address;
use tempfile::TempDir;

use crate::{all, content, direct, url};

struct Nginx {
    folder: TempDir,
    child: Child,
    port: u16,
}

impl Nginx {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_address().port();
        let here = folder.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {here}/{name};"))
            .collect();
        let config = format!(
            "daemon off; master_process off; pid {here}/pid; error_log {here}/error.log; events {{}}
             http {{ log_format connections '$connection'; access_log {here}/access.log connections; {temporary}
                     server {{ listen 127.0.0.1:{port}; root {here}; }} }}"
        );
        fs::write(folder.path().join("nginx.conf"), config).unwrap();
        let child = Command::new("nginx")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .args(["-c", &format!("{here}/nginx.conf"), "-e", &format!("{here}/error.log")])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(20), "nginx does not listen");
            std::thread::yield_now();
        }
        Self { folder, child, port }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn parts_and_wholes_over_one_connection() {
    let nginx = Nginx::start();
    let bytes = content(5 << 20);
    fs::write(nginx.path().join("image"), &bytes).unwrap();
    let (fetcher, image) = (direct(), url(&nginx.url("image")));
    let got = fetcher.open(&image, 0, None, None).unwrap();
    let etag = got.etag.clone().expect("nginx has strong entity tags");
    assert!(all(got) == bytes);
    for offset in [0, 1, 1 << 20, (5 << 20) - 1] {
        let got = fetcher.open(&image, offset, Some(1 << 20), Some(&etag)).unwrap();
        assert_eq!((got.offset, got.total), (offset, Some(5 << 20)));
        let end = bytes.len().min(offset as usize + (1 << 20));
        assert!(all(got) == bytes[offset as usize..end], "{offset}");
    }
    assert!(all(fetcher.open(&image, 5 << 20, None, Some(&etag)).unwrap()).is_empty());
    // The log has a line for each request, written when it is over.
    let log = nginx.path().join("access.log");
    let start = Instant::now();
    let lines = loop {
        let lines: Vec<String> = fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect();
        if lines.len() >= 6 {
            break lines;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{lines:?}");
    };
    assert!(lines.iter().all(|line| *line == lines[0]), "{lines:?}");
}

#[test]
fn another_file_in_its_place_is_noticed() {
    let nginx = Nginx::start();
    fs::write(nginx.path().join("image"), content(1000)).unwrap();
    let mut source = HttpSource::new(direct(), url(&nginx.url("image")));
    let etag = source.open(0, Some(10), None).unwrap().etag;
    fs::write(nginx.path().join("new"), vec![7; 2000]).unwrap();
    fs::rename(nginx.path().join("new"), nginx.path().join("image")).unwrap();
    let outcome = source.open(10, None, etag.as_deref()).map(|_| ());
    assert!(matches!(outcome, Err(SourceError::Changed { .. })), "{outcome:?}");
}
