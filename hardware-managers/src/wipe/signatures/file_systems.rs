//! File systems of one machine, swap and hibernation images.

use super::{GIB, KIB, MIB, Place, Signature, at, each, end, end_aligned, format};

/// The magic ends the first page, whatever the page size of the machine that made it.
const PAGE_ENDS: &[Place] =
    &[at(4 * KIB - 10), at(8 * KIB - 10), at(16 * KIB - 10), at(32 * KIB - 10), at(64 * KIB - 10)];

/// Volume descriptors of the bridge between ISO 9660 and UDF, 2 KiB apart from 32 KiB on.
const VOLUME_DESCRIPTORS: &[Place] = &[each(32 * KIB + 1, 64, 2 * KIB)];

/// Volume structure descriptors are one sector apart, which is 4 KiB on disks with such.
const VOLUME_STRUCTURES: &[Place] = &[each(32 * KIB + 1, 64, 2 * KIB), each(32 * KIB + 1, 16, 4 * KIB)];

/// Superblocks of UFS stand in one of four places, their magic 1372 bytes into them; the first backup follows.
const UFS: &[Place] = &[
    at(1372),
    at(8 * KIB + 1372),
    at(64 * KIB + 1372),
    at(256 * KIB + 1372),
    // fsck -b 32 and -b 160.
    at(16 * KIB + 1372),
    at(80 * KIB + 1372),
];

/// Blocks 0, 9, 15 and 18 of 1 KiB each; the magic is near the end of the second sector.
const SYSTEM_V: &[Place] =
    &[at(512 + 504), at(9 * KIB + 512 + 504), at(15 * KIB + 512 + 504), at(18 * KIB + 512 + 504)];

pub(super) const FILE_SYSTEMS: &[Signature] = &[
    // Also ext2, ext3, ext4 journals on devices of their own.
    format("ext2/3/4", &[0x53, 0xef], &[at(KIB + 0x38)]),
    format("XFS", b"XFSB", &[at(0)]),
    // Every record of a journal begins a sector, and one lies in the first 256 KiB.
    format("XFS journal", &[0xfe, 0xed, 0xba, 0xbe], &[each(0, 512, 512)]),
    format("EXFS", b"EXFS", &[at(0)]),
    format("Btrfs", b"_BHRfS_M", &[at(64 * KIB + 0x40), at(64 * MIB + 0x40), at(256 * GIB + 0x40)]),
    format("F2FS", &[0x10, 0x20, 0xf5, 0xf2], &[at(KIB), at(5 * KIB), at(16 * KIB + KIB)]),
    format("zonefs", b"SFOZ", &[at(0)]),
    format("FAT12", b"FAT12   ", &[at(0x36)]),
    format("FAT16", b"FAT16   ", &[at(0x36)]),
    format("FAT", b"FAT     ", &[at(0x36)]),
    // With the backup boot sector, the sixth.
    format("FAT32", b"FAT32   ", &[at(0x52), at(6 * 512 + 0x52), at(6 * 4 * KIB + 0x52)]),
    format("FAT", b"MSDOS", &[at(0x36)]),
    format("FAT", b"MSWIN", &[at(0x36), at(0x52)]),
    // With the backup boot region, from the twelfth sector.
    format("exFAT", b"EXFAT   ", &[at(3), at(12 * 512 + 3), at(12 * 4 * KIB + 3)]),
    // With the backup boot sector, the last; it is the one behind the volume when the partition is longer by one.
    format("NTFS", b"NTFS    ", &[at(3), end(512 - 3), end(4 * KIB - 3), end(2 * 512 - 3), end(8 * KIB - 3)]),
    format("ReFS", b"\0\0\0ReFS\0", &[at(0), end(512), end(4 * KIB)]),
    format("HPFS", &[0x49, 0xe8, 0x95, 0xf9], &[at(8 * KIB)]),
    format("HPFS", &[0x49, 0x18, 0x91, 0xf9], &[at(8 * KIB + 512)]),
    format("ISO 9660", b"CD001", VOLUME_DESCRIPTORS),
    format("High Sierra", b"CDROM", &[at(32 * KIB + 9)]),
    format("UDF", b"BEA01", VOLUME_STRUCTURES),
    format("UDF", b"BOOT2", VOLUME_STRUCTURES),
    format("UDF", b"CDW02", VOLUME_STRUCTURES),
    format("UDF", b"NSR02", VOLUME_STRUCTURES),
    format("UDF", b"NSR03", VOLUME_STRUCTURES),
    format("UDF", b"TEA01", VOLUME_STRUCTURES),
    format("SquashFS", b"hsqs", &[at(0)]),
    format("SquashFS", b"sqsh", &[at(0)]),
    format("EROFS", &[0xe2, 0xe1, 0xf5, 0xe0], &[at(KIB)]),
    format("cramfs", &[0x45, 0x3d, 0xcd, 0x28], &[at(0), at(512)]),
    format("cramfs", &[0x28, 0xcd, 0x3d, 0x45], &[at(0), at(512)]),
    format("romfs", b"-rom1fs-", &[at(0)]),
    // With the second superblock.
    format("JFS", b"JFS1", &[at(32 * KIB), at(60 * KIB)]),
    format("ReiserFS", b"ReIsEr", &[at(8 * KIB + 20), at(8 * KIB + 0x34), at(64 * KIB + 0x34)]),
    format("Reiser4", b"ReIsEr4", &[at(64 * KIB)]),
    // libblkid counts back from the last whole sector, the kernel from the last whole block.
    format(
        "NILFS2",
        &[0x34, 0x34],
        &[at(KIB + 6), end_aligned(4 * KIB, 4 * KIB, 6), end_aligned(512, 4 * KIB, 6)],
    ),
    format("HFS", b"BD", &[at(KIB), end(KIB)]),
    format("HFS+", b"H+", &[at(KIB), end(KIB)]),
    format("HFSX", b"HX", &[at(KIB), end(KIB)]),
    format("APFS", b"NXSB", &[at(32)]),
    format("Core Storage", b"CS", &[at(88), end(512 - 88)]),
    format("UFS", &[0x54, 0x19, 0x01, 0x00], UFS),
    format("UFS", &[0x00, 0x01, 0x19, 0x54], UFS),
    format("UFS2", &[0x19, 0x01, 0x54, 0x19], UFS),
    format("UFS2", &[0x19, 0x54, 0x01, 0x19], UFS),
    format("UFS", &[0x14, 0x50, 0x09, 0x00], UFS),
    format("UFS", &[0x00, 0x09, 0x50, 0x14], UFS),
    format("UFS", &[0x12, 0x56, 0x19, 0x00], UFS),
    format("UFS", &[0x00, 0x19, 0x56, 0x12], UFS),
    format("UFS", &[0x95, 0x21, 0x61, 0x00], UFS),
    format("UFS", &[0x00, 0x61, 0x21, 0x95], UFS),
    format("UFS", &[0x94, 0x19, 0x23, 0x05], UFS),
    format("UFS", &[0x05, 0x23, 0x19, 0x94], UFS),
    format("Minix", &[0x7f, 0x13], &[at(KIB + 16)]),
    format("Minix", &[0x8f, 0x13], &[at(KIB + 16)]),
    format("Minix", &[0x68, 0x24], &[at(KIB + 16)]),
    format("Minix", &[0x78, 0x24], &[at(KIB + 16)]),
    format("Minix", &[0x13, 0x7f], &[at(KIB + 16)]),
    format("Minix", &[0x13, 0x8f], &[at(KIB + 16)]),
    format("Minix", &[0x24, 0x68], &[at(KIB + 16)]),
    format("Minix", &[0x24, 0x78], &[at(KIB + 16)]),
    format("Minix", &[0x5a, 0x4d], &[at(KIB + 24)]),
    format("Minix", &[0x4d, 0x5a], &[at(KIB + 24)]),
    format("System V", &[0x20, 0x7e, 0x18, 0xfd], SYSTEM_V),
    format("System V", &[0xfd, 0x18, 0x7e, 0x20], SYSTEM_V),
    format("Xenix", &[0x2b, 0x55, 0x44], &[at(2 * KIB)]),
    format("Xenix", &[0x44, 0x55, 0x2b], &[at(2 * KIB)]),
    format("BFS", &[0xce, 0xfa, 0xad, 0x1b], &[at(0)]),
    format("BeFS", b"BFS1", &[at(0x20), at(0x220)]),
    format("BeFS", b"1SFB", &[at(0x20), at(0x220)]),
    format("NetWare NSS", b"SPB5", &[at(4 * KIB)]),
    format("UBI", b"UBI#", &[at(0)]),
    format("UBIFS", &[0x31, 0x18, 0x10, 0x06], &[at(0)]),
    format("bcachefs", &[0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9], BCACHEFS),
    // Older ones share the first bytes, and the place, with bcache.
    format("bcachefs", &[0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca], BCACHEFS_ALONE),
    format("swap", b"SWAPSPACE2", PAGE_ENDS),
    format("swap", b"SWAP-SPACE", PAGE_ENDS),
    format("hibernation", b"S1SUSPEND", PAGE_ENDS),
    format("hibernation", b"S2SUSPEND", PAGE_ENDS),
    format("hibernation", b"ULSUSPEND", PAGE_ENDS),
    format("hibernation", b"LINHIB0001", PAGE_ENDS),
    format("hibernation", &[0xed, 0xc3, 0x02, 0xe9, 0x98, 0x56, 0xe5, 0x0c], &[at(0)]),
];

const BCACHEFS: &[Place] = &[at(4 * KIB + 24), at(2 * MIB + 24), end(MIB - 24)];
const BCACHEFS_ALONE: &[Place] = &[at(2 * MIB + 24), end(MIB - 24)];
