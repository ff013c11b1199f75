//! GUID partition tables (UEFI specification §5.3).

use tacit_blockdev::{Device, Error};

use super::scan::{Area, MAX_PARTITIONS, Partition, PartitionKind, Scan};

const SIGNATURE: &[u8; 8] = b"EFI PART";
/// Most bytes of an entry array that are read.
const MAX_ARRAY: u64 = 1 << 20;

struct Header {
    alternate_lba: u64,
    entries_lba: u64,
    entry_count: u64,
    entry_size: u64,
    entries_crc: u32,
    /// Whether the header's own checksum and place are right.
    sound: bool,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a slice of four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("a slice of eight bytes"))
}

/// The header at a sector number; `None` when there is none or the area ends before it.
fn header_at(device: &Device, area: Area, sector: u64, lba: u64) -> Result<Option<Header>, Error> {
    let Some(offset) = lba.checked_mul(sector).and_then(|offset| area.absolute(offset, sector)) else {
        return Ok(None);
    };
    let mut block = vec![0; usize::try_from(sector).expect("a sector fits memory")];
    device.read_at(offset, &mut block)?;
    if !block.starts_with(SIGNATURE) {
        return Ok(None);
    }
    let size = u32_at(&block, 12) as usize;
    let sound = (92..=block.len()).contains(&size) && u64_at(&block, 24) == lba && {
        let mut covered = block[..size].to_vec();
        covered[16..20].fill(0);
        crc32fast::hash(&covered) == u32_at(&block, 16)
    };
    Ok(Some(Header {
        alternate_lba: u64_at(&block, 32),
        entries_lba: u64_at(&block, 72),
        entry_count: u64::from(u32_at(&block, 80)),
        entry_size: u64::from(u32_at(&block, 84)),
        entries_crc: u32_at(&block, 88),
        sound,
    }))
}

impl Header {
    fn array(&self, sector: u64) -> Option<(u64, u64)> {
        if self.entry_size < 128 || !self.entry_size.is_multiple_of(8) {
            return None;
        }
        Some((self.entries_lba.checked_mul(sector)?, self.entry_count.checked_mul(self.entry_size)?))
    }

    /// The entry array, as much of it as the area has and the bound allows.
    fn read_array(&self, device: &Device, area: Area, sector: u64) -> Result<Vec<u8>, Error> {
        let Some((offset, length)) = self.array(sector) else { return Ok(Vec::new()) };
        let length = length.min(MAX_ARRAY).min(area.length.saturating_sub(offset));
        let mut array = vec![0; usize::try_from(length).expect("bounded")];
        if !array.is_empty() {
            device.read_at(area.start + offset, &mut array)?;
        }
        Ok(array)
    }

    fn partitions<'a>(&self, array: &'a [u8]) -> impl Iterator<Item = Partition> + use<'a> {
        let size = usize::try_from(self.entry_size).expect("a u32 fits memory").max(128);
        array.chunks_exact(size).zip(1_u32..).filter_map(|(entry, number)| {
            let type_guid: [u8; 16] = entry[..16].try_into().expect("a slice of sixteen bytes");
            let unique_guid: [u8; 16] = entry[16..32].try_into().expect("a slice of sixteen bytes");
            let (first, last) = (u64_at(entry, 32), u64_at(entry, 40));
            if type_guid == [0; 16] {
                return None;
            }
            Some(Partition {
                number,
                start: 0,
                length: 0,
                start_lba: first,
                sectors: last.checked_sub(first)?.checked_add(1)?,
                kind: PartitionKind::Gpt { type_guid, unique_guid },
            })
        })
    }
}

/// Both tables, wherever they are and whatever their checksums say.
pub(super) fn scan(device: &Device, area: Area, sector: u64, found: &mut Scan) -> Result<(), Error> {
    let last = (area.length / sector).saturating_sub(1);
    let mut places = vec![1, last];
    let mut at = 0;
    while let Some(&lba) = places.get(at) {
        at += 1;
        let Some(header) = header_at(device, area, sector, lba)? else { continue };
        found.add_structure(area, "GPT header", lba * sector, sector);
        // A disk that grew, or an image written to a larger one, has its backup where the primary says.
        if !places.contains(&header.alternate_lba) && places.len() < 4 {
            places.push(header.alternate_lba);
        }
        let array = header.read_array(device, area, sector)?;
        if let Some((offset, _)) = header.array(sector) {
            found.add_structure(area, "GPT entries", offset, array.len() as u64);
        }
        for partition in header.partitions(&array) {
            found.add_partition(area, sector, partition);
        }
    }
    Ok(())
}

/// The partitions of a table that firmware would accept: the primary, or else the backup in the last sector.
/// `None` when neither is sound.
pub(crate) fn read_valid(device: &Device) -> Result<Option<Vec<Partition>>, Error> {
    let (area, sector) = (Area::whole(device), u64::from(device.logical_sector()));
    let last = (area.length / sector).saturating_sub(1);
    for lba in [1, last] {
        let Some(header) = header_at(device, area, sector, lba)?.filter(|header| header.sound) else {
            continue;
        };
        let array = header.read_array(device, area, sector)?;
        let whole = header.array(sector).is_some_and(|(_, length)| length == array.len() as u64);
        if !whole || crc32fast::hash(&array) != header.entries_crc {
            continue;
        }
        let mut scan = Scan::default();
        for partition in header.partitions(&array).take(MAX_PARTITIONS) {
            scan.add_partition(area, sector, partition);
        }
        return Ok(Some(scan.partitions));
    }
    Ok(None)
}
