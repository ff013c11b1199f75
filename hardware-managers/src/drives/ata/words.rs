//! IDENTIFY DEVICE data (ACS-5, 7.13), word by word.

use std::time::Duration;

use crate::drives::facts::{Capacity, SecurityState};
use crate::drives::fields::text;
use crate::drives::scsi::rotation_rate;

/// The 256 words in which a drive describes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words([u16; 256]);

/// How long a SECURITY ERASE UNIT takes, as the drive says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EraseTime {
    Unspecified,
    About(Duration),
    /// More than the field can say.
    MoreThan(Duration),
}

impl Words {
    /// `None` for what is no description of an ATA drive: wrong checksum, nothing at all, or a packet device.
    pub(crate) fn parse(data: &[u8; 512]) -> Option<Self> {
        let mut words = [0; 256];
        for (word, bytes) in words.iter_mut().zip(data.chunks_exact(2)) {
            *word = u16::from_le_bytes([bytes[0], bytes[1]]);
        }
        let sum = data.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        let checked = words[255] & 0xff == 0xa5;
        let described = words.iter().any(|word| *word != 0) && words[0] & 0x8000 == 0;
        (described && (!checked || sum == 0)).then_some(Self(words))
    }

    fn bit(&self, word: usize, bit: u32) -> bool {
        self.0[word] >> bit & 1 != 0
    }

    /// Whether a word says of itself that it is valid: bits 15:14 are 01b.
    fn valid(&self, word: usize) -> bool {
        self.0[word] >> 14 == 1
    }

    /// Text, of which each word holds two characters, the first in the upper half.
    fn text(&self, first: usize, last: usize) -> Option<String> {
        let bytes: Vec<u8> = self.0[first..=last].iter().flat_map(|word| word.to_be_bytes()).collect();
        text(&bytes)
    }

    /// Little-endian, `count` words of 16 bits.
    fn number(&self, first: usize, count: usize) -> u64 {
        self.0[first..first + count].iter().rev().fold(0, |number, word| number << 16 | u64::from(*word))
    }

    pub(crate) fn serial(&self) -> Option<String> {
        self.text(10, 19)
    }

    pub(crate) fn firmware(&self) -> Option<String> {
        self.text(23, 26)
    }

    pub(crate) fn model(&self) -> Option<String> {
        self.text(27, 46)
    }

    pub(crate) fn world_wide_name(&self) -> Option<String> {
        let named = self.valid(87) && self.bit(87, 8);
        let name = self.0[108..112].iter().fold(0u64, |name, word| name << 16 | u64::from(*word));
        (named && name != 0).then(|| format!("0x{name:016x}"))
    }

    pub(crate) fn rotation(&self) -> Option<(bool, Option<u16>)> {
        rotation_rate(self.0[217])
    }

    pub(crate) fn capacity(&self) -> Option<Capacity> {
        let sectors = if self.bit(69, 3) {
            self.number(230, 4)
        } else if self.valid(83) && self.bit(83, 10) {
            self.number(100, 4)
        } else {
            self.number(60, 2)
        };
        let (mut logical_sector, mut exponent) = (512, 0);
        if self.valid(106) {
            if self.bit(106, 12) {
                logical_sector = u32::try_from(self.number(117, 2)).ok()?.checked_mul(2)?;
            }
            if self.bit(106, 13) {
                exponent = u32::from(self.0[106] & 0x0f);
            }
        }
        let physical_sector = logical_sector.checked_mul(1 << exponent)?;
        let bytes = sectors.checked_mul(u64::from(logical_sector))?;
        Some(Capacity { bytes, logical_sector, physical_sector })
    }

    /// The Security feature set, word 128.
    pub(crate) fn security(&self) -> SecurityState {
        SecurityState {
            supported: self.bit(128, 0),
            enabled: self.bit(128, 1),
            locked: self.bit(128, 2),
            frozen: self.bit(128, 3),
            expired: self.bit(128, 4),
            enhanced_erase: self.bit(128, 5),
        }
    }

    /// Words 89 and 90.
    pub(crate) fn erase_time(&self, enhanced: bool) -> EraseTime {
        let word = self.0[if enhanced { 90 } else { 89 }];
        let (value, most) = if word & 0x8000 != 0 { (word & 0x7fff, 0x7fff) } else { (word & 0xff, 0xff) };
        let minutes = |value: u16| Duration::from_secs(120 * u64::from(value));
        match value {
            0 => EraseTime::Unspecified,
            value if value == most => EraseTime::MoreThan(minutes(value - 1)),
            value => EraseTime::About(minutes(value)),
        }
    }

    /// Crypto scramble, block erase, overwrite: what of SANITIZE DEVICE there is (word 59).
    pub(crate) fn sanitize(&self) -> (bool, bool, bool) {
        let any = self.bit(59, 12);
        (any && self.bit(59, 13), any && self.bit(59, 15), any && self.bit(59, 14))
    }

    /// Whether there is TRIM, and whether it promises zeros: DRAT (word 69 bit 14) together with RZAT (bit 5).
    pub(crate) fn trim(&self) -> (bool, bool) {
        let trim = self.bit(169, 0);
        (trim, trim && self.bit(69, 14) && self.bit(69, 5))
    }

    pub(crate) fn smart_enabled(&self) -> bool {
        self.bit(82, 0) && self.bit(85, 0)
    }

    /// Accessible Max Address Configuration (word 119), or its predecessor, the host protected area (word 82).
    pub(crate) fn hides_by(&self) -> Option<Hiding> {
        if self.valid(119) && self.bit(119, 8) {
            Some(Hiding::AccessibleMaxAddress)
        } else if self.bit(82, 10) && self.valid(83) && self.bit(83, 10) {
            Some(Hiding::HostProtectedArea)
        } else {
            None
        }
    }

    /// There is a host protected area, and no command that tells its size in 48 bits.
    pub(crate) fn hides_untold(&self) -> bool {
        self.hides_by().is_none() && self.bit(82, 10)
    }

    /// The Device Configuration Overlay feature set (word 83; ATA8-ACS, obsolete since ACS-3).
    pub(crate) fn overlays(&self) -> bool {
        self.valid(83) && self.bit(83, 11)
    }

    /// The Trusted Computing feature set (word 48).
    pub(crate) fn trusted(&self) -> bool {
        self.valid(48) && self.bit(48, 0)
    }
}

/// How a part of the medium may be hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hiding {
    AccessibleMaxAddress,
    HostProtectedArea,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(set: &[(usize, u16)]) -> Words {
        let mut data = [0; 512];
        data[0] = 0x40;
        for (word, value) in set {
            data[2 * word..2 * word + 2].copy_from_slice(&value.to_le_bytes());
        }
        Words::parse(&data).unwrap()
    }

    #[test]
    fn text_is_swapped_within_words() {
        let held = words(&[(10, 0x5a31), (11, 0x3243), (12, 0x2020), (27, 0x5354)]);
        assert_eq!(held.serial().as_deref(), Some("Z12C"));
        assert_eq!(held.model().as_deref(), Some("ST"));
        assert_eq!(held.firmware(), None);
    }

    #[test]
    fn sizes_of_sectors() {
        let sectors = [(83, 0x4400), (100, 0x6db0), (101, 0x7470)];
        let plain = words(&sectors).capacity().unwrap();
        assert_eq!(plain, Capacity { bytes: 0x7470_6db0 * 512, logical_sector: 512, physical_sector: 512 });
        let e512 = words(&[sectors[0], sectors[1], (106, 0x6003)]).capacity().unwrap();
        assert_eq!((e512.logical_sector, e512.physical_sector), (512, 4096));
        let native = words(&[sectors[0], sectors[1], (106, 0x5000), (117, 2048)]).capacity().unwrap();
        assert_eq!((native.logical_sector, native.bytes), (4096, 0x6db0 * 4096));
        // What overflows is no capacity.
        assert!(words(&[(83, 0x4400), (103, 0xffff)]).capacity().is_none());
    }

    #[test]
    fn times_of_erase() {
        assert_eq!(words(&[(89, 0)]).erase_time(false), EraseTime::Unspecified);
        assert_eq!(words(&[(90, 3)]).erase_time(true), EraseTime::About(Duration::from_secs(360)));
        assert_eq!(words(&[(89, 0x80ff)]).erase_time(false), EraseTime::About(Duration::from_secs(30_600)));
        assert_eq!(
            words(&[(89, 0xff)]).erase_time(false),
            EraseTime::MoreThan(Duration::from_secs(508 * 60))
        );
    }

    #[test]
    fn flags() {
        let held = words(&[
            (59, 0xb000),
            (69, 0x4020),
            (169, 1),
            (128, 0x0029),
            (87, 0x4100),
            (108, 0x5002),
            (111, 1),
            (119, 0x4100),
            (48, 0x4001),
        ]);
        assert_eq!(held.sanitize(), (true, true, false));
        assert_eq!(held.trim(), (true, true));
        assert_eq!(words(&[(169, 1), (69, 0x4000)]).trim(), (true, false));
        assert_eq!(words(&[(59, 0xa000)]).sanitize(), (false, false, false));
        let security = held.security();
        assert!(security.supported && security.frozen && security.enhanced_erase && !security.locked);
        assert_eq!(held.world_wide_name().as_deref(), Some("0x5002000000000001"));
        assert_eq!(held.hides_by(), Some(Hiding::AccessibleMaxAddress));
        assert!(held.trusted());
    }

    #[test]
    fn damaged_descriptions() {
        assert!(Words::parse(&[0; 512]).is_none());
        let mut packet = [0; 512];
        packet[1] = 0x85;
        assert!(Words::parse(&packet).is_none());
        let mut data = [0; 512];
        (data[0], data[510]) = (0x40, 0xa5);
        data[511] = 0u8.wrapping_sub(0x40 + 0xa5);
        assert!(Words::parse(&data).is_some());
        data[100] = 1;
        assert!(Words::parse(&data).is_none());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_without_a_panic(data in proptest::collection::vec(any::<u8>(), 512)) {
            let mut data: [u8; 512] = data.try_into().unwrap();
            (data[1], data[510]) = (0, 0);
            if let Some(words) = Words::parse(&data) {
                words.capacity();
                words.erase_time(true);
                words.rotation();
                prop_assert!(words.serial().is_none_or(|serial| serial.len() <= 20));
            }
        }
    }
}
