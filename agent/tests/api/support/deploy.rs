//! A deployment's request and its image.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::TestAgent;
use super::agent::NODE;

/// A disk image of `size` bytes: a GPT with one partition, and bytes that do not repeat.
pub(crate) fn image(size: usize) -> Vec<u8> {
    static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        (0..(32 << 20) / 8)
            .flat_map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            })
            .collect()
    });
    let mut bytes = NOISE[..size].to_vec();
    bytes[..34 * 512].fill(0);
    let tail = size - 33 * 512;
    bytes[tail..].fill(0);
    write_gpt(&mut bytes);
    bytes
}

fn write_gpt(bytes: &mut [u8]) {
    let sectors = (bytes.len() / 512) as u64;
    // Protective MBR.
    bytes[446..462].copy_from_slice(&[0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0, 0, 0, 0, 0]);
    let covered = u32::try_from(sectors - 1).unwrap();
    bytes[458..462].copy_from_slice(&covered.to_le_bytes());
    bytes[510..512].copy_from_slice(&[0x55, 0xAA]);
    let mut entries = vec![0_u8; 128 * 128];
    entries[..16].copy_from_slice(&[
        0xAF, 0x3D, 0xC6, 0x0F, 0x83, 0x84, 0x72, 0x47, 0x8E, 0x79, 0x3D, 0x69, 0xD8, 0x47, 0x7D, 0xE4,
    ]);
    entries[16..32].copy_from_slice(&[7; 16]);
    entries[32..40].copy_from_slice(&2048_u64.to_le_bytes());
    entries[40..48].copy_from_slice(&(sectors - 2049).to_le_bytes());
    let entries_crc = crc32(&entries);
    for (here, other, table) in [(1, sectors - 1, 2), (sectors - 1, 1, sectors - 33)] {
        let mut header = [0_u8; 92];
        header[..8].copy_from_slice(b"EFI PART");
        header[8..12].copy_from_slice(&[0, 0, 1, 0]);
        header[12..16].copy_from_slice(&92_u32.to_le_bytes());
        header[24..32].copy_from_slice(&here.to_le_bytes());
        header[32..40].copy_from_slice(&other.to_le_bytes());
        header[40..48].copy_from_slice(&34_u64.to_le_bytes());
        header[48..56].copy_from_slice(&(sectors - 34).to_le_bytes());
        header[56..72].copy_from_slice(&[9; 16]);
        header[72..80].copy_from_slice(&table.to_le_bytes());
        header[80..84].copy_from_slice(&128_u32.to_le_bytes());
        header[84..88].copy_from_slice(&128_u32.to_le_bytes());
        header[88..92].copy_from_slice(&entries_crc.to_le_bytes());
        let crc = crc32(&header);
        header[16..20].copy_from_slice(&crc.to_le_bytes());
        let at = usize::try_from(here).unwrap() * 512;
        bytes[at..at + 92].copy_from_slice(&header);
        let at = usize::try_from(table).unwrap() * 512;
        bytes[at..at + entries.len()].copy_from_slice(&entries);
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An operation that writes `url` onto the agent's disk, with more or other keys in `image_info`.
pub(crate) fn write_request(agent: &TestAgent, url: &str, checksum: &str, more: Value) -> Value {
    let mut info = json!({
        "id": "disk.raw", "urls": [url], "disk_format": "raw", "transport": "lent", "node_uuid": NODE,
        "os_hash_algo": "sha256", "os_hash_value": checksum,
    });
    for (key, value) in more.as_object().unwrap() {
        info[key] = value.clone();
    }
    let disk = agent.disk().to_str().unwrap();
    json!({
        "command": "deploy.execute_deploy_step",
        "params": {
            "step": {"step": "write_image", "interface": "deploy", "priority": 80, "args": {"image_info": info}},
            "node": {"uuid": NODE, "properties": {"root_device": {"name": disk}}, "instance_info": {}},
            "ports": [],
        },
    })
}

/// The operation when it is over; told by events.
pub(crate) fn finished(agent: &TestAgent, id: &str) -> Value {
    let mut after = 0;
    loop {
        let operation = agent.get(&format!("/v2/operations/{id}")).json();
        if operation["state"] != "running" {
            return operation;
        }
        let page = agent.get(&format!("/v2/events?after={after}&wait=60")).json();
        assert!(!page["events"].as_array().unwrap().is_empty(), "nothing happened for 60 s: {operation}");
        after = page["last"].as_u64().unwrap();
    }
}
