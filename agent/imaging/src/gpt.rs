//! GUID partition tables in memory (UEFI 2.10 §5.3). What an image says is checked before any of it is believed.

use crate::partition::Partition;
use crate::table::TableError;

const SIGNATURE: &[u8; 8] = b"EFI PART";
/// Largest entry array that is accepted, in bytes: sixteen times the usual one.
const MAX_ARRAY: u64 = 256 << 10;

/// A valid primary table.
#[derive(Clone, Debug)]
pub(crate) struct Gpt {
    sector: u64,
    /// The header as it is on the disk, `header_size` bytes.
    header: Vec<u8>,
    entries: Vec<u8>,
}

/// Whether a header begins at this offset.
pub(crate) fn signature_at(head: &[u8], offset: u64) -> bool {
    usize::try_from(offset)
        .ok()
        .and_then(|offset| head.get(offset..))
        .is_some_and(|rest| rest.starts_with(SIGNATURE))
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("eight bytes"))
}

fn header_crc(header: &[u8]) -> u32 {
    let mut zeroed = header.to_vec();
    zeroed[16..20].fill(0);
    crc32(&zeroed)
}

impl Gpt {
    /// A table without partitions for a disk of so many blocks.
    pub(crate) fn empty(sector: u32, disk_blocks: u64, disk_guid: [u8; 16]) -> Result<Self, TableError> {
        const ENTRIES: u32 = 128;
        const ENTRY_SIZE: u32 = 128;
        let entries = vec![0; (ENTRIES * ENTRY_SIZE) as usize];
        let mut header = vec![0; 92];
        header[..8].copy_from_slice(SIGNATURE);
        header[8..12].copy_from_slice(&0x0001_0000_u32.to_le_bytes());
        header[12..16].copy_from_slice(&92_u32.to_le_bytes());
        header[24..32].copy_from_slice(&1_u64.to_le_bytes());
        header[56..72].copy_from_slice(&disk_guid);
        header[72..80].copy_from_slice(&2_u64.to_le_bytes());
        header[80..84].copy_from_slice(&ENTRIES.to_le_bytes());
        header[84..88].copy_from_slice(&ENTRY_SIZE.to_le_bytes());
        let mut gpt = Self { sector: sector.into(), header, entries };
        let first_usable = 2 + gpt.array_blocks();
        gpt.header[40..48].copy_from_slice(&first_usable.to_le_bytes());
        gpt.relocate(disk_blocks)?;
        Ok(gpt)
    }

    /// Reads the primary table out of the first bytes of an image.
    pub(crate) fn parse(head: &[u8], sector: u32) -> Result<Self, TableError> {
        let damaged = |what| TableError::Damaged { what };
        let sector = u64::from(sector);
        let block = usize::try_from(sector)
            .ok()
            .and_then(|start| head.get(start..start.checked_mul(2)?))
            .filter(|block| block.starts_with(SIGNATURE))
            .ok_or(damaged("there is no header at block 1"))?;
        let header_size = u32_at(block, 12) as usize;
        if !(92..=block.len()).contains(&header_size) {
            return Err(damaged("the header has an impossible size"));
        }
        let header = block[..header_size].to_vec();
        if u32_at(&header, 16) != header_crc(&header) {
            return Err(damaged("the header's checksum is wrong"));
        }
        if u64_at(&header, 24) != 1 {
            return Err(damaged("the header is not the one of block 1"));
        }
        let (count, size) = (u64::from(u32_at(&header, 80)), u64::from(u32_at(&header, 84)));
        if count == 0 || size < 128 || !size.is_power_of_two() || count * size > MAX_ARRAY {
            return Err(damaged("the entry array has an impossible size"));
        }
        let start = u64_at(&header, 72);
        if start < 2 {
            return Err(damaged("the entry array lies on the header"));
        }
        let entries = start
            .checked_mul(sector)
            .and_then(|start| {
                let end = start.checked_add(count * size)?;
                Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
            })
            .and_then(|range| head.get(range))
            .ok_or(damaged("the entry array does not lie within the first MiB, or is cut off"))?
            .to_vec();
        if u32_at(&header, 88) != crc32(&entries) {
            return Err(damaged("the entry array's checksum is wrong"));
        }
        let gpt = Self { sector, header, entries };
        let first_free = start + gpt.array_blocks();
        for slot in gpt.slots() {
            if is_used(slot) && (u64_at(slot, 40) < u64_at(slot, 32) || u64_at(slot, 40) == u64::MAX) {
                return Err(damaged("a partition ends before it begins"));
            }
            let (first, last) = (u64_at(slot, 32), u64_at(slot, 40));
            if is_used(slot) && (first < 2 || (first < first_free && last >= start)) {
                return Err(damaged("a partition lies on the table"));
            }
        }
        let backup = gpt.backup_lba();
        if backup < first_free || gpt.partitions().iter().any(|partition| partition.end_lba() > backup) {
            return Err(damaged("a partition lies beyond the backup header"));
        }
        Ok(gpt)
    }

    fn entry_size(&self) -> usize {
        u32_at(&self.header, 84) as usize
    }

    fn slots(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.chunks_exact(self.entry_size())
    }

    fn array_blocks(&self) -> u64 {
        (self.entries.len() as u64).div_ceil(self.sector)
    }

    fn first_usable(&self) -> u64 {
        u64_at(&self.header, 40)
    }

    pub(crate) fn last_usable(&self) -> u64 {
        u64_at(&self.header, 48)
    }

    /// Block of the backup header.
    pub(crate) fn backup_lba(&self) -> u64 {
        u64_at(&self.header, 32)
    }

    /// Blocks that the backup table fills where the header puts it, from the first of its entry array to its header.
    pub(crate) fn backup_blocks(&self) -> std::ops::RangeInclusive<u64> {
        let last_partition = self.partitions().iter().map(Partition::end_lba).max().unwrap_or(0);
        let backup = self.backup_lba();
        backup.saturating_sub(self.array_blocks()).max(last_partition)..=backup
    }

    pub(crate) fn partitions(&self) -> Vec<Partition> {
        (1..)
            .zip(self.slots())
            .filter(|(_, slot)| is_used(slot))
            .map(|(number, slot)| Partition {
                number,
                type_guid: Some(guid_text(&slot[..16])),
                type_byte: None,
                guid: Some(guid_text(&slot[16..32])),
                name: Some(name_text(&slot[56..128])),
                start_lba: u64_at(slot, 32),
                size_lba: u64_at(slot, 40) - u64_at(slot, 32) + 1,
            })
            .collect()
    }

    /// A partition's own GUID as it lies on the disk.
    pub(crate) fn guid(&self, number: u32) -> Option<[u8; 16]> {
        let slot = self.slots().nth((number as usize).checked_sub(1)?)?;
        if is_used(slot) { slot[16..].first_chunk().copied() } else { None }
    }

    /// Puts the backup table at the end of a disk of so many blocks, and makes the blocks before it usable.
    pub(crate) fn relocate(&mut self, disk_blocks: u64) -> Result<(), TableError> {
        let last_usable = disk_blocks.saturating_sub(2 + self.array_blocks());
        let needed = self.partitions().iter().map(Partition::end_lba).max().unwrap_or(0);
        if needed > last_usable + 1 || self.first_usable() > last_usable {
            return Err(TableError::BeyondDisk { end_lba: needed + self.array_blocks() + 1, disk_blocks });
        }
        self.header[32..40].copy_from_slice(&(disk_blocks - 1).to_le_bytes());
        self.header[48..56].copy_from_slice(&last_usable.to_le_bytes());
        Ok(())
    }

    /// Adds a partition in the first free slot.
    pub(crate) fn add(
        &mut self,
        type_guid: [u8; 16],
        guid: [u8; 16],
        name: &str,
        start_lba: u64,
        size_lba: u64,
    ) -> Option<Partition> {
        let index = self.slots().position(|slot| !is_used(slot))?;
        let size = self.entry_size();
        let slot = &mut self.entries[index * size..(index + 1) * size];
        slot.fill(0);
        slot[..16].copy_from_slice(&type_guid);
        slot[16..32].copy_from_slice(&guid);
        slot[32..40].copy_from_slice(&start_lba.to_le_bytes());
        slot[40..48].copy_from_slice(&(start_lba + size_lba - 1).to_le_bytes());
        for (to, unit) in slot[56..128].chunks_exact_mut(2).zip(name.encode_utf16()) {
            to.copy_from_slice(&unit.to_le_bytes());
        }
        let number = index as u32 + 1;
        self.partitions().into_iter().find(|partition| partition.number == number)
    }

    /// The last place for a partition of so many blocks, its start a multiple of `align` blocks.
    pub(crate) fn last_place(&self, size_lba: u64, align: u64) -> Option<u64> {
        let mut taken = self.partitions();
        taken.sort_by_key(|partition| partition.start_lba);
        let mut end = self.last_usable() + 1;
        loop {
            let start = end.checked_sub(size_lba)? / align * align;
            if start < self.first_usable().max(2 + self.array_blocks()) {
                return None;
            }
            let overlap = taken
                .iter()
                .rfind(|partition| partition.start_lba < start + size_lba && partition.end_lba() > start);
            match overlap {
                Some(partition) => end = partition.start_lba,
                None => return Some(start),
            }
        }
    }

    /// The table as it must lie on the disk: offsets in bytes and what belongs there. Header last, so that what is
    /// written in this order becomes valid with the last piece.
    pub(crate) fn pieces(&self) -> [(u64, Vec<u8>); 4] {
        let backup_array = self.backup_lba() - self.array_blocks();
        let primary = self.sealed(1, self.backup_lba(), u64_at(&self.header, 72));
        let backup = self.sealed(self.backup_lba(), 1, backup_array);
        [
            (backup_array * self.sector, self.entries.clone()),
            (self.backup_lba() * self.sector, backup),
            (u64_at(&self.header, 72) * self.sector, self.entries.clone()),
            (self.sector, primary),
        ]
    }

    fn sealed(&self, own: u64, other: u64, array: u64) -> Vec<u8> {
        let mut header = self.header.clone();
        header[24..32].copy_from_slice(&own.to_le_bytes());
        header[32..40].copy_from_slice(&other.to_le_bytes());
        header[72..80].copy_from_slice(&array.to_le_bytes());
        header[88..92].copy_from_slice(&crc32(&self.entries).to_le_bytes());
        let crc = header_crc(&header);
        header[16..20].copy_from_slice(&crc.to_le_bytes());
        header
    }
}

fn is_used(slot: &[u8]) -> bool {
    slot[..16] != [0; 16]
}

fn name_text(bytes: &[u8]) -> String {
    let units = bytes
        .chunks_exact(2)
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
        .take_while(|&unit| unit != 0);
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// The first three fields of a GUID are little-endian on the disk (UEFI 2.10, appendix A).
fn guid_text(bytes: &[u8]) -> String {
    const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut text = String::with_capacity(36);
    for (position, &index) in ORDER.iter().enumerate() {
        if matches!(position, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{:02x}", bytes[index]));
    }
    text
}
