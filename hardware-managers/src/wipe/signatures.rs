//! Where which format puts the bytes that name it.
//!
//! Offsets are those of the formats' own documents or, where there is none, of the code that reads them: the Linux
//! kernel's on-disk headers (ext4, XFS, Btrfs, F2FS, SquashFS, swap, md, bcache, GFS2, OCFS2, DRBD, …), LVM2's label
//! header, the LUKS1 and LUKS2 on-disk format papers, ECMA-119 (ISO 9660), ECMA-167 (UDF), the SNIA DDF paper, the ZFS
//! on-disk specification, the Microsoft FAT, exFAT and NTFS papers, and the UEFI specification for GPT.

/// A format and the places of its magic bytes.
#[derive(Debug)]
pub(super) struct Signature {
    pub(super) name: &'static str,
    pub(super) magic: &'static [u8],
    pub(super) places: &'static [Place],
    /// A file system that several machines mount at once.
    pub(super) shared: bool,
}

/// Offsets of a magic, relative to the region (disk or partition) it lies in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// 0 counts from the start. Otherwise from the end, rounded down to this alignment, …
    align: u64,
    /// … and this far back.
    back: u64,
    offset: u64,
    count: u64,
    step: u64,
}

const fn at(offset: u64) -> Place {
    each(offset, 1, 0)
}

/// `count` places, `step` bytes apart.
const fn each(offset: u64, count: u64, step: u64) -> Place {
    Place { align: 0, back: 0, offset, count, step }
}

/// So many bytes before the end.
const fn end(back: u64) -> Place {
    end_aligned(1, back, 0)
}

/// From the end rounded down to `align`: `back` bytes towards the start, then `offset` forward.
const fn end_aligned(align: u64, back: u64, offset: u64) -> Place {
    Place { align, back, offset, count: 1, step: 0 }
}

impl Place {
    /// Offsets in a region of `size` bytes; those that would lie before its start are left out.
    pub(super) fn offsets(self, size: u64) -> impl Iterator<Item = u64> {
        let base = if self.align == 0 {
            Some(self.offset)
        } else {
            (size - size % self.align).checked_sub(self.back).map(|base| base + self.offset)
        };
        base.into_iter().flat_map(move |base| (0..self.count).map(move |n| base + n * self.step))
    }
}

const fn format(name: &'static str, magic: &'static [u8], places: &'static [Place]) -> Signature {
    Signature { name, magic, places, shared: false }
}

const fn shared(name: &'static str, magic: &'static [u8], places: &'static [Place]) -> Signature {
    Signature { name, magic, places, shared: true }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The magic ends the first page, whatever the page size of the machine that made it.
const PAGE_ENDS: &[Place] =
    &[at(4 * KIB - 10), at(8 * KIB - 10), at(16 * KIB - 10), at(32 * KIB - 10), at(64 * KIB - 10)];

/// Four labels of 256 KiB, two at each end, each with a ring of uberblocks in its second half.
const ZFS_RINGS: &[Place] = &[
    each(128 * KIB, 128, KIB),
    each(384 * KIB, 128, KIB),
    Place { align: 256 * KIB, back: 512 * KIB, offset: 128 * KIB, count: 128, step: KIB },
    Place { align: 256 * KIB, back: 256 * KIB, offset: 128 * KIB, count: 128, step: KIB },
];

/// The name list of a ZFS label (XDR) stands 16 KiB into it; its first pair is the version.
const ZFS_LABELS: &[Place] = &[
    at(16 * KIB + 20),
    at(272 * KIB + 20),
    end_aligned(256 * KIB, 512 * KIB, 16 * KIB + 20),
    end_aligned(256 * KIB, 256 * KIB, 16 * KIB + 20),
];

const LUKS2_SECOND: &[Place] = &[
    at(16 * KIB),
    at(32 * KIB),
    at(64 * KIB),
    at(128 * KIB),
    at(256 * KIB),
    at(512 * KIB),
    at(MIB),
    at(2 * MIB),
    at(4 * MIB),
];

const MD_STARTS: &[Place] =
    &[at(0), at(4 * KIB), end_aligned(4 * KIB, 8 * KIB, 0), end_aligned(64 * KIB, 64 * KIB, 0)];

/// Volume descriptors of the bridge between ISO 9660 and UDF, 2 KiB apart from 32 KiB on.
const VOLUME_DESCRIPTORS: &[Place] = &[each(32 * KIB + 1, 64, 2 * KIB)];

/// Every signature that is looked for, and of which nothing may be left.
pub(super) static SIGNATURES: &[Signature] = &[
    // Partition tables. The two sector sizes in use are both tried.
    format("GPT", b"EFI PART", &[at(512), at(4 * KIB), end(512), end(4 * KIB)]),
    format("MBR or boot sector", &[0x55, 0xaa], &[at(510)]),
    format("BSD disk label", &[0x57, 0x45, 0x56, 0x82], &[at(0), at(64), at(512)]),
    format("SGI disk label", &[0x0b, 0xe5, 0xa9, 0x41], &[at(0)]),
    format("Sun disk label", &[0xda, 0xbe], &[at(508)]),
    format("Apple partition map", b"PM\0\0", &[at(512), at(2 * KIB)]),
    // File systems.
    format("ext2/3/4", &[0x53, 0xef], &[at(KIB + 0x38)]),
    format("XFS", b"XFSB", &[at(0)]),
    format("Btrfs", b"_BHRfS_M", &[at(64 * KIB + 0x40), at(64 * MIB + 0x40), at(256 * GIB + 0x40)]),
    format("F2FS", &[0x10, 0x20, 0xf5, 0xf2], &[at(KIB), at(5 * KIB)]),
    format("FAT12", b"FAT12   ", &[at(0x36)]),
    format("FAT16", b"FAT16   ", &[at(0x36)]),
    // With the backup boot sector, the sixth.
    format("FAT32", b"FAT32   ", &[at(0x52), at(6 * 512 + 0x52), at(6 * 4 * KIB + 0x52)]),
    format("FAT", b"MSDOS", &[at(0x36)]),
    format("FAT", b"MSWIN", &[at(0x36), at(0x52)]),
    // With the backup boot region, from the twelfth sector.
    format("exFAT", b"EXFAT   ", &[at(3), at(12 * 512 + 3), at(12 * 4 * KIB + 3)]),
    // With the backup boot sector, the last.
    format("NTFS", b"NTFS    ", &[at(3), end(512 - 3), end(4 * KIB - 3)]),
    format("BitLocker", b"-FVE-FS-", &[at(3)]),
    format("ReFS", b"\0\0\0ReFS\0", &[at(0)]),
    format("ISO 9660", b"CD001", VOLUME_DESCRIPTORS),
    format("High Sierra", b"CDROM", &[at(32 * KIB + 9)]),
    format("UDF", b"BEA01", VOLUME_DESCRIPTORS),
    format("UDF", b"NSR02", VOLUME_DESCRIPTORS),
    format("UDF", b"NSR03", VOLUME_DESCRIPTORS),
    format("SquashFS", b"hsqs", &[at(0)]),
    format("SquashFS", b"sqsh", &[at(0)]),
    format("EROFS", &[0xe2, 0xe1, 0xf5, 0xe0], &[at(KIB)]),
    format("cramfs", &[0x45, 0x3d, 0xcd, 0x28], &[at(0)]),
    format("romfs", b"-rom1fs-", &[at(0)]),
    format("JFS", b"JFS1", &[at(32 * KIB)]),
    format("ReiserFS", b"ReIsEr", &[at(8 * KIB + 0x34), at(64 * KIB + 0x34)]),
    format("Reiser4", b"ReIsEr4", &[at(64 * KIB)]),
    format("NILFS2", &[0x34, 0x34], &[at(KIB + 6), end_aligned(4 * KIB, 4 * KIB, 6)]),
    format("HFS", b"BD", &[at(KIB)]),
    format("HFS+", b"H+", &[at(KIB), end(KIB)]),
    format("HFSX", b"HX", &[at(KIB), end(KIB)]),
    format("APFS", b"NXSB", &[at(32)]),
    format("UFS", &[0x54, 0x19, 0x01, 0x00], &[at(9564), at(8 * KIB + 9564), at(64 * KIB + 1372)]),
    format("UFS2", &[0x19, 0x01, 0x54, 0x19], &[at(9564), at(64 * KIB + 1372)]),
    format("VxFS", &[0xf5, 0xfc, 0x01, 0xa5], &[at(KIB)]),
    format("Minix", &[0x7f, 0x13], &[at(KIB + 16)]),
    format("Minix", &[0x8f, 0x13], &[at(KIB + 16)]),
    format("Minix", &[0x68, 0x24], &[at(KIB + 16)]),
    format("Minix", &[0x78, 0x24], &[at(KIB + 16)]),
    format("Minix", &[0x5a, 0x4d], &[at(KIB + 24)]),
    format("bcache or bcachefs", &[0xc6, 0x85, 0x73, 0xf6], &[at(4 * KIB + 24)]),
    // Swap and hibernation images.
    format("swap", b"SWAPSPACE2", PAGE_ENDS),
    format("swap", b"SWAP-SPACE", PAGE_ENDS),
    format("hibernation", b"S1SUSPEND", PAGE_ENDS),
    format("hibernation", b"S2SUSPEND", PAGE_ENDS),
    format("hibernation", b"ULSUSPEND", PAGE_ENDS),
    format("hibernation", b"LINHIB0001", PAGE_ENDS),
    // Volume managers and encryption.
    format("LVM2 physical volume", b"LABELONE", &[each(0, 4, 512)]),
    format("LVM1 physical volume", b"HM\x01\0", &[at(0)]),
    format("LVM1 physical volume", b"HM\x02\0", &[at(0)]),
    format("LVM snapshot", b"SnAp", &[at(0)]),
    format("LUKS", b"LUKS\xba\xbe", &[at(0)]),
    format("LUKS2 second header", b"SKUL\xba\xbe", LUKS2_SECOND),
    format("dm-integrity", b"integrt\0", &[at(0)]),
    format("dm-verity", b"verity\0\0", &[at(0)]),
    format("VDO", b"dmvdo001", &[at(0)]),
    format("Stratis", b"!Stra0tis\x86\xff\x02^\x41rh", &[at(512 + 4), at(4608 + 4)]),
    format("BlueStore", b"bluestore block device", &[at(0)]),
    format("ZFS", &[0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0], ZFS_RINGS),
    format("ZFS", &[0, 0, 0, 0, 0, 0xba, 0xb1, 0x0c], ZFS_RINGS),
    format("ZFS label", b"\0\0\0\x07version\0", ZFS_LABELS),
    format("DRBD", &[0x83, 0x74, 0x02, 0x6c], &[end_aligned(4 * KIB, 4 * KIB, 60)]),
    format("DRBD", &[0x83, 0x74, 0x02, 0x6d], &[end_aligned(4 * KIB, 4 * KIB, 60)]),
    format("DRBD", &[0x83, 0x74, 0x02, 0x6e], &[end_aligned(4 * KIB, 4 * KIB, 60)]),
    format("DRBD", &[0x83, 0x74, 0x02, 0x6f], &[end_aligned(4 * KIB, 4 * KIB, 60)]),
    // RAID. md keeps its superblock at the start (1.1), at 4 KiB (1.2) or near the end (1.0 and 0.90).
    format("md RAID", &[0xfc, 0x4e, 0x2b, 0xa9], MD_STARTS),
    format("md RAID", &[0xa9, 0x2b, 0x4e, 0xfc], MD_STARTS),
    format("DDF RAID", &[0xde, 0x11, 0xde, 0x11], &[end(512), end(4 * KIB), end(257 * 512)]),
    format("DDF RAID", &[0x11, 0xde, 0x11, 0xde], &[end(512), end(4 * KIB), end(257 * 512)]),
    format("Intel RAID", b"Intel Raid ISM Cfg Sig. ", &[end(KIB), end(8 * KIB)]),
    format("LSI RAID", b"$XIDE$", &[end(512)]),
    format("NVIDIA RAID", b"NVIDIA", &[end(KIB)]),
    format("Adaptec RAID", b"DPTM", &[end(512 - 0x10)]),
    format("JMicron RAID", b"JM", &[end(512)]),
    format("HighPoint RAID", &[0x5a, 0x78, 0x16, 0xf3], &[at(9 * 512 + 32)]),
    format("HighPoint RAID", &[0x5a, 0x78, 0x16, 0xf0], &[end(11 * 512 - 32), end(10 * 512 - 32)]),
    // File systems of clusters.
    shared("GFS2 or GFS", &[0x01, 0x16, 0x19, 0x70, 0, 0, 0, 1], &[at(64 * KIB)]),
    shared("OCFS2", b"OCFSV2", &[at(KIB), at(2 * KIB), at(4 * KIB), at(8 * KIB)]),
    shared("OCFS", b"OracleCFS", &[at(8)]),
    shared("VMFS volume member", &[0x0d, 0xd0, 0x01, 0xc0], &[at(MIB)]),
    shared("VMFS", &[0x5e, 0xf1, 0xab, 0x2f], &[at(2 * MIB)]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn all(name: &str, size: u64) -> Vec<u64> {
        SIGNATURES
            .iter()
            .filter(|signature| signature.name == name)
            .flat_map(|signature| signature.places)
            .flat_map(|place| place.offsets(size))
            .collect()
    }

    #[test]
    fn places_near_the_end_follow_the_formats_rounding() {
        let size = 10 * MIB + 5 * 512;
        // (sectors & ~127) - 128 for 0.90 and (sectors - 16) & ~7 for 1.0.
        let md = all("md RAID", size);
        assert!(md.contains(&(((size / 512) & !127) - 128).checked_mul(512).unwrap()));
        assert!(md.contains(&(((size / 512 - 16) & !7) * 512)));
        assert!(all("DRBD", size).contains(&((size & !4095) - 4096 + 60)));
        assert!(all("GPT", size).contains(&(size - 512)));
        assert!(all("ZFS", size).contains(&(10 * MIB - 512 * KIB + 128 * KIB)));
    }

    #[test]
    fn small_regions_have_no_places_before_their_start() {
        for signature in SIGNATURES {
            for place in signature.places {
                for size in [0, 1, 511, 512, 4096, 65536] {
                    assert!(place.offsets(size).all(|offset| offset < 1 << 60), "{}", signature.name);
                }
            }
        }
    }
}
