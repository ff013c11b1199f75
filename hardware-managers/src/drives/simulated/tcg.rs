use tacit_blockdev::CommandError;

use super::content::Content;

/// The TCG side of a drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedTcg {
    /// On the label.
    pub psid: String,
    pub locking_enabled: bool,
    pub locked: bool,
    pub media_encryption: bool,
    /// Pyrite instead of Opal.
    pub pyrite: bool,
    /// A revert has success and changes nothing.
    pub lies: bool,
}

impl SimulatedTcg {
    /// A drive that somebody has taken ownership of, and locked.
    pub fn locked(psid: &str) -> Self {
        Self {
            psid: psid.to_owned(),
            locking_enabled: true,
            locked: true,
            media_encryption: true,
            pyrite: false,
            lies: false,
        }
    }

    /// Level 0 discovery.
    pub(super) fn discovery(&self) -> Vec<u8> {
        let flags = 0x01
            | if self.locking_enabled { 0x02 } else { 0 }
            | if self.locked { 0x04 } else { 0 }
            | if self.media_encryption { 0x08 } else { 0 };
        let mut answer = vec![0; 48];
        answer.extend([0, 2, 0x10, 12, flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        answer.extend([if self.pyrite { 0x03 } else { 0x02 }, 0x03, 0x10, 0]);
        let length = answer.len() as u32 - 4;
        answer[..4].copy_from_slice(&length.to_be_bytes());
        answer
    }

    pub(super) fn revert(&mut self, psid: &str, content: &Content) -> Result<(), CommandError> {
        if psid != self.psid {
            return Err(CommandError::Opal { status: 0x01 });
        }
        if !self.lies {
            if self.media_encryption {
                content.scramble(content.whole());
            }
            (self.locking_enabled, self.locked) = (false, false);
        }
        Ok(())
    }
}
