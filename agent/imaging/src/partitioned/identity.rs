//! How file systems identify themselves.

use std::ops::Range;

use crate::target::TargetError;
use crate::veil::Veil;

/// Name and UUID of the file system in a range of the disk; none when there is no known one, or more than one.
pub(super) fn file_system(
    veil: &Veil<'_>,
    range: &Range<u64>,
) -> Result<Option<(&'static str, String)>, TargetError> {
    const BTRFS: usize = 65536;
    let len = (range.end - range.start).min(BTRFS as u64 + 4096) as usize;
    let mut head = vec![0; len];
    veil.read(range.start, &mut head)?;
    let mut found = Vec::new();
    for (name, magic_at, magic, uuid_at) in [
        ("ext", 1024 + 0x38, &[0x53, 0xef][..], 1024 + 0x68),
        ("xfs", 0, b"XFSB", 32),
        ("btrfs", BTRFS + 64, b"_BHRfS_M", BTRFS + 32),
    ] {
        let uuid = head.get(uuid_at..).and_then(|rest| rest.first_chunk::<16>());
        let holds = head.get(magic_at..).is_some_and(|rest| rest.starts_with(magic));
        if let Some(uuid) = uuid.filter(|_| holds) {
            let name = if name == "ext" { ext_name(&head[1024..]) } else { name };
            found.push((name, uuid_text(uuid)));
        }
    }
    Ok(if found.len() == 1 { found.pop() } else { None })
}

/// ext2, ext3 or ext4, by the features that the elder ones do not know.
fn ext_name(superblock: &[u8]) -> &'static str {
    let flags = |at: usize| superblock[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    const JOURNAL: u32 = 0x4;
    let (incompat, ro_compat) = (flags(0x60), flags(0x64));
    if incompat & !0x16 != 0 || ro_compat & !0x7 != 0 {
        "ext4"
    } else if flags(0x5c) & JOURNAL != 0 {
        "ext3"
    } else {
        "ext2"
    }
}

fn uuid_text(uuid: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
