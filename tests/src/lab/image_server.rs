//! The image server: nginx, which is someone else's code, with a log of ranges and a slow path.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use super::HOST_ADDRESS;
use super::libvirt::path_with_sbin;
use super::network::{Network, Port};
use super::process::{Process, run};
use super::record::Record;
use crate::workspace;

const PORT: u16 = 8088;
/// Bytes a second of everything below `/slow/`: an image takes long enough to break something in the middle.
const SLOW_BYTES_PER_SECOND: u32 = 1_500_000;

/// One line of the access log. It is written when the answer ended, whole or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    pub method: String,
    pub path: String,
    pub status: u16,
    /// First byte asked for by `Range`, 0 without one.
    pub first_byte: u64,
    pub bytes_sent: u64,
}

#[derive(Debug)]
pub struct ImageServer {
    network: Network,
    settings: PathBuf,
    log: PathBuf,
    output: PathBuf,
    nginx: Option<Process>,
}

impl ImageServer {
    pub(super) fn start(record: &Record, network: &Network, images: &Path) -> Result<Self> {
        let directory = record.run_directory().join("images");
        fs::create_dir_all(&directory).context("making the image server's directory")?;
        fs::create_dir_all(images).context("making the images' directory")?;
        let settings = directory.join("nginx.conf");
        let log = directory.join("access.log");
        let media = workspace::cache().join("media");
        let (here, images, media) = (directory.display(), images.display(), media.display());
        fs::write(
            &settings,
            format!(
                "daemon off; user root; worker_processes 1; pid {here}/nginx.pid; error_log {here}/error.log;
events {{ worker_connections 256; }}
http {{
  log_format ranges '$request_method $uri $status $body_bytes_sent $http_range';
  access_log {log} ranges;
  client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/fastcgi;
  uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi;
  default_type application/octet-stream; sendfile on;
  server {{ listen {HOST_ADDRESS}:{PORT};
    location / {{ root {images}; }}
    location /media/ {{ alias {media}/; }}
    location /slow/ {{ alias {images}/; limit_rate {SLOW_BYTES_PER_SECOND}; }}
  }}
}}
",
                log = log.display(),
            ),
        )?;
        let output = directory.join("output");
        let mut server = Self { network: network.clone(), settings, log, output, nginx: None };
        server.resume(record)?;
        Ok(server)
    }

    /// Address of an image.
    pub fn url(&self, image: &str) -> String {
        format!("http://{HOST_ADDRESS}:{PORT}/{image}")
    }

    /// Address of the same image served slowly.
    pub fn slow_url(&self, image: &str) -> String {
        format!("http://{HOST_ADDRESS}:{PORT}/slow/{image}")
    }

    /// Lets the node open connections to it, as an agent without lent connections must.
    pub fn let_the_node_fetch(&self) -> Result<()> {
        self.network.let_the_node_reach(Port::Tcp(PORT))
    }

    /// Gone at once: open answers break off, new connections are refused.
    pub fn stop(&mut self) -> Result<()> {
        match self.nginx.take() {
            Some(mut nginx) => nginx.end_with(Signal::SIGTERM),
            None => Ok(()),
        }
    }

    pub(super) fn resume(&mut self, record: &Record) -> Result<()> {
        ensure!(self.nginx.is_none(), "the image server is running already");
        let mut command = self.network.command("nginx");
        command.arg("-c").arg(&self.settings).arg("-e").arg(self.output.with_extension("errors"));
        command.env("PATH", path_with_sbin());
        let mut nginx = Process::spawn(record, "nginx", command, &self.output)?;
        let network = self.network.clone();
        let root = self.url("");
        nginx.wait_until(Duration::from_secs(20), || {
            let mut curl = network.command("curl");
            // Any answer will do: the directory itself is forbidden.
            curl.args(["-s", "-o", "/dev/null", "-m", "5", &root]);
            run(curl).is_ok()
        })?;
        self.nginx = Some(nginx);
        Ok(())
    }

    /// What was fetched below `path_end`, in the order in which answers ended.
    pub fn accesses(&self, path_end: &str) -> Result<Vec<Access>> {
        let text =
            fs::read_to_string(&self.log).with_context(|| format!("reading {}", self.log.display()))?;
        let all = text
            .lines()
            .map(|line| parse(line).with_context(|| format!("strange line in the access log: {line}")));
        let all: Vec<Access> = all.collect::<Result<_>>()?;
        Ok(all.into_iter().filter(|access| access.path.ends_with(path_end)).collect())
    }
}

fn parse(line: &str) -> Option<Access> {
    let mut fields = line.split(' ');
    let (method, path) = (fields.next()?.to_owned(), fields.next()?.to_owned());
    let (status, bytes_sent) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let range = fields.next()?;
    let first_byte = match range.strip_prefix("bytes=") {
        Some(bytes) => bytes.split('-').next()?.parse().ok()?,
        None => 0,
    };
    Some(Access { method, path, status, first_byte, bytes_sent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_from_the_log() {
        let access = parse("GET /slow/tiny.raw 206 1048576 bytes=4194304-").unwrap();
        assert_eq!((access.status, access.first_byte, access.bytes_sent), (206, 4_194_304, 1_048_576));
        assert_eq!(parse("GET /tiny.raw 200 7 -").unwrap().first_byte, 0);
        assert_eq!(parse("GET /tiny.raw 200"), None);
    }
}
