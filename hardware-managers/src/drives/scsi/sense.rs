use std::fmt;

use crate::drives::fields::{be_u16, be_u32};

/// Sense keys (SPC-6, 4.4.8).
pub(crate) const NO_SENSE: u8 = 0;
pub(crate) const RECOVERED: u8 = 1;
pub(crate) const NOT_READY: u8 = 2;
pub(crate) const ILLEGAL_REQUEST: u8 = 5;
pub(crate) const UNIT_ATTENTION: u8 = 6;
pub(crate) const ABORTED_COMMAND: u8 = 11;

/// LOGICAL UNIT NOT READY, SANITIZE IN PROGRESS.
const SANITIZING: (u8, u8) = (0x04, 0x1b);
/// SANITIZE COMMAND FAILED.
const SANITIZE_FAILED: (u8, u8) = (0x31, 0x03);

/// Sense data, fixed or descriptor format (SPC-6, 4.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sense {
    /// Told of an earlier command, not of this one.
    pub(crate) deferred: bool,
    pub(crate) key: u8,
    /// Additional sense code and its qualifier.
    pub(crate) code: (u8, u8),
    /// How much of 65 536 is done.
    pub(crate) progress: Option<u16>,
    pub(crate) ata: Option<AtaRegisters>,
}

/// What an ATA command left in the registers (SAT-5, 12.2.2.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AtaRegisters {
    pub(crate) error: u8,
    pub(crate) status: u8,
    /// `None` where the translation tells only the lower half and the upper half is not zero.
    pub(crate) count: Option<u16>,
    /// The lower 24 bits are always there, the others are 0 where the translation does not tell them.
    pub(crate) lba: u64,
    /// The translation tells only the lower 24 bits of the address, and there are others.
    pub(crate) lba_is_cut: bool,
}

impl Sense {
    /// `None` for what is no sense data.
    pub(crate) fn parse(data: &[u8]) -> Option<Self> {
        match data.first()? & 0x7f {
            code @ (0x70 | 0x71) => Self::fixed(data, code == 0x71),
            code @ (0x72 | 0x73) => Self::descriptors(data, code == 0x73),
            _ => None,
        }
    }

    fn fixed(data: &[u8], deferred: bool) -> Option<Self> {
        let key = data.get(2)? & 0x0f;
        let byte = |at: usize| data.get(at).copied().unwrap_or(0);
        let code = (byte(12), byte(13));
        Some(Self {
            deferred,
            key,
            code,
            progress: progress(key, data.get(15..18)),
            ata: fixed_registers(data).filter(|_| code == (0x00, 0x1d)),
        })
    }

    fn descriptors(data: &[u8], deferred: bool) -> Option<Self> {
        let mut sense = Self {
            deferred,
            key: data.get(1)? & 0x0f,
            code: (*data.get(2)?, *data.get(3)?),
            ..Self::default()
        };
        let end = data.len().min(8 + usize::from(data.get(7).copied().unwrap_or(0)));
        let mut rest = data.get(8..end).unwrap_or_default();
        while let [kind, length, ..] = *rest {
            let whole = (2 + usize::from(length)).min(rest.len());
            let (descriptor, tail) = rest.split_at(whole);
            match kind {
                0x02 => sense.progress = progress(sense.key, descriptor.get(4..7)),
                0x09 => sense.ata = registers(descriptor),
                _ => {}
            }
            rest = tail;
        }
        Some(sense)
    }

    pub(crate) fn is_sanitizing(&self) -> bool {
        self.key == NOT_READY && self.code == SANITIZING
    }

    pub(crate) fn is_sanitize_failed(&self) -> bool {
        self.code == SANITIZE_FAILED
    }

    /// Failure predicted (5Dh), or one of the warnings that are reported in the same ways (0Bh).
    pub(crate) fn is_exception(&self) -> bool {
        matches!(self.code.0, 0x5d | 0x0b)
    }
}

/// Sense-key specific bytes hold a progress only with these keys (SPC-6, 4.4.2.4.4).
fn progress(key: u8, specific: Option<&[u8]>) -> Option<u16> {
    let specific = specific.filter(|bytes| bytes[0] & 0x80 != 0)?;
    matches!(key, NO_SENSE | NOT_READY).then(|| be_u16(specific, 1))?
}

fn registers(descriptor: &[u8]) -> Option<AtaRegisters> {
    let d: &[u8; 14] = descriptor.get(..14)?.try_into().ok()?;
    Some(AtaRegisters {
        error: d[3],
        status: d[13],
        count: Some(u16::from_be_bytes([d[4], d[5]])),
        lba: u64::from_be_bytes([0, 0, d[10], d[8], d[6], d[11], d[9], d[7]]),
        lba_is_cut: false,
    })
}

/// The information and command-specific fields (SAT-5, 12.2.2.6): the upper halves only as flags.
fn fixed_registers(data: &[u8]) -> Option<AtaRegisters> {
    let d: &[u8; 12] = data.get(..12)?.try_into().ok()?;
    let information = be_u32(data, 3)?.to_be_bytes();
    Some(AtaRegisters {
        error: information[0],
        status: information[1],
        count: (d[8] & 0x40 == 0).then_some(u16::from(information[3])),
        lba: u64::from_be_bytes([0, 0, 0, 0, 0, d[11], d[10], d[9]]),
        lba_is_cut: d[8] & 0x20 != 0,
    })
}

impl fmt::Display for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KEYS: [&str; 16] = [
            "no sense",
            "recovered error",
            "not ready",
            "medium error",
            "hardware error",
            "illegal request",
            "unit attention",
            "data protect",
            "blank check",
            "vendor specific",
            "copy aborted",
            "aborted command",
            "reserved",
            "volume overflow",
            "miscompare",
            "completed",
        ];
        let (code, qualifier) = self.code;
        write!(f, "{}, {code:02x}h/{qualifier:02x}h", KEYS[usize::from(self.key & 0x0f)])?;
        let known = match self.code {
            (0x04, 0x1b) => "sanitize in progress",
            (0x04, 0x04) => "format in progress",
            (0x20, 0x00) => "command not known",
            (0x24, 0x00) => "invalid field",
            (0x26, _) => "invalid parameter",
            (0x27, _) => "write protected",
            (0x2c, 0x00) => "command sequence error",
            (0x31, 0x03) => "sanitize failed",
            (0x3a, _) => "no medium",
            (0x44, _) => "internal failure",
            (0x5d, _) => "failure predicted",
            (0x74, _) => "security conflict",
            _ => return Ok(()),
        };
        write!(f, " ({known})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_formats_tell_the_same() {
        let fixed = [0x70, 0, 2, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x04, 0x1b, 0, 0x80, 0x40, 0x01];
        let described = [0x72, 2, 0x04, 0x1b, 0, 0, 0, 8, 0x02, 6, 0, 0, 0x80, 0x40, 0x01, 0];
        let sense = Sense::parse(&fixed).unwrap();
        assert_eq!(Sense::parse(&described).unwrap(), sense);
        assert!(sense.is_sanitizing());
        assert_eq!(sense.progress, Some(0x4001));
        assert_eq!(sense.to_string(), "not ready, 04h/1bh (sanitize in progress)");
    }

    #[test]
    fn field_pointers_are_no_progress() {
        let fixed = [0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x24, 0, 0, 0xc0, 0, 2];
        assert_eq!(Sense::parse(&fixed).unwrap().progress, None);
        assert_eq!(Sense::parse(&fixed).unwrap().key, ILLEGAL_REQUEST);
    }

    #[test]
    fn registers_of_ata_commands() {
        let described = [
            0x72, 1, 0, 0x1d, 0, 0, 0, 14, 0x09, 12, 1, 0x04, 0x80, 0x20, 0x44, 0x11, 0x55, 0x22, 0x66, 0x33,
            0x40, 0x51,
        ];
        let registers = Sense::parse(&described).unwrap().ata.unwrap();
        assert_eq!((registers.error, registers.status), (0x04, 0x51));
        assert_eq!(registers.count, Some(0x8020));
        assert_eq!(registers.lba, 0x6655_4433_2211);

        let mut fixed = [0x70, 0, 1, 0x04, 0x51, 0x40, 0x20, 10, 0x80, 0x11, 0x22, 0x33, 0, 0x1d, 0, 0, 0, 0];
        let registers = Sense::parse(&fixed).unwrap().ata.unwrap();
        assert_eq!((registers.error, registers.status), (0x04, 0x51));
        assert_eq!((registers.count, registers.lba), (Some(0x20), 0x33_2211));
        fixed[8] |= 0x40;
        assert_eq!(Sense::parse(&fixed).unwrap().ata.unwrap().count, None);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_without_a_panic(data in proptest::collection::vec(any::<u8>(), 0..64), kind in 0x70u8..0x74) {
            let mut data = data;
            Sense::parse(&data);
            if let Some(first) = data.first_mut() {
                *first = kind;
            }
            if let Some(sense) = Sense::parse(&data) {
                prop_assert!(!sense.to_string().is_empty());
            }
        }
    }
}
