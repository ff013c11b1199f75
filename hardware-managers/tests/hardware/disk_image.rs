//! Making contents of disks, and asking util-linux what it sees on them.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const LINUX: &str = "0fc63daf-8483-4772-8e79-3d69d8477de4";
pub(crate) const ESP: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";

pub(crate) fn sparse(path: &Path, size: u64) -> File {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap();
    file.set_len(size).unwrap();
    file
}

pub(crate) fn put(path: &Path, offset: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
}

pub(crate) fn get(path: &Path, offset: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    File::open(path).unwrap().read_exact_at(&mut bytes, offset).unwrap();
    bytes
}

/// Bytes of a GUID as GPT stores them.
pub(crate) fn guid(text: &str) -> [u8; 16] {
    let hex: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let mut bytes: [u8; 16] =
        std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap());
    bytes[0..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

/// Partition of a table: type, unique GUID, first and last sector.
pub(crate) type Part<'a> = (&'a str, &'a str, u64, u64);

/// Writes both copies of a GPT for a disk of `sectors` sectors of 512 bytes, and the protective MBR.
pub(crate) fn gpt(path: &Path, sectors: u64, parts: &[Part<'_>]) {
    let mut entries = vec![0_u8; 128 * 128];
    for (entry, (kind, unique, first, last)) in entries.chunks_exact_mut(128).zip(parts) {
        entry[0..16].copy_from_slice(&guid(kind));
        entry[16..32].copy_from_slice(&guid(unique));
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&last.to_le_bytes());
    }
    let header = |own: u64, other: u64, array: u64| {
        let mut bytes = vec![0_u8; 512];
        bytes[0..8].copy_from_slice(b"EFI PART");
        bytes[8..12].copy_from_slice(&[0, 0, 1, 0]);
        bytes[12..16].copy_from_slice(&92_u32.to_le_bytes());
        for (at, value) in [(24, own), (32, other), (40, 34), (48, sectors - 34), (72, array)] {
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        bytes[56..72].copy_from_slice(&guid("11111111-2222-3333-4444-555555555555"));
        bytes[80..84].copy_from_slice(&128_u32.to_le_bytes());
        bytes[84..88].copy_from_slice(&128_u32.to_le_bytes());
        bytes[88..92].copy_from_slice(&crc32(&entries).to_le_bytes());
        let crc = crc32(&bytes[..92]);
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
        bytes
    };
    mbr(path, 0, &[(0xee, 1, u32::try_from(sectors - 1).unwrap())]);
    put(path, 512, &header(1, sectors - 1, 2));
    put(path, 1024, &entries);
    put(path, (sectors - 33) * 512, &entries);
    put(path, (sectors - 1) * 512, &header(sectors - 1, 1, sectors - 33));
}

/// Writes a boot record with entries of type, start and sectors at a sector.
pub(crate) fn mbr(path: &Path, sector: u64, entries: &[(u8, u32, u32)]) {
    let mut block = vec![0_u8; 512];
    for (at, (kind, start, sectors)) in entries.iter().enumerate() {
        let entry = &mut block[446 + 16 * at..462 + 16 * at];
        entry[4] = *kind;
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..16].copy_from_slice(&sectors.to_le_bytes());
    }
    block[0x1b8..0x1bc].copy_from_slice(&[0xde, 0xad, 0xbe, 0xef]);
    block[510..].copy_from_slice(&[0x55, 0xaa]);
    put(path, sector * 512, &block);
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// Where a tool of the system is; `/usr/sbin` is not in every user's search path. All are among what `make setup`
/// installs: a test that passes without one shows nothing.
pub(crate) fn tool(name: &str) -> PathBuf {
    ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|p| p.exists())
        .unwrap_or_else(|| panic!("the system has no {name}: run 'make setup'"))
}

/// Runs a tool to its end.
pub(crate) fn run(name: &str, arguments: &[&str]) {
    let output = Command::new(tool(name)).args(arguments).output().unwrap();
    assert!(output.status.success(), "{name} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Signatures that `wipefs` sees.
pub(crate) fn seen_by_wipefs(path: &Path) -> Vec<String> {
    let output =
        Command::new(tool("wipefs")).args(["--no-act", "--noheadings", "--parsable"]).arg(path).output();
    let output = output.unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

/// Nobody else's probe finds anything on the whole disk, nor in the given range.
pub(crate) fn assert_unrecognised(path: &Path, ranges: &[(u64, u64)]) {
    assert_eq!(seen_by_wipefs(path), [] as [String; 0]);
    for (offset, size) in [(0, path.metadata().unwrap().len())].iter().chain(ranges) {
        let output = Command::new(tool("blkid"))
            .args(["--probe", "--offset", &offset.to_string(), "--size", &size.to_string()])
            .arg(path)
            .output()
            .unwrap();
        // blkid ends with 2 when it found nothing.
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
