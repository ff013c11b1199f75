//! `log.collect_system_logs`: a tar.gz of what helps to understand a failure, without outside programs.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use nix::fcntl::OFlag;
use serde_json::{Value, json};

use super::table::Call;
use crate::agent::Agent;
use crate::clock::unix_time;
use crate::jobs::CommandError;

/// Names in the bundle and the files behind them.
const FILES: &[(&str, &str)] = &[
    ("partitions", "/proc/partitions"),
    ("mount", "/proc/mounts"),
    ("meminfo", "/proc/meminfo"),
    ("cmdline", "/proc/cmdline"),
    ("mdstat", "/proc/mdstat"),
    ("modules", "/proc/modules"),
    ("interrupts", "/proc/interrupts"),
    ("ip_addr", "/proc/net/dev"),
];

pub(super) fn collect_system_logs(call: &Call<'_>) -> Result<Value, CommandError> {
    let bundle = bundle(call.agent)
        .map_err(|error| CommandError::execution(format!("the log bundle could not be made: {error}")))?;
    Ok(json!({"system_logs": bundle}))
}

/// The bundle as base64.
pub(super) fn bundle(agent: &Agent) -> io::Result<String> {
    Ok(STANDARD.encode(archive(agent)?))
}

fn archive(agent: &Agent) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    append(&mut archive, "agent", agent.logs.text().as_bytes())?;
    // What cannot be had is left out, as IPA does.
    if let Ok(messages) = kernel_messages() {
        append(&mut archive, "dmesg", messages.as_bytes())?;
    }
    for (name, path) in FILES {
        if let Ok(bytes) = fs::read(path) {
            append(&mut archive, name, &bytes)?;
        }
    }
    archive.into_inner()?.finish()
}

fn append(archive: &mut tar::Builder<GzEncoder<Vec<u8>>>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o600);
    header.set_mtime(unix_time() as u64);
    archive.append_data(&mut header, name, bytes)
}

/// All of the kernel's ring buffer, with seconds since its start.
fn kernel_messages() -> io::Result<String> {
    let mut device =
        OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open("/dev/kmsg")?;
    let mut text = String::new();
    let mut record = vec![0; 16 * 1024];
    loop {
        match device.read(&mut record) {
            Ok(0) => return Ok(text),
            Ok(length) => text.push_str(&kernel_line(&String::from_utf8_lossy(&record[..length]))),
            // This record was overwritten while we read.
            Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EPIPE as i32) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(text),
            Err(error) => return Err(error),
        }
    }
}

/// `6,1,123456,-;message` as `[    0.123456] message`.
fn kernel_line(record: &str) -> String {
    let Some((prefix, message)) = record.split_once(';') else { return record.to_owned() };
    let micros: u64 = prefix.split(',').nth(2).and_then(|field| field.parse().ok()).unwrap_or(0);
    let message = message.lines().next().unwrap_or_default();
    format!("[{:5}.{:06}] {message}\n", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_lines() {
        let record = "6,339,5140900,-;NET: Registered protocol family\n SUBSYSTEM=acpi\n";
        assert_eq!(kernel_line(record), "[    5.140900] NET: Registered protocol family\n");
    }
}
