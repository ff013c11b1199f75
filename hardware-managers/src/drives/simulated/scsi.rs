use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tacit_blockdev::{CommandError, Drive, Error, NvmeCommand, ScsiCommand, ScsiReply, Transfer};

use super::answer::{INVALID_COMMAND, INVALID_FIELD, check, fixed, give, gone};
use super::clock::SimulatedClock;
use super::content::Content;
use super::operation::{Leaves, Misbehaviour, Operation, Reached};
use super::scsi_answers::{inquiry, reservations, supported};
use super::scsi_traits::ScsiTraits;

#[derive(Clone, Debug, Default)]
enum Sanitizing {
    #[default]
    Idle,
    Running(Operation, bool),
    /// Whether it may be left without another success.
    Failed(bool),
}

#[derive(Debug)]
struct State {
    traits: ScsiTraits,
    sanitizing: Sanitizing,
    log: Vec<u8>,
}

/// A SCSI disk in memory.
#[derive(Debug)]
pub struct SimulatedScsi {
    content: Content,
    clock: SimulatedClock,
    state: Mutex<State>,
}

const SANITIZE_FAILED: (u8, u8) = (0x31, 0x03);
const COMMAND_TAKES: Duration = Duration::from_millis(1);

impl SimulatedScsi {
    pub fn new(content: Content, clock: &SimulatedClock, traits: ScsiTraits) -> Self {
        let state = State { traits, sanitizing: Sanitizing::Idle, log: Vec::new() };
        Self { content, clock: clock.clone(), state: Mutex::new(state) }
    }

    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Operation codes of all commands so far.
    pub fn commands(&self) -> Vec<u8> {
        self.state().log.clone()
    }

    /// Another initiator, or an agent that was restarted since, begins a sanitize operation.
    pub fn begin_sanitize(&self) {
        let mut state = self.state();
        let operation = self.operation(&state.traits, Leaves::Byte(0));
        state.sanitizing = Sanitizing::Running(operation, true);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn operation(&self, traits: &ScsiTraits, leaves: Leaves) -> Operation {
        Operation {
            started: self.clock.elapsed(),
            takes: traits.sanitize_takes,
            leaves,
            misbehaviour: traits.misbehaviour,
        }
    }

    /// Lets what goes on go on, and returns what the drive then has to say.
    fn condition(&self, state: &mut State) -> Option<Vec<u8>> {
        if let Sanitizing::Running(operation, leavable) = &state.sanitizing {
            match operation.look(self.clock.elapsed(), &self.content) {
                Reached::Working(progress) => return Some(fixed(2, (0x04, 0x1b), Some(progress))),
                Reached::Completed => state.sanitizing = Sanitizing::Idle,
                Reached::Failed => state.sanitizing = Sanitizing::Failed(*leavable),
            }
        }
        matches!(state.sanitizing, Sanitizing::Failed(_)).then(|| fixed(3, SANITIZE_FAILED, None))
    }

    fn access<T>(&self, act: impl FnOnce() -> Result<T, Error>, refused: Error) -> Result<T, Error> {
        let mut state = self.state();
        let closed = self.condition(&mut state).is_some() || is_locked(&state.traits);
        if closed { Err(refused) } else { act() }
    }

    fn run(&self, state: &mut State, cdb: &[u8], data: Transfer<'_>) -> ScsiReply {
        let condition = self.condition(state);
        match cdb[0] {
            0x03 => return give(data, &condition.unwrap_or_else(|| fixed(0, (0, 0), None))),
            0x12 => return inquiry(&state.traits, cdb, data),
            0x48 => return self.sanitize(state, cdb, data),
            0xa3 => return give(data, &supported(&state.traits, cdb)),
            _ => {}
        }
        if let Some(sense) = condition {
            return ScsiReply { status: 2, sense, residual: 0 };
        }
        match cdb[0] {
            0x00 => ScsiReply::default(),
            0x9e => give(data, &self.capacity(&state.traits)),
            0x4d => {
                let (code, qualifier) = state.traits.exception;
                give(data, &[0x2f, 0, 0, 8, 0, 0, 3, 4, code, qualifier, 30, 0])
            }
            0x5e => give(data, &reservations(&state.traits, cdb[1])),
            0x42 | 0x93 if is_locked(&state.traits) => check(7, (0x20, 0x02)),
            0x42 => self.unmap(&state.traits, data),
            0x93 => self.write_same(&state.traits, cdb, data),
            0xa2 => match &state.traits.tcg {
                Some(tcg) => give(data, &tcg.discovery()),
                None => check(5, INVALID_COMMAND),
            },
            _ => check(5, INVALID_COMMAND),
        }
    }

    fn capacity(&self, traits: &ScsiTraits) -> Vec<u8> {
        let sector = self.content.logical_sector();
        let blocks = self.content.size_bytes() / u64::from(sector) + traits.unseen_blocks;
        let mut data = vec![0; 32];
        data[..8].copy_from_slice(&blocks.wrapping_sub(1).to_be_bytes());
        data[8..12].copy_from_slice(&sector.to_be_bytes());
        data[14] = if traits.reads_zeroes { 0xc0 } else { 0 };
        data
    }

    fn sanitize(&self, state: &mut State, cdb: &[u8], data: Transfer<'_>) -> ScsiReply {
        let traits = &state.traits;
        let leavable = cdb[1] & 0x20 != 0;
        let leaves = match (cdb[1] & 0x1f, data) {
            (0x1f, _) => {
                return match state.sanitizing {
                    Sanitizing::Failed(false) => check(3, SANITIZE_FAILED),
                    Sanitizing::Running(..) => check(2, (0x04, 0x1b)),
                    Sanitizing::Failed(true) | Sanitizing::Idle => {
                        state.sanitizing = Sanitizing::Idle;
                        ScsiReply::default()
                    }
                };
            }
            (0x01, Transfer::ToDevice(list)) if traits.sanitize_overwrite => {
                // Count and length of the pattern must be there.
                if list.len() < 5 || list[0] & 0x1f == 0 || usize::from(list[3]) + 4 != list.len() {
                    return check(5, (0x26, 0));
                }
                Leaves::Byte(list[4])
            }
            (0x02, Transfer::None) if traits.sanitize_block => Leaves::Byte(0),
            (0x03, Transfer::None) if traits.sanitize_crypto => Leaves::Noise,
            _ => return check(5, INVALID_FIELD),
        };
        if matches!(state.sanitizing, Sanitizing::Running(..)) {
            return check(2, (0x04, 0x1b));
        }
        // Without IMMED the host would wait for hours; without a way out this drive takes nothing that asks for it.
        if cdb[1] & 0x80 == 0 || leavable && traits.no_unrestricted_exit {
            return check(5, INVALID_FIELD);
        }
        state.sanitizing = Sanitizing::Running(self.operation(traits, leaves), leavable);
        ScsiReply::default()
    }

    fn unmap(&self, traits: &ScsiTraits, data: Transfer<'_>) -> ScsiReply {
        let Transfer::ToDevice(list) = data else { return check(5, INVALID_FIELD) };
        let Some(descriptor) = list.get(8..20).filter(|_| traits.unmap) else {
            return check(5, INVALID_FIELD);
        };
        let lba = u64::from_be_bytes(descriptor[..8].try_into().expect("eight bytes"));
        let blocks = u32::from_be_bytes(descriptor[8..].try_into().expect("four bytes"));
        if blocks > traits.unmap_blocks {
            return check(5, (0x26, 0));
        }
        self.forget(traits, lba, blocks)
    }

    fn write_same(&self, traits: &ScsiTraits, cdb: &[u8], data: Transfer<'_>) -> ScsiReply {
        let lba = u64::from_be_bytes(cdb[2..10].try_into().expect("eight bytes"));
        let blocks = u32::from_be_bytes(cdb[10..14].try_into().expect("four bytes"));
        let unmap = cdb[1] & 0x08 != 0;
        match data {
            Transfer::ToDevice(block) if block.len() == self.content.logical_sector() as usize => {
                if unmap && !traits.write_same_unmaps {
                    return check(5, INVALID_FIELD);
                }
                if unmap {
                    return self.forget(traits, lba, blocks);
                }
                self.cover(lba, blocks, block[0])
            }
            _ => check(5, INVALID_FIELD),
        }
    }

    fn forget(&self, traits: &ScsiTraits, lba: u64, blocks: u32) -> ScsiReply {
        self.cover(lba, blocks, if traits.reads_zeroes { 0 } else { 0xff })
    }

    fn cover(&self, lba: u64, blocks: u32, byte: u8) -> ScsiReply {
        let sector = u64::from(self.content.logical_sector());
        let (from, length) = (lba.saturating_mul(sector), u64::from(blocks) * sector);
        if from.saturating_add(length) > self.content.size_bytes() {
            return check(5, (0x21, 0));
        }
        if self.content.is_read_only() {
            return check(7, (0x27, 0));
        }
        self.content.fill(from..from + length, byte);
        ScsiReply::default()
    }
}

fn is_locked(traits: &ScsiTraits) -> bool {
    traits.tcg.as_ref().is_some_and(|tcg| tcg.locked)
}

impl Drive for SimulatedScsi {
    fn size_bytes(&self) -> u64 {
        self.content.size_bytes()
    }

    fn logical_sector(&self) -> u32 {
        self.content.logical_sector()
    }

    fn is_read_only(&self) -> bool {
        self.content.is_read_only()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        let refused = Content::unreadable(offset, buf.len());
        self.access(|| self.content.read_at(offset, buf), refused)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), Error> {
        let refused = Content::unwritable(offset, buf.len());
        self.access(|| self.content.write_at(offset, buf), refused)
    }

    fn discard(&self, offset: u64, len: u64) -> Result<(), Error> {
        let byte = if self.state().traits.reads_zeroes { 0 } else { 0xff };
        let act = || {
            self.content.fill(offset..offset.saturating_add(len), byte);
            Ok(())
        };
        self.access(act, Content::unwritable(offset, 0))
    }

    fn flush(&self) -> Result<(), Error> {
        Ok(())
    }

    fn nvme(&self, _: &NvmeCommand, _: Transfer<'_>) -> Result<u32, CommandError> {
        Err(CommandError::NoPassThrough)
    }

    fn scsi(&self, command: &ScsiCommand<'_>, data: Transfer<'_>) -> Result<ScsiReply, CommandError> {
        self.clock.advance(COMMAND_TAKES);
        let mut state = self.state();
        state.log.push(command.cdb[0]);
        // What goes on may be what makes it vanish.
        self.condition(&mut state);
        if self.content.is_gone() {
            return Err(gone());
        }
        // INQUIRY and REQUEST SENSE are answered without telling what else happened.
        if state.traits.attentions > 0 && !matches!(command.cdb[0], 0x03 | 0x12) {
            state.traits.attentions -= 1;
            return Ok(check(6, (0x29, 0)));
        }
        let reply = self.run(&mut state, command.cdb, data);
        // SANITIZE.
        let lost = state.traits.misbehaviour == Misbehaviour::AnswerLost && command.cdb[0] == 0x48;
        if lost { Err(CommandError::TimedOut) } else { Ok(reply) }
    }

    fn opal_revert_by_psid(&self, psid: &str) -> Result<(), CommandError> {
        match &mut self.state().traits.tcg {
            Some(tcg) => tcg.revert(psid, &self.content),
            None => Err(CommandError::NoPassThrough),
        }
    }
}
