/// In bytes.
pub(super) const BLOCK: u64 = 4096;
pub(super) const BLOCKS_PER_GROUP: u64 = 8 * BLOCK;
/// In bytes.
pub(super) const INODE: u64 = 256;
/// In bytes.
pub(super) const DESCRIPTOR: u64 = 64;
pub(super) const LOST_FOUND_BLOCKS: u64 = 4;
/// Beyond, the descriptors of all groups would not leave room for the journal in the first.
const MAX_GROUPS: u64 = 1 << 19;

/// Where everything is. Sizes are blocks.
#[derive(Clone, Copy)]
pub(super) struct Geometry {
    pub(super) blocks: u64,
    pub(super) groups: u64,
    pub(super) descriptors: u64,
    pub(super) inodes_per_group: u64,
    pub(super) journal: u64,
}

impl Geometry {
    pub(super) fn new(bytes: u64) -> Option<Self> {
        let mut blocks = bytes / BLOCK;
        // One inode for so many bytes.
        let ratio = match blocks {
            0x1_0000_0000.. => 65536,
            0x4000_0000.. => 32768,
            _ => 16384,
        };
        loop {
            let groups = blocks.div_ceil(BLOCKS_PER_GROUP);
            let inodes = blocks.min(BLOCKS_PER_GROUP) * BLOCK / ratio;
            let geometry = Self {
                blocks,
                groups,
                descriptors: (groups * DESCRIPTOR).div_ceil(BLOCK),
                inodes_per_group: inodes.max(32).next_multiple_of(BLOCK / INODE),
                journal: match blocks {
                    0..2048 => 0,
                    2048..32768 => 1024,
                    32768..262_144 => 4096,
                    262_144..524_288 => 8192,
                    _ => 16384,
                },
            };
            if groups == 0 || groups > MAX_GROUPS || geometry.first_free() + 16 > geometry.size(0) {
                return None;
            }
            let last = groups - 1;
            if geometry.size(last) >= geometry.overhead(last) + 50 {
                return Some(geometry);
            }
            // What remains would not be worth a group.
            blocks = last * BLOCKS_PER_GROUP;
        }
    }

    pub(super) fn size(&self, group: u64) -> u64 {
        (self.blocks - group * BLOCKS_PER_GROUP).min(BLOCKS_PER_GROUP)
    }

    /// The superblock and the descriptors, where the group has a copy of them.
    pub(super) fn copies(&self, group: u64) -> u64 {
        let power_of = |base: u64| (1..13).map(|exponent| base.pow(exponent)).any(|power| power == group);
        if group <= 1 || power_of(3) || power_of(5) || power_of(7) { 1 + self.descriptors } else { 0 }
    }

    pub(super) fn inode_table(&self) -> u64 {
        self.inodes_per_group * INODE / BLOCK
    }

    pub(super) fn overhead(&self, group: u64) -> u64 {
        self.copies(group) + 2 + self.inode_table()
    }

    pub(super) fn root_block(&self) -> u64 {
        self.overhead(0)
    }

    pub(super) fn lost_found_block(&self) -> u64 {
        self.root_block() + 1
    }

    pub(super) fn journal_block(&self) -> u64 {
        self.lost_found_block() + LOST_FOUND_BLOCKS
    }

    /// Everything before it in the first group is in use.
    pub(super) fn first_free(&self) -> u64 {
        self.journal_block() + self.journal
    }

    pub(super) fn used(&self, group: u64) -> u64 {
        if group == 0 { self.first_free() } else { self.overhead(group) }
    }

    pub(super) fn free(&self) -> u64 {
        self.blocks - (0..self.groups).map(|group| self.used(group)).sum::<u64>()
    }

    pub(super) fn is_last(&self, group: u64) -> bool {
        group + 1 == self.groups
    }
}
