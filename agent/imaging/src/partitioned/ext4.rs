//! An empty ext4 file system: as Linux's documentation of the format describes it, with metadata checksums and a
//! journal. Groups lie one behind the other, and all but the first and the last stay unwritten: the kernel initialises
//! them when it needs them.

mod geometry;

use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::partitioned::ext4::geometry::{
    BLOCK, BLOCKS_PER_GROUP, DESCRIPTOR, Geometry, INODE, LOST_FOUND_BLOCKS,
};
use crate::target::TargetError;
use crate::veil::Veil;

const ROOT: u32 = 2;
const JOURNAL: u32 = 8;
const LOST_FOUND: u32 = 11;
/// Directory blocks end with an entry that is a checksum.
const DIR_END: usize = BLOCK as usize - 12;

/// Whether a file system can have so many bytes.
pub(super) fn fits(bytes: u64) -> bool {
    Geometry::new(bytes).is_some()
}

/// Makes the file system in a range of the disk.
pub(super) fn format(
    veil: &Veil<'_>,
    range: &Range<u64>,
    label: &str,
    uuid: [u8; 16],
) -> Result<(), TargetError> {
    let geometry = Geometry::new(range.end - range.start).ok_or("no ext4 file system has this size")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as u32);
    Maker { veil, start: range.start, geometry, seed: crc32c(!0, &uuid), uuid, now }.make(label)
}

struct Maker<'a, 't> {
    veil: &'a Veil<'t>,
    start: u64,
    geometry: Geometry,
    seed: u32,
    uuid: [u8; 16],
    now: u32,
}

impl Maker<'_, '_> {
    fn make(&self, label: &str) -> Result<(), TargetError> {
        let g = &self.geometry;
        self.veil.zero(self.start, g.first_free() * BLOCK)?;
        self.directories()?;
        let journal = self.journal()?;
        for group in [0, g.groups - 1] {
            self.write(self.bitmaps_at(group), &self.block_bitmap(group))?;
        }
        self.write(self.bitmaps_at(0) + 1, &self.inode_bitmap())?;
        self.descriptors()?;
        for group in (0..g.groups).rev().filter(|&group| g.copies(group) > 0) {
            let superblock = self.superblock(group, label, &journal);
            let mut block = vec![0; BLOCK as usize];
            let at = if group == 0 { 1024 } else { 0 };
            block[at..at + 1024].copy_from_slice(&superblock);
            self.write(group * BLOCKS_PER_GROUP, &block)?;
        }
        Ok(())
    }

    fn write(&self, block: u64, bytes: &[u8]) -> Result<(), TargetError> {
        self.veil.write(self.start + block * BLOCK, bytes)
    }

    fn bitmaps_at(&self, group: u64) -> u64 {
        group * BLOCKS_PER_GROUP + self.geometry.copies(group)
    }

    fn block_bitmap(&self, group: u64) -> Vec<u8> {
        let mut bitmap = vec![0; BLOCK as usize];
        set_bits(&mut bitmap, 0..self.geometry.used(group));
        set_bits(&mut bitmap, self.geometry.size(group)..BLOCKS_PER_GROUP);
        bitmap
    }

    fn inode_bitmap(&self) -> Vec<u8> {
        let mut bitmap = vec![0; BLOCK as usize];
        set_bits(&mut bitmap, 0..LOST_FOUND.into());
        set_bits(&mut bitmap, self.geometry.inodes_per_group..BLOCKS_PER_GROUP);
        bitmap
    }

    /// All groups' descriptors, into every copy.
    fn descriptors(&self) -> Result<(), TargetError> {
        const AT_ONCE: u64 = 256 * BLOCK / DESCRIPTOR;
        let g = &self.geometry;
        for first in (0..g.groups).step_by(AT_ONCE as usize) {
            let mut piece: Vec<u8> =
                (first..g.groups.min(first + AT_ONCE)).flat_map(|group| self.descriptor(group)).collect();
            piece.resize(piece.len().next_multiple_of(BLOCK as usize), 0);
            for copy in (0..g.groups).filter(|&group| g.copies(group) > 0) {
                self.write(copy * BLOCKS_PER_GROUP + 1 + first * DESCRIPTOR / BLOCK, &piece)?;
            }
        }
        Ok(())
    }

    fn descriptor(&self, group: u64) -> [u8; DESCRIPTOR as usize] {
        const INODES_UNWRITTEN: u16 = 1;
        const BLOCKS_UNWRITTEN: u16 = 2;
        const TABLE_ZEROED: u16 = 4;
        let g = &self.geometry;
        let mut bytes = [0; DESCRIPTOR as usize];
        // Offset of the low and of the high half of a number, both as long as half of it.
        let mut put = |low: usize, high: usize, len: usize, value: u64| {
            let value = if len == 2 { value & 0xffff | value >> 16 << 32 } else { value };
            bytes[low..low + len].copy_from_slice(&(value as u32).to_le_bytes()[..len]);
            bytes[high..high + len].copy_from_slice(&((value >> 32) as u32).to_le_bytes()[..len]);
        };
        let bitmaps = self.bitmaps_at(group);
        put(0, 32, 4, bitmaps);
        put(4, 36, 4, bitmaps + 1);
        put(8, 40, 4, bitmaps + 2);
        put(12, 44, 2, g.size(group) - g.used(group));
        let free_inodes = g.inodes_per_group - if group == 0 { u64::from(LOST_FOUND) } else { 0 };
        put(14, 46, 2, free_inodes);
        put(16, 48, 2, if group == 0 { 2 } else { 0 });
        put(28, 50, 2, free_inodes);
        let mut flags = if group == 0 { TABLE_ZEROED } else { INODES_UNWRITTEN };
        if group == 0 || g.is_last(group) {
            put(24, 56, 2, crc32c(self.seed, &self.block_bitmap(group)).into());
        } else {
            flags |= BLOCKS_UNWRITTEN;
        }
        if group == 0 {
            let used = (g.inodes_per_group / 8) as usize;
            put(26, 58, 2, crc32c(self.seed, &self.inode_bitmap()[..used]).into());
        }
        bytes[18..20].copy_from_slice(&flags.to_le_bytes());
        let checksum = crc32c(crc32c(self.seed, &(group as u32).to_le_bytes()), &bytes);
        bytes[30..32].copy_from_slice(&(checksum as u16).to_le_bytes());
        bytes
    }

    fn inode(&self, number: u32, mode: u16, links: u16, blocks: Range<u64>) -> Result<[u8; 60], TargetError> {
        const EXTENTS: u32 = 0x8_0000;
        let mut inode = [0; INODE as usize];
        let mut put = |at: usize, bytes: &[u8]| inode[at..at + bytes.len()].copy_from_slice(bytes);
        let count = (blocks.end - blocks.start) as u32;
        put(0, &mode.to_le_bytes());
        put(4, &(count * BLOCK as u32).to_le_bytes());
        for time in [8, 12, 16, 144] {
            put(time, &self.now.to_le_bytes());
        }
        put(26, &links.to_le_bytes());
        put(28, &(count * (BLOCK / 512) as u32).to_le_bytes());
        put(32, &EXTENTS.to_le_bytes());
        // One extent: header (magic, entries, room, depth), then file block, length, start.
        put(40, &[0x0a, 0xf3, 1, 0, 4, 0, 0, 0]);
        put(40 + 16, &(count as u16).to_le_bytes());
        put(40 + 20, &(blocks.start as u32).to_le_bytes());
        put(128, &32_u16.to_le_bytes());
        let checksum = crc32c(self.inode_seed(number), &inode);
        inode[124..126].copy_from_slice(&(checksum as u16).to_le_bytes());
        inode[130..132].copy_from_slice(&((checksum >> 16) as u16).to_le_bytes());
        let table = self.start + (self.bitmaps_at(0) + 2) * BLOCK;
        self.veil.write(table + u64::from(number - 1) * INODE, &inode)?;
        Ok(*inode[40..].first_chunk().expect("an inode is longer"))
    }

    /// What the checksums of an inode and its directory blocks begin with; all generations are zero.
    fn inode_seed(&self, number: u32) -> u32 {
        crc32c(crc32c(self.seed, &number.to_le_bytes()), &[0; 4])
    }

    fn directories(&self) -> Result<(), TargetError> {
        let g = &self.geometry;
        let (root, lost) = (g.root_block(), g.lost_found_block());
        let entries = [(ROOT, "."), (ROOT, ".."), (LOST_FOUND, "lost+found")];
        self.write(root, &self.directory_block(ROOT, &entries))?;
        self.inode(ROOT, 0o040_755, 3, root..root + 1)?;
        self.write(lost, &self.directory_block(LOST_FOUND, &[(LOST_FOUND, "."), (ROOT, "..")]))?;
        for block in lost + 1..lost + LOST_FOUND_BLOCKS {
            self.write(block, &self.directory_block(LOST_FOUND, &[(0, "")]))?;
        }
        self.inode(LOST_FOUND, 0o040_700, 2, lost..lost + LOST_FOUND_BLOCKS)?;
        Ok(())
    }

    fn directory_block(&self, owner: u32, entries: &[(u32, &str)]) -> Vec<u8> {
        const DIRECTORY: u8 = 2;
        let mut block = vec![0; BLOCK as usize];
        let mut at = 0;
        for (index, (inode, name)) in entries.iter().enumerate() {
            let end =
                if index + 1 == entries.len() { DIR_END } else { at + (8 + name.len()).next_multiple_of(4) };
            block[at..at + 4].copy_from_slice(&inode.to_le_bytes());
            block[at + 4..at + 6].copy_from_slice(&((end - at) as u16).to_le_bytes());
            block[at + 6] = name.len() as u8;
            block[at + 7] = if *inode == 0 { 0 } else { DIRECTORY };
            block[at + 8..at + 8 + name.len()].copy_from_slice(name.as_bytes());
            at = end;
        }
        let checksum = crc32c(self.inode_seed(owner), &block[..DIR_END]);
        block[DIR_END + 4..DIR_END + 8].copy_from_slice(&[12, 0, 0, 0xde]);
        block[DIR_END + 8..].copy_from_slice(&checksum.to_le_bytes());
        block
    }

    /// Gives the journal's extents and size as the superblock repeats them.
    fn journal(&self) -> Result<[u8; 68], TargetError> {
        let g = &self.geometry;
        let mut backup = [0; 68];
        if g.journal == 0 {
            return Ok(backup);
        }
        let mut block = vec![0; 1024];
        // Big-endian: magic, type, sequence, then block size, length, first block, first sequence; clean.
        for (at, value) in
            [(0, 0xc03b_3998), (4, 4), (12, BLOCK as u32), (16, g.journal as u32), (20, 1), (24, 1), (64, 1)]
        {
            block[at..at + 4].copy_from_slice(&value.to_be_bytes());
        }
        block[48..64].copy_from_slice(&self.uuid);
        self.write(g.journal_block(), &block)?;
        let extents = self.inode(JOURNAL, 0o100_600, 1, g.journal_block()..g.first_free())?;
        backup[..60].copy_from_slice(&extents);
        backup[64..].copy_from_slice(&((g.journal * BLOCK) as u32).to_le_bytes());
        Ok(backup)
    }

    fn superblock(&self, group: u64, label: &str, journal: &[u8; 68]) -> [u8; 1024] {
        let g = &self.geometry;
        let mut bytes = [0; 1024];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        let inodes = g.groups * g.inodes_per_group;
        let (has_journal, journal_inode) = if g.journal > 0 { (4, JOURNAL) } else { (0, 0) };
        for (low, high, value) in
            [(0x04, 0x150, g.blocks), (0x08, 0x154, g.blocks / 20), (0x0c, 0x158, g.free())]
        {
            put(low, &(value as u32).to_le_bytes());
            put(high, &((value >> 32) as u32).to_le_bytes());
        }
        for (at, value) in [
            (0x00, inodes as u32),
            (0x10, inodes as u32 - LOST_FOUND),
            // Block and cluster size: 1024 shifted so far.
            (0x18, 2),
            (0x1c, 2),
            (0x20, BLOCKS_PER_GROUP as u32),
            (0x24, BLOCKS_PER_GROUP as u32),
            (0x28, g.inodes_per_group as u32),
            (0x30, self.now),
            (0x40, self.now),
            (0x4c, 1),
            (0x54, LOST_FOUND),
            // Features: extended attributes, indexed directories; file types, extents, 64 bits; sparse copies, large
            // and huge files, many subdirectories, large inodes, checksums.
            (0x5c, 0x28 | has_journal),
            (0x60, 0xc2),
            (0x64, 0x46b),
            (0xe0, journal_inode),
            // Default mount options: user attributes and ACLs.
            (0x100, 0xc),
            (0x108, self.now),
            // Directory hashes of signed characters.
            (0x160, 1),
        ] {
            put(at, &value.to_le_bytes());
        }
        for (at, value) in [
            // No check after so many mounts; magic; clean; go on after errors.
            (0x36, 0xffff),
            (0x38, 0xef53),
            (0x3a, 1),
            (0x3c, 1),
            (0x58, INODE as u16),
            (0x5a, group as u16),
            (0xfe, DESCRIPTOR as u16),
            (0x15c, 32),
            (0x15e, 32),
        ] {
            put(at, &value.to_le_bytes());
        }
        put(0x68, &self.uuid);
        put(0x78, &label.as_bytes()[..label.len().min(16)]);
        // Seed of directory hashes: any random number.
        put(0xec, &self.uuid);
        // Half MD4; the journal's extents are repeated below.
        put(0xfc, &[1, u8::from(g.journal > 0)]);
        put(0x10c, journal);
        // CRC-32C.
        put(0x175, &[1]);
        let checksum = crc32c(!0, &bytes[..0x3fc]);
        bytes[0x3fc..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }
}

fn set_bits(bitmap: &mut [u8], bits: Range<u64>) {
    for bit in bits {
        bitmap[(bit / 8) as usize] |= 1 << (bit % 8);
    }
}

/// CRC-32C (Castagnoli) without the final inversion, as ext4 chains it.
fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { value >> 1 ^ 0x82f6_3b78 } else { value >> 1 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    bytes.iter().fold(seed, |crc, byte| crc >> 8 ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize])
}
