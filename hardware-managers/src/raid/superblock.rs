//! md's superblocks as they lie on disks (`linux/raid/md_p.h`), read and removed at offsets of the disk itself: the
//! kernel's view of its partitions may be old or absent.

use serde::Serialize;
use tacit_blockdev::{Device, Error};

const MAGIC: u32 = 0xa92b_4efc;
/// What a superblock takes of the disk, of either format.
const LENGTH: u64 = 4096;
/// Enough of it for all that is read here.
const HEAD: usize = 256;

/// Minor version of the old format while the array changes its shape.
const MINOR_OF_RESHAPING: u32 = 91;
/// `MD_FEATURE_RESHAPE_ACTIVE` of the new one.
const FEATURE_RESHAPING: u32 = 4;

/// One superblock that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Superblock {
    /// Bytes from the start of the disk.
    pub(crate) offset: u64,
    /// `0.90`, `1.0`, `1.1` or `1.2`, by its place.
    pub(crate) version: &'static str,
    /// Of the array, as 32 hexadecimal digits; `None` for the old format in the other byte order.
    pub(crate) uuid: Option<String>,
    /// `host:name` or `name`; the old format has none.
    pub(crate) name: Option<String>,
    pub(crate) level: Option<i32>,
    pub(crate) raid_disks: Option<u32>,
    /// Number of the device in its array.
    pub(crate) device_number: Option<u32>,
    /// Whether it says itself that it belongs where it was found: what ends a partition may end the disk, too.
    #[serde(skip)]
    pub(crate) is_in_place: bool,
    /// The array was changing its shape when it was stopped; to run it is to go on with that.
    #[serde(skip)]
    pub(crate) is_reshaping: bool,
}

impl Superblock {
    /// The name without the host that made the array.
    pub(crate) fn short_name(&self) -> Option<&str> {
        let name = self.name.as_deref()?;
        Some(name.rsplit_once(':').map_or(name, |(_, short)| short))
    }
}

/// Offsets within a region of `length` bytes, for each format.
fn places(length: u64) -> impl Iterator<Item = (&'static str, u64)> {
    let sectors = length / 512;
    let end = |back: u64, align: u64| Some((sectors.checked_sub(back)? / align) * align * 512);
    [
        ("0.90", end(0, 128).and_then(|end: u64| end.checked_sub(64 << 10))),
        ("1.0", end(16, 8)),
        ("1.1", Some(0)),
        ("1.2", Some(4096)),
    ]
    .into_iter()
    .filter_map(|(version, at)| Some((version, at?)))
}

/// All superblocks of a region of a disk, whatever their checksums say: what is to be removed need not be sound.
///
/// # Errors
///
/// Those of reading.
pub(crate) fn find(device: &Device, start: u64, length: u64) -> Result<Vec<Superblock>, Error> {
    let mut found: Vec<Superblock> = Vec::new();
    for (version, at) in places(length) {
        if at + LENGTH > length {
            continue;
        }
        let mut head = [0; HEAD];
        device.read_at(start + at, &mut head)?;
        if let Some(superblock) = parse(&head, version, start, at)
            && !found.iter().any(|known| known.offset == superblock.offset)
        {
            found.push(superblock);
        }
    }
    Ok(found)
}

/// Overwrites a superblock with zeros.
///
/// # Errors
///
/// Those of writing.
pub(crate) fn zero(device: &Device, superblock: &Superblock) -> Result<(), Error> {
    device.zero(superblock.offset, LENGTH.min(device.size_bytes() - superblock.offset))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes of the head"))
}

fn parse(head: &[u8; HEAD], version: &'static str, start: u64, at: u64) -> Option<Superblock> {
    let magic = u32_at(head, 0);
    let unknown = Superblock {
        offset: start + at,
        version,
        uuid: None,
        name: None,
        level: None,
        raid_disks: None,
        device_number: None,
        is_in_place: true,
        is_reshaping: false,
    };
    if magic == MAGIC.swap_bytes() {
        return Some(unknown);
    }
    if magic != MAGIC {
        return None;
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    if u32_at(head, 4) == 0 {
        // The old format keeps the four words of the uuid apart.
        let words = [20, 52, 56, 60].map(|at| u32_at(head, at));
        return Some(Superblock {
            uuid: Some(words.iter().map(|word| format!("{word:08x}")).collect()),
            level: Some(u32_at(head, 28).cast_signed()),
            raid_disks: Some(u32_at(head, 40)),
            is_reshaping: u32_at(head, 8) == MINOR_OF_RESHAPING,
            ..unknown
        });
    }
    let name = head[32..64].split(|byte| *byte == 0).next().unwrap_or_default();
    Some(Superblock {
        uuid: Some(hex(&head[16..32])),
        name: std::str::from_utf8(name).ok().filter(|name| !name.is_empty()).map(str::to_owned),
        level: Some(u32_at(head, 72).cast_signed()),
        raid_disks: Some(u32_at(head, 92)),
        device_number: Some(u32_at(head, 160)),
        is_in_place: head[144..152] == (at / 512).to_le_bytes(),
        is_reshaping: u32_at(head, 8) & FEATURE_RESHAPING != 0,
        ..unknown
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use tacit_blockdev::Access;

    use super::*;

    /// A sound superblock of format 1.2, as mdadm would accept it, for a region of so many bytes.
    pub(in super::super) fn version_1_2(
        uuid: [u8; 16],
        name: &str,
        level: u32,
        members: u32,
        number: u32,
        length: u64,
    ) -> Vec<u8> {
        const DATA_OFFSET: u64 = 2048;
        let mut block = vec![0_u8; 4096];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &MAGIC.to_le_bytes());
        put(4, &1_u32.to_le_bytes());
        put(16, &uuid);
        put(32, name.as_bytes());
        put(64, &1_700_000_000_u64.to_le_bytes());
        put(72, &level.to_le_bytes());
        let data = length / 512 - DATA_OFFSET;
        put(80, &data.to_le_bytes());
        put(88, &1024_u32.to_le_bytes());
        put(92, &members.to_le_bytes());
        put(128, &DATA_OFFSET.to_le_bytes());
        put(136, &data.to_le_bytes());
        put(144, &8_u64.to_le_bytes());
        put(160, &number.to_le_bytes());
        put(168, &[number as u8 + 1; 16]);
        put(192, &1_700_000_000_u64.to_le_bytes());
        put(200, &1_u64.to_le_bytes());
        put(208, &u64::MAX.to_le_bytes());
        put(220, &128_u32.to_le_bytes());
        for at in 0..128_u16 {
            let role = if u32::from(at) < members { at } else { 0xffff };
            put(256 + 2 * usize::from(at), &role.to_le_bytes());
        }
        let sum: u64 = block[..512].chunks_exact(4).map(|word| u64::from(u32_at(word, 0))).sum();
        let sum = u32::try_from((sum & 0xffff_ffff) + (sum >> 32)).unwrap();
        block[216..220].copy_from_slice(&sum.to_le_bytes());
        block
    }

    fn open(path: &Path) -> Device {
        Device::open(path, Access::ReadWrite).unwrap()
    }

    fn examine(path: &Path) -> String {
        let output = std::process::Command::new("mdadm").arg("--examine").arg(path).output();
        let output = output.expect("the system under test has mdadm");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[test]
    fn what_mdadm_recognises_is_found_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let size = 16 << 20;
        std::fs::File::create(&path).unwrap().set_len(size).unwrap();
        let device = open(&path);
        device.write_at(4096, &version_1_2([7; 16], "node:root", 1, 2, 1, size)).unwrap();
        device.flush().unwrap();
        let seen = examine(&path);
        assert!(seen.contains("node:root") && seen.contains("raid1"), "mdadm sees: {seen}");
        assert!(seen.contains("correct"), "mdadm does not like the checksum: {seen}");

        let found = find(&device, 0, size).unwrap();
        assert_eq!(found.len(), 1);
        let superblock = &found[0];
        assert_eq!((superblock.version, superblock.short_name()), ("1.2", Some("root")));
        assert_eq!((superblock.level, superblock.raid_disks), (Some(1), Some(2)));
        assert_eq!(superblock.device_number, Some(1));
        assert_eq!(superblock.uuid.as_deref(), Some("07".repeat(16).as_str()));

        zero(&device, superblock).unwrap();
        device.flush().unwrap();
        assert_eq!(find(&device, 0, size).unwrap(), []);
        assert!(!examine(&path).contains("raid1"), "mdadm still sees it");
    }

    #[test]
    fn every_place_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let (start, length) = (1 << 20, (8 << 20) + 3 * 512);
        std::fs::File::create(&path).unwrap().set_len(start + length).unwrap();
        let device = open(&path);
        for (version, at) in places(length) {
            device.write_at(start + at, &MAGIC.to_le_bytes()).unwrap();
            device.write_at(start + at + 4, &u32::from(version != "0.90").to_le_bytes()).unwrap();
        }
        let found = find(&device, start, length).unwrap();
        let versions: Vec<&str> = found.iter().map(|found| found.version).collect();
        assert_eq!(versions, ["0.90", "1.0", "1.1", "1.2"]);
        for superblock in &found {
            zero(&device, superblock).unwrap();
        }
        assert_eq!(find(&device, start, length).unwrap(), []);
    }

    #[test]
    fn regions_too_small_for_a_superblock_have_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        for size in [0, 511, 4096, 8191, 65536] {
            std::fs::File::create(&path).unwrap().set_len(size).unwrap();
            assert_eq!(find(&Device::open(&path, Access::Read).unwrap(), 0, size).unwrap(), []);
        }
    }
}
