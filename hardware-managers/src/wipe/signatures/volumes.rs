//! Volume managers, encryption, caches and replication.

use super::{GIB, KIB, MIB, Place, Signature, at, each, end, end_aligned, format};

/// Four labels of 256 KiB, two at each end, each with a ring of uberblocks in its second half.
const ZFS_RINGS: &[Place] = &[
    each(128 * KIB, 128, KIB),
    each(384 * KIB, 128, KIB),
    Place { align: 256 * KIB, back: 512 * KIB, offset: 128 * KIB, count: 128, step: KIB },
    Place { align: 256 * KIB, back: 256 * KIB, offset: 128 * KIB, count: 128, step: KIB },
];

/// The name list of a ZFS label stands 16 KiB into it.
const ZFS_LABELS: &[Place] = &[
    at(16 * KIB),
    at(272 * KIB),
    end_aligned(256 * KIB, 512 * KIB, 16 * KIB),
    end_aligned(256 * KIB, 256 * KIB, 16 * KIB),
];

/// Its first pair is the version, 20 bytes in.
const ZFS_VERSIONS: &[Place] = &[
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

/// Internal metadata in the last whole block, or a device for metadata alone.
const DRBD: &[Place] = &[end_aligned(4 * KIB, 4 * KIB, 60), at(60)];

/// The first, and the copies that newer releases keep.
const BLUESTORE: &[Place] = &[at(0), at(GIB), at(10 * GIB), at(100 * GIB), at(1000 * GIB)];

pub(super) const VOLUMES: &[Signature] = &[
    format("LVM2 physical volume", b"LABELONE", &[each(0, 4, 512)]),
    format("LVM2 physical volume", b"LVM2 001", &[each(24, 4, 512)]),
    // Behind the label, and at the end where a second area is kept.
    format(
        "LVM2 metadata area",
        b" LVM2 x[5A%r0N*>",
        &[at(4 * KIB + 4), end_aligned(MIB, MIB, 4), end_aligned(MIB, 2 * MIB, 4)],
    ),
    format("LVM1 physical volume", b"HM\x01\0", &[at(0)]),
    format("LVM1 physical volume", b"HM\x02\0", &[at(0)]),
    format("LVM1 physical volume", b"HM\x03\0", &[at(0)]),
    format("LVM1 physical volume", b"HM\x04\0", &[at(0)]),
    format("LVM snapshot", b"SnAp", &[at(0)]),
    format("LUKS", b"LUKS\xba\xbe", &[at(0)]),
    format("LUKS2 second header", b"SKUL\xba\xbe", LUKS2_SECOND),
    format("BitLocker", b"-FVE-FS-", &[at(3)]),
    format("BitLocker", b"\xeb\x58\x90MSWIN4.1", &[at(0)]),
    format("dm-integrity", b"integrt\0", &[at(0)]),
    format("dm-verity", b"verity\0\0", &[at(0)]),
    format("VDO", b"dmvdo001", &[at(0)]),
    format("Stratis", b"!Stra0tis\x86\xff\x02^\x41rh", &[at(512 + 4), at(4608 + 4)]),
    format("BlueStore", b"bluestore block device", BLUESTORE),
    format("ZFS", &[0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0], ZFS_RINGS),
    format("ZFS", &[0, 0, 0, 0, 0, 0xba, 0xb1, 0x0c], ZFS_RINGS),
    // Packed name list: encoding (XDR), byte order, version and flags.
    format("ZFS label", &[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], ZFS_LABELS),
    format("ZFS label", &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], ZFS_LABELS),
    format("ZFS label", b"\0\0\0\x07version\0", ZFS_VERSIONS),
    format("DRBD", &[0x83, 0x74, 0x02, 0x67], DRBD),
    format("DRBD", &[0x83, 0x74, 0x02, 0x6a], DRBD),
    format("DRBD", &[0x83, 0x74, 0x02, 0x6b], DRBD),
    format("DRBD", &[0x83, 0x74, 0x02, 0x6c], DRBD),
    format("DRBD", &[0x83, 0x74, 0x02, 0x6d], DRBD),
    format("DRBD", &[0x83, 0x74, 0x02, 0x6e], DRBD),
    format("DRBD", &[0x83, 0x74, 0x02, 0x6f], DRBD),
    format("DRBD management", b"$DRBDmgr=q", &[at(0)]),
    format("DRBD proxy", b"DRBDdlh*", &[at(0)]),
    // Backing device or cache; the magic of bcachefs begins alike.
    format("bcache", &[0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca], &[at(4 * KIB + 24)]),
    format("mpool", b"mpoolDev", &[at(0)]),
    // Windows: dynamic disks keep a private header in sector 6 and a database in the last MiB.
    format("Windows dynamic disk", b"PRIVHEAD", &[at(6 * 512), end(192 * 512), end(512)]),
    format("Windows dynamic disk", b"TOCBLOCK", &[each(512, 3, 512), end(2047 * 512), end(2046 * 512)]),
    format("Windows dynamic disk", b"VMDB", &[end(2031 * 512)]),
    format("Windows storage space", b"SPACEDB ", &[at(0), at(512), at(4 * KIB), at(MIB)]),
];
