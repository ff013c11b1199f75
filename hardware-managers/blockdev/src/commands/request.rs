use std::time::Duration;

/// Bytes that go with a command. Lengths are what the command's own fields say.
#[derive(Debug)]
pub enum Transfer<'a> {
    None,
    FromDevice(&'a mut [u8]),
    ToDevice(&'a [u8]),
}

/// An NVMe command (NVMe Base 2.1, 4.1.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NvmeCommand {
    pub opcode: u8,
    /// 0 where the command has none, `0xffff_ffff` for all namespaces.
    pub namespace: u32,
    /// Command dwords 10 to 15.
    pub dwords: [u32; 6],
    pub timeout: Duration,
}

/// A SCSI command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScsiCommand<'a> {
    /// 6 to 16 bytes.
    pub cdb: &'a [u8],
    pub timeout: Duration,
}

/// What came back for a SCSI command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScsiReply {
    /// SAM status: 0 good, 2 check condition, 0x18 reservation conflict.
    pub status: u8,
    /// As the drive sent it, descriptor or fixed format; empty without a check condition.
    pub sense: Vec<u8>,
    /// Bytes of the transfer that did not take place.
    pub residual: usize,
}
