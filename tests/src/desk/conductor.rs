//! The real conductor as a process, and its API.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tacit_ports::free_address;

/// How long anything on the desk may take. Only a hang gets there.
const PATIENCE: Duration = Duration::from_secs(90);

/// `tacit serve` on loopback.
pub struct Conductor {
    program: PathBuf,
    directory: PathBuf,
    listen: SocketAddr,
    media: SocketAddr,
    child: Child,
    client: reqwest::Client,
}

impl Conductor {
    pub(super) async fn start(program: PathBuf, directory: &Path, arguments: &[&str]) -> Result<Self> {
        let (listen, media) = (free_address(), free_address());
        let child = spawn(&program, directory, listen, media, arguments)?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let mut conductor = Self { program, directory: directory.to_owned(), listen, media, child, client };
        conductor.answers().await?;
        Ok(conductor)
    }

    /// Ends the process as `kill -9` does.
    pub fn kill9(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again on the same state directory.
    pub async fn restart(&mut self, arguments: &[&str]) -> Result<()> {
        self.child = spawn(&self.program, &self.directory, self.listen, self.media, arguments)?;
        self.answers().await
    }

    /// Resident memory.
    pub fn resident_bytes(&self) -> Result<u64> {
        super::machine::memory(self.child.id(), "VmRSS:")
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    pub async fn get(&self, path: &str) -> Result<Value> {
        let request = self.client.get(format!("{}{path}", self.url()));
        let response = request.header("x-openstack-ironic-api-version", "latest").send().await?;
        ensure!(response.status().is_success(), "GET {path}: {}", response.status());
        Ok(response.json().await?)
    }

    /// Sends a body; `Err` holds the status and the server's words.
    pub async fn send(&self, method: &str, path: &str, body: Value) -> Result<Value> {
        let request = self.client.request(method.parse()?, format!("{}{path}", self.url())).json(&body);
        let response = request.header("x-openstack-ironic-api-version", "latest").send().await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "{method} {path}: {status} {text}");
        if text.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&text)?) }
    }

    pub async fn provision(&self, node: &str, target: &str) -> Result<()> {
        self.send("PUT", &format!("/v1/nodes/{node}/states/provision"), json!({"target": target})).await?;
        Ok(())
    }

    /// Follows the node until `wanted` holds for it.
    pub async fn wait_for(&self, node: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let started = Instant::now();
        loop {
            let record = self.get(&format!("/v1/nodes/{node}")).await?;
            if wanted(&record) {
                return Ok(record);
            }
            if started.elapsed() > PATIENCE {
                bail!("{what} never came; the node: {record:#}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until nothing is under way, then checks the state.
    pub async fn settles_in(&self, node: &str, state: &str) -> Result<Value> {
        let record = self
            .wait_for(node, state, |node| {
                let at = node["provision_state"].as_str().unwrap_or_default();
                let over = node["target_provision_state"].is_null() || at.ends_with("failed");
                over && node["reservation"].is_null()
            })
            .await?;
        let at = &record["provision_state"];
        ensure!(at == state, "the node is {at} instead of {state}: {}", record["last_error"]);
        Ok(record)
    }

    /// Waits until the running step has read `bytes` of its source.
    pub async fn wait_for_progress(&self, node: &str, bytes: u64) -> Result<()> {
        let started = Instant::now();
        let mut after = 0;
        while started.elapsed() < PATIENCE {
            let page = self.get(&format!("/v1/nodes/{node}/events?after={after}&wait=5")).await?;
            let events = page["events"].as_array().cloned().unwrap_or_default();
            if events.iter().any(|event| event["progress"]["source_bytes"].as_u64().unwrap_or(0) >= bytes) {
                return Ok(());
            }
            after = page["last"].as_u64().unwrap_or(after);
        }
        bail!("no progress up to {bytes} bytes")
    }

    /// Lines of the node's history, oldest first.
    pub async fn history(&self, node: &str) -> Result<Vec<String>> {
        let page = self.get(&format!("/v1/nodes/{node}/history?detail=true")).await?;
        let entries = page["history"].as_array().context("history is a list")?;
        Ok(entries.iter().map(|entry| entry["event"].as_str().unwrap_or_default().to_owned()).collect())
    }

    async fn answers(&mut self) -> Result<()> {
        let started = Instant::now();
        while self.client.get(self.url()).send().await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                let log = std::fs::read_to_string(self.directory.join("conductor.log"))?;
                bail!("the conductor ended with {status}:\n{log}");
            }
            ensure!(started.elapsed() < PATIENCE, "the conductor does not answer at {}", self.listen);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

impl Drop for Conductor {
    fn drop(&mut self) {
        // A conductor that was killed by the test has ended already.
        if self.child.kill().is_ok() {
            self.child.wait().expect("a child can be waited for");
        }
    }
}

fn spawn(
    program: &Path,
    directory: &Path,
    listen: SocketAddr,
    media: SocketAddr,
    arguments: &[&str],
) -> Result<Child> {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(directory.join("conductor.log"))?;
    Command::new(program)
        .arg("serve")
        .arg("--state-dir")
        .arg(directory.join("state"))
        .arg("--listen")
        .arg(listen.to_string())
        .arg("--media")
        .arg(directory.join("medium.iso"))
        .arg("--media-listen")
        .arg(media.to_string())
        .arg("--media-url")
        .arg(format!("http://{media}"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("{} does not start", program.display()))
}
