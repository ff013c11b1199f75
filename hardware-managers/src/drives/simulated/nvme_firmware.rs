//! The firmware of a simulated NVMe controller: slots, download and commit (Base Specification 2.1, 5.1.8 and 5.1.9).

use tacit_blockdev::CommandError;

use super::nvme::{INVALID_FIELD, refuse};
use super::nvme_pages::slots;
use super::nvme_traits::{NvmeFault, NvmeIdentity};

const INVALID_SLOT: (u8, u8) = (1, 0x06);
const INVALID_IMAGE: (u8, u8) = (1, 0x07);
const NEEDS_RESET: (u8, u8) = (1, 0x0b);

/// How an image for this drive begins; eight bytes of revision follow.
pub const FIRMWARE_MAGIC: &[u8; 8] = b"SIMNVME\0";

#[derive(Debug, Default)]
pub(super) struct Firmware {
    active_slot: u8,
    next_slot: u8,
    revisions: [String; 7],
    download: Vec<u8>,
}

impl Firmware {
    /// Puts a revision into a slot, 1 to 7, and runs it.
    pub(super) fn put(&mut self, slot: u8, revision: &str) {
        self.revisions[usize::from(slot) - 1] = revision.to_owned();
        self.active_slot = slot;
    }

    pub(super) fn running(&self) -> &str {
        &self.revisions[usize::from(self.active_slot) - 1]
    }

    pub(super) fn log(&self) -> [u8; 512] {
        slots(self.active_slot, self.next_slot, &self.revisions)
    }

    pub(super) fn download(
        &mut self,
        identity: &NvmeIdentity,
        dwords: &[u32; 6],
        data: &[u8],
    ) -> Result<u32, CommandError> {
        let at = dwords[1] as usize * 4;
        let granularity = match identity.firmware_granularity {
            0 | 0xff => 4,
            granularity => usize::from(granularity) * 4096,
        };
        let largest = match identity.largest_transfer {
            0 => usize::MAX,
            exponent => 4096 << exponent,
        };
        let fits = at == self.download.len() && at.is_multiple_of(granularity);
        if !fits || data.len() > largest || data.len() != (dwords[0] as usize + 1) * 4 {
            return refuse(INVALID_FIELD);
        }
        self.download.extend_from_slice(data);
        Ok(0)
    }

    pub(super) fn commit(
        &mut self,
        identity: &NvmeIdentity,
        fault: NvmeFault,
        dword10: u32,
    ) -> Result<u32, CommandError> {
        let (slot, action) = ((dword10 & 7) as usize, dword10 >> 3 & 7);
        let slots = usize::from(identity.firmware_updates >> 1 & 7);
        let image = std::mem::take(&mut self.download);
        if slot == 0 || slot > slots || slot == 1 && identity.firmware_updates & 1 != 0 {
            return refuse(INVALID_SLOT);
        }
        let Some(revision) = image.strip_prefix(FIRMWARE_MAGIC).and_then(|rest| rest.get(..8)) else {
            return refuse(INVALID_IMAGE);
        };
        if fault == NvmeFault::FirmwareLost {
            return Ok(0);
        }
        self.revisions[slot - 1] = String::from_utf8_lossy(revision).trim().to_owned();
        let at_once = action == 3 && identity.firmware_updates & 0x10 != 0;
        if at_once && fault != NvmeFault::ActivationNeedsReset {
            self.active_slot = slot as u8;
            return Ok(0);
        }
        self.next_slot = slot as u8;
        if at_once { refuse(NEEDS_RESET) } else { Ok(0) }
    }
}
