use tacit_blockdev::Drive;

use super::admin::{self, bytes, u64_at};
use super::controller::Controller;
use crate::drives::DriveError;
use crate::drives::fields::hex;

const IDENTIFY_NAMESPACE: u8 = 0x00;
const DESCRIPTORS: u8 = 0x03;

/// Types of namespace identification descriptor (Base 2.1, 5.1.13.2.3) and their lengths.
const EUI64: (u8, usize) = (1, 8);
const NGUID: (u8, usize) = (2, 16);
const UUID: (u8, usize) = (3, 16);

/// Identify Namespace (NVM Command Set 1.1, 4.1.5.1), as far as it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Namespace {
    pub(crate) number: u32,
    /// In blocks.
    pub(crate) size_blocks: u64,
    /// Bytes of a block without its metadata; a power of two.
    pub(crate) block_bytes: u32,
    /// Bytes of metadata that go with each block.
    pub(crate) metadata_bytes: u16,
    /// FLBAS: number of the format, as the specification has it in one byte.
    format: u8,
    /// DPS: type and place of protection information.
    protection: u8,
    /// DLFEAT: deallocated blocks read as zeros.
    pub(crate) deallocated_reads_zeros: bool,
    /// NMIC: other controllers may reach it, too.
    pub(crate) shared: bool,
    /// RESCAP is not empty: others may hold a reservation.
    pub(crate) reservable: bool,
    nguid: [u8; 16],
    eui64: [u8; 8],
    uuid: [u8; 16],
}

impl Namespace {
    /// # Errors
    ///
    /// [`DriveError::Command`]; [`DriveError::Malformed`] for a format with blocks of no or of senseless size.
    pub(crate) fn read(drive: &dyn Drive) -> Result<Self, DriveError> {
        let number = drive
            .nvme_namespace()
            .map_err(|source| DriveError::Command { command: "asking for the namespace", source })?;
        let data = admin::identify(drive, "Identify Namespace", IDENTIFY_NAMESPACE, number)?;
        let mut namespace = Self::parse(number, data.as_slice())?;
        // Drives before 1.3 have no descriptors, and Identify Namespace has two of the three.
        if let Ok(data) = admin::identify(drive, "Identify (descriptors)", DESCRIPTORS, number) {
            namespace.take_descriptors(data.as_slice());
        }
        Ok(namespace)
    }

    fn parse(number: u32, data: &[u8]) -> Result<Self, DriveError> {
        let format = data[26];
        // Two more bits of the format's number lie above the one that tells where metadata is.
        let index = usize::from(format & 0xf | format >> 1 & 0x30);
        let entry: [u8; 4] = bytes(data, 128 + 4 * index);
        let exponent = entry[2];
        if !(9..=31).contains(&exponent) {
            return Err(DriveError::Malformed {
                command: "Identify Namespace",
                problem: "its blocks do not have 512 bytes to 2 GiB",
            });
        }
        Ok(Self {
            number,
            size_blocks: u64_at(data, 0),
            block_bytes: 1 << exponent,
            metadata_bytes: u16::from_le_bytes([entry[0], entry[1]]),
            format,
            protection: data[29],
            deallocated_reads_zeros: data[33] & 7 == 1,
            shared: data[30] & 1 != 0,
            reservable: data[31] != 0,
            nguid: bytes(data, 104),
            eui64: bytes(data, 120),
            uuid: [0; 16],
        })
    }

    fn take_descriptors(&mut self, data: &[u8]) {
        let mut at = 0;
        while let Some(&[kind, length, _, _]) = data.get(at..at + 4) {
            let length = usize::from(length);
            let Some(value) = data.get(at + 4..at + 4 + length).filter(|_| length > 0) else { break };
            match (kind, length) {
                EUI64 => self.eui64 = bytes(value, 0),
                NGUID => self.nguid = bytes(value, 0),
                UUID => self.uuid = bytes(value, 0),
                _ => {}
            }
            at += 4 + length;
        }
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_blocks.saturating_mul(self.block_bytes.into())
    }

    /// Command dword 10 of a Format NVM that changes nothing about the format (NVM Command Set 1.1, 4.1.4): number of
    /// the format, place of the metadata, protection.
    pub(super) fn format_as_it_is(&self) -> u32 {
        let format = u32::from(self.format);
        let (low, extended, high) = (format & 0xf, format >> 4 & 1, format >> 5 & 3);
        let (kind, first) = (u32::from(self.protection & 7), u32::from(self.protection >> 3 & 1));
        low | extended << 4 | kind << 5 | first << 8 | high << 12
    }

    /// What a format must leave as it was.
    pub(super) fn layout(&self) -> String {
        format!(
            "{} blocks of {}+{} bytes, format {:#04x}, protection {:#04x}",
            self.size_blocks, self.block_bytes, self.metadata_bytes, self.format, self.protection
        )
    }

    /// The name that the kernel gives it in sysfs (`wwid`).
    pub(crate) fn world_wide_name(&self, controller: &Controller) -> String {
        if self.uuid != [0; 16] {
            let text = hex(&self.uuid);
            let (a, b, c, d, e) = (&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]);
            return format!("uuid.{a}-{b}-{c}-{d}-{e}");
        }
        if self.nguid != [0; 16] {
            return format!("eui.{}", hex(&self.nguid));
        }
        if self.eui64 != [0; 8] {
            return format!("eui.{}", hex(&self.eui64));
        }
        format!(
            "nvme.{:04x}-{}-{}-{:08x}",
            controller.vendor_id,
            hex(unpadded(&controller.serial_field)),
            hex(unpadded(&controller.model_field)),
            self.number
        )
    }
}

/// The kernel takes padding away at the end only.
fn unpadded(field: &[u8]) -> &[u8] {
    let end = field.iter().rposition(|byte| !matches!(byte, 0 | b' ')).map_or(0, |last| last + 1);
    &field[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> [u8; 4096] {
        let mut data = [0; 4096];
        data[..8].copy_from_slice(&1000u64.to_le_bytes());
        // Format 0x13 = number 3 with metadata in line; number 35 has one more bit.
        data[26] = 0x13;
        data[29] = 0x0b;
        data[128 + 12..128 + 16].copy_from_slice(&[8, 0, 12, 0]);
        data[128 + 35 * 4..128 + 36 * 4].copy_from_slice(&[64, 0, 9, 0]);
        data
    }

    #[test]
    fn the_format_is_kept_bit_by_bit() {
        let mut data = data();
        let namespace = Namespace::parse(1, &data).unwrap();
        assert_eq!((namespace.block_bytes, namespace.metadata_bytes), (4096, 8));
        assert_eq!(namespace.size_bytes(), 4096 * 1000);
        // Format 3, metadata in line, protection type 3, at the beginning.
        assert_eq!(namespace.format_as_it_is(), 0x3 | 1 << 4 | 3 << 5 | 1 << 8);
        data[26] = 0x43;
        let namespace = Namespace::parse(1, &data).unwrap();
        assert_eq!((namespace.block_bytes, namespace.metadata_bytes), (512, 64));
        assert_eq!(namespace.format_as_it_is(), 0x3 | 2 << 12 | 3 << 5 | 1 << 8);
    }

    #[test]
    fn senseless_blocks_are_refused() {
        let mut data = data();
        for exponent in [0, 8, 32, 255] {
            data[128 + 14] = exponent;
            assert!(matches!(Namespace::parse(1, &data), Err(DriveError::Malformed { .. })));
        }
    }

    #[test]
    fn descriptors_of_any_length_are_read_to_their_end() {
        let mut namespace = Namespace::parse(1, &data()).unwrap();
        let mut list = vec![1, 8, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        list.extend([9, 200, 0, 0]);
        namespace.take_descriptors(&list);
        assert_eq!(namespace.eui64, [1, 2, 3, 4, 5, 6, 7, 8]);
        let full = [2, 16, 0, 0].into_iter().chain([7; 16]).cycle().take(4096).collect::<Vec<u8>>();
        namespace.take_descriptors(&full);
        assert_eq!(namespace.nguid, [7; 16]);
        namespace.take_descriptors(&[3, 16, 0]);
        assert_eq!(namespace.uuid, [0; 16]);
    }
}
