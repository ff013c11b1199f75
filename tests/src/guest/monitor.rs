//! QEMU's monitor protocol: what happens to the hardware while the guest runs.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// Longest time without a word, where one is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The connection.
pub struct Monitor {
    lines: BufReader<UnixStream>,
    events: Vec<Value>,
}

impl Monitor {
    pub(super) fn new(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut monitor = Self { lines: BufReader::new(stream), events: Vec::new() };
        // The greeting.
        monitor.message()?;
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    fn message(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.lines.read_line(&mut line).context("QEMU's monitor is silent")? == 0 {
            bail!("QEMU's monitor is gone");
        }
        Ok(serde_json::from_str(&line)?)
    }

    /// Has QEMU do something; what it returns.
    ///
    /// # Errors
    ///
    /// When it refuses.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let request = json!({"execute": command, "arguments": arguments});
        writeln!(self.lines.get_mut(), "{request}")?;
        loop {
            let mut message = self.message()?;
            if message.get("event").is_some() {
                self.events.push(message);
            } else if let Some(error) = message.get("error") {
                bail!("{command}: {error}");
            } else {
                return Ok(message["return"].take());
            }
        }
    }

    /// Pulls a device, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// When the guest does not let it go.
    pub fn pull(&mut self, device: &str) -> Result<()> {
        self.execute("device_del", &json!({ "id": device }))?;
        let gone = |event: &Value| event["event"] == "DEVICE_DELETED" && event["data"]["device"] == device;
        while !self.events.iter().any(gone) {
            let message = self.message().with_context(|| format!("{device} stays"))?;
            self.events.push(message);
        }
        Ok(())
    }
}
