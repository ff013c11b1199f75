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

use super::secrets::Secrets;
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
    let own = ("agent", agent.logs.text());
    // What cannot be had is left out, as IPA does.
    let messages = kernel_messages().ok().map(|messages| ("dmesg", messages));
    let files = FILES.iter().filter_map(|(name, path)| {
        let bytes = fs::read(path).ok()?;
        Some((*name, String::from_utf8_lossy(&bytes).into_owned()))
    });
    pack(&Secrets::of(agent), std::iter::once(own).chain(messages).chain(files))
}

fn pack<'a>(secrets: &Secrets, members: impl Iterator<Item = (&'a str, String)>) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, text) in members {
        append(&mut archive, name, secrets.hide(&text).as_bytes())?;
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
    use flate2::read::GzDecoder;

    use super::super::secrets::tests::secrets;
    use super::*;

    #[test]
    fn no_member_of_a_bundle_tells_a_secret() {
        let (token, password) = ("0123456789abcdef0123456789abcdef", "swordfish");
        let line = format!("quiet ipa-agent-token={token} ipa_image_server_password={password} x=y");
        let members = [
            ("cmdline", format!("{line}\n")),
            ("dmesg", kernel_line(&format!("5,0,0,-;Command line: {line}\n"))),
            ("agent", format!("the token is {token}, the password {password}\n")),
        ];
        // One that Ironic has replaced, so that nobody knows it any more, is found by its name.
        for (secrets, members) in [(secrets(&[token, password]), &members[..]), (secrets(&[]), &members[..2])]
        {
            let bundle = pack(&secrets, members.iter().cloned()).unwrap();
            let mut archive = tar::Archive::new(GzDecoder::new(io::Cursor::new(bundle)));
            let mut count = 0;
            for member in archive.entries().unwrap() {
                let mut text = String::new();
                member.unwrap().read_to_string(&mut text).unwrap();
                assert!(!text.contains(token) && !text.contains(password), "{text}");
                assert_eq!(text.matches("***").count(), 2, "{text}");
                count += 1;
            }
            assert_eq!(count, members.len());
        }
    }

    #[test]
    fn kernel_lines() {
        let record = "6,339,5140900,-;NET: Registered protocol family\n SUBSYSTEM=acpi\n";
        assert_eq!(kernel_line(record), "[    5.140900] NET: Registered protocol family\n");
    }
}
