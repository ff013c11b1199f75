//! File systems and volumes of clusters: other machines may be writing to them now.

use super::{GIB, KIB, MIB, Place, Signature, at, each, shared};

/// Block sizes of 512 bytes to 4 KiB, and the copies that mkfs makes for `fsck -r`.
const OCFS2: &[Place] = &[
    at(KIB),
    at(2 * KIB),
    at(4 * KIB),
    at(8 * KIB),
    at(GIB),
    at(4 * GIB),
    at(16 * GIB),
    at(64 * GIB),
    at(256 * GIB),
    at(1024 * GIB),
];

pub(super) const CLUSTERS: &[Signature] = &[
    // Superblocks of GFS and GFS2 differ only further on.
    shared("GFS2 or GFS", &[0x01, 0x16, 0x19, 0x70], &[at(64 * KIB)]),
    shared("OCFS2", b"OCFSV2", OCFS2),
    shared("OCFS", b"OracleCFS", &[at(8), at(8 * KIB), at(8 * KIB + 8)]),
    shared("Oracle ASM", b"ORCLDISK", &[at(32)]),
    shared("VMFS volume member", &[0x0d, 0xd0, 0x01, 0xc0], &[at(MIB)]),
    // Within the volume 2 MiB in, which is 18 MiB into the partition.
    shared("VMFS", &[0x5e, 0xf1, 0xab, 0x2f], &[at(2 * MIB), at(18 * MIB)]),
    shared("VxFS", &[0xf5, 0xfc, 0x01, 0xa5], &[at(KIB)]),
    shared("VxFS", &[0xa5, 0x01, 0xfc, 0xf5], &[at(8 * KIB)]),
    // The text of a network shared disk's descriptor, in one of the first sectors.
    shared("GPFS", b"NSD descriptor for", &[each(512, 992, 16)]),
    shared("ScoutFS", &[0x8b, 0x42, 0x3c, 0x10], &[at(64 * KIB + 4)]),
];
