use super::refusal::{Part, Refusal};
use crate::extent::UnitCodec;

/// What must be read to know how long the rest of the header may be: the smallest cluster.
pub(super) const FIRST: usize = 512;
/// Extensions behind this offset are not looked for; none are known that need it.
const EXTENSIONS_END: u64 = 64 << 10;
/// QEMU's limit of an L1 table in bytes.
const L1_MAX: u64 = 32 << 20;

const MAGIC: u32 = 0x5146_49fb;
const EXTENSION_EXTERNAL_DATA: u32 = 0x4441_5441;
const EXTENSION_ENCRYPTION: u32 = 0x0537_be77;

const DIRTY: u64 = 1 << 0;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;
const COMPRESSION_TYPE: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;

/// How guest clusters are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    /// 9 to 21.
    pub(super) cluster_bits: u32,
    /// Of the virtual disk in bytes; a multiple of 512, not zero.
    pub(super) size: u64,
}

impl Geometry {
    /// Size of a cluster in bytes.
    pub(super) fn cluster(self) -> u64 {
        1 << self.cluster_bits
    }

    /// Number of guest clusters.
    pub(super) fn clusters(self) -> u64 {
        self.size.div_ceil(self.cluster())
    }

    /// Entries in an L2 table.
    pub(super) fn per_table(self) -> u64 {
        self.cluster() / 8
    }

    /// L2 tables that the virtual disk can have.
    pub(super) fn tables(self) -> u64 {
        self.clusters().div_ceil(self.per_table())
    }

    /// Offset of a guest cluster in bytes.
    pub(super) fn offset(self, guest: u64) -> u64 {
        guest << self.cluster_bits
    }

    /// Bytes of the virtual disk in `count` clusters from `guest` on: the last one may be cut.
    pub(super) fn len(self, guest: u64, count: u64) -> u64 {
        self.size.min(self.offset(guest + count)) - self.offset(guest)
    }
}

/// A header that was looked at. Nothing was read of what it points to.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) geometry: Geometry,
    pub(super) codec: UnitCodec,
    pub(super) l1_offset: u64,
    /// Entries of the L1 table as declared; the virtual disk may need fewer.
    pub(super) l1_entries: u32,
    length: u32,
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(super) fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

impl Header {
    /// Looks at the first bytes of a file.
    ///
    /// # Errors
    ///
    /// Everything that makes the image unusable and can be seen here. That there is more than the disk holds comes
    /// before all that costs anything.
    pub(super) fn parse(first: &[u8; FIRST], disk: u64) -> Result<Self, Refusal> {
        if be32(first, 0) != MAGIC {
            return Err(Refusal::NotQcow2);
        }
        let version = be32(first, 4);
        let length = match version {
            2 => 72,
            3 => be32(first, 100),
            _ => return Err(Refusal::Version(version)),
        };
        if be64(first, 8) != 0 {
            return Err(Refusal::BackingFile);
        }
        let cluster_bits = be32(first, 20);
        if !(9..=21).contains(&cluster_bits) {
            return Err(Refusal::ClusterBits(cluster_bits));
        }
        let least = if version == 2 { 72 } else { 104 };
        if length < least || !length.is_multiple_of(8) || u64::from(length) > 1 << cluster_bits {
            return Err(Refusal::HeaderLength(length));
        }
        match be32(first, 32) {
            0 => {}
            method => return Err(Refusal::Encrypted(method)),
        }
        let codec = if version == 2 { UnitCodec::Deflate } else { features(first, length)? };
        let size = be64(first, 24);
        if size == 0 || !size.is_multiple_of(512) {
            return Err(Refusal::Size(size));
        }
        if size > disk {
            return Err(Refusal::TooLarge { size, disk });
        }
        let header = Self {
            version,
            geometry: Geometry { cluster_bits, size },
            codec,
            l1_offset: be64(first, 40),
            l1_entries: be32(first, 36),
            length,
        };
        header.check_l1()?;
        Ok(header)
    }

    fn check_l1(&self) -> Result<(), Refusal> {
        let (entries, needed) = (self.l1_entries, self.geometry.tables());
        if u64::from(entries) < needed {
            return Err(Refusal::L1Small { entries, needed });
        }
        if u64::from(entries) * 8 > L1_MAX {
            return Err(Refusal::L1Large { entries });
        }
        let (offset, cluster) = (self.l1_offset, self.geometry.cluster());
        if !offset.is_multiple_of(cluster) || offset >= 1 << 56 {
            return Err(Refusal::Unaligned { part: Part::L1, offset });
        }
        if offset < cluster {
            return Err(Refusal::Overlap { part: Part::L1, offset, before: Part::Header, end: cluster });
        }
        Ok(())
    }

    /// Where the extensions end at the latest.
    pub(super) fn extensions_end(&self) -> u64 {
        self.geometry.cluster().min(EXTENSIONS_END)
    }

    /// Looks at the extensions in `bytes`, which begin with the header, and returns where they end; `None` when more
    /// bytes are needed, up to [`Self::extensions_end`].
    ///
    /// # Errors
    ///
    /// An extension that makes the image unusable, or has no end.
    pub(super) fn extensions(&self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        let limit = self.extensions_end();
        let mut at = u64::from(self.length);
        while at + 8 <= limit {
            let Some(entry) = bytes.get(at as usize..at as usize + 8) else { return Ok(None) };
            let (kind, len) = (be32(entry, 0), be32(entry, 4));
            at += 8;
            match kind {
                0 => break,
                EXTENSION_EXTERNAL_DATA => return Err(Refusal::ExternalData),
                EXTENSION_ENCRYPTION => return Err(Refusal::Encrypted(0)),
                _ => {}
            }
            at += u64::from(len).next_multiple_of(8);
            if at > limit {
                return Err(Refusal::Extension { kind, limit });
            }
        }
        Ok((at as usize <= bytes.len()).then_some(at as usize))
    }
}

/// What a version 3 header says of features.
fn features(first: &[u8], length: u32) -> Result<UnitCodec, Refusal> {
    let incompatible = be64(first, 72);
    if incompatible & CORRUPT != 0 {
        return Err(Refusal::Corrupt);
    }
    if incompatible & EXTERNAL_DATA != 0 {
        return Err(Refusal::ExternalData);
    }
    if incompatible & EXTENDED_L2 != 0 {
        return Err(Refusal::ExtendedL2);
    }
    // Dirty means that reference counts may be wrong, and only who writes needs those.
    let unknown = incompatible & !(DIRTY | COMPRESSION_TYPE);
    if unknown != 0 {
        return Err(Refusal::Incompatible(unknown));
    }
    let kind = if length > 104 { first[104] } else { 0 };
    match (kind, incompatible & COMPRESSION_TYPE != 0) {
        (0, false) => Ok(UnitCodec::Deflate),
        (1, true) => Ok(UnitCodec::Zstd),
        _ => Err(Refusal::Compression(kind)),
    }
}
