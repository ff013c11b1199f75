use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tacit_blockdev::{CommandError, Drive, Error, NvmeCommand, ScsiCommand, ScsiReply, Transfer};

use super::answer::{INVALID_COMMAND, INVALID_FIELD, check, fixed, give, gone, page, standard};
use super::clock::SimulatedClock;
use super::content::Content;
use super::operation::{Leaves, Misbehaviour, Operation, Reached};
use super::tcg::SimulatedTcg;

/// What kind of SCSI disk is played.
#[derive(Clone, Debug)]
pub struct ScsiTraits {
    pub vendor: String,
    pub product: String,
    pub revision: String,
    pub serial: String,
    pub naa: u64,
    /// As in VPD page B1h: 1 for no rotation.
    pub rotation: u16,
    pub unmap: bool,
    /// WRITE SAME (16) unmaps, too.
    pub write_same_unmaps: bool,
    pub reads_zeroes: bool,
    /// Blocks that one UNMAP takes.
    pub unmap_blocks: u32,
    pub sanitize_crypto: bool,
    pub sanitize_block: bool,
    pub sanitize_overwrite: bool,
    /// Takes no operation that could be left after a failure.
    pub no_unrestricted_exit: bool,
    /// How long a sanitize takes.
    pub sanitize_takes: Duration,
    pub misbehaviour: Misbehaviour,
    /// Of other initiators.
    pub keys: Vec<u64>,
    pub holder: Option<u64>,
    /// Code and qualifier of an informational exception.
    pub exception: (u8, u8),
    /// Unit attentions that are told first.
    pub attentions: usize,
    pub tcg: Option<SimulatedTcg>,
}

impl Default for ScsiTraits {
    /// A solid state drive that can do everything, and is well.
    fn default() -> Self {
        Self {
            vendor: "TACIT".to_owned(),
            product: "Simulated disk".to_owned(),
            revision: "0001".to_owned(),
            serial: "SIM0SCSI".to_owned(),
            naa: 0x5000_c500_0000_0001,
            rotation: 1,
            unmap: true,
            write_same_unmaps: true,
            reads_zeroes: true,
            unmap_blocks: 0x10_0000,
            sanitize_crypto: true,
            sanitize_block: true,
            sanitize_overwrite: true,
            no_unrestricted_exit: false,
            sanitize_takes: Duration::from_secs(120),
            misbehaviour: Misbehaviour::None,
            keys: Vec::new(),
            holder: None,
            exception: (0, 0),
            attentions: 0,
            tcg: None,
        }
    }
}

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
        match self.condition(&mut self.state()) {
            None => act(),
            Some(_) => Err(refused),
        }
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
            0x9e => give(data, &self.capacity(state.traits.reads_zeroes)),
            0x4d => {
                let (code, qualifier) = state.traits.exception;
                give(data, &[0x2f, 0, 0, 8, 0, 0, 3, 4, code, qualifier, 30, 0])
            }
            0x5e => give(data, &reservations(&state.traits, cdb[1])),
            0x42 => self.unmap(&state.traits, data),
            0x93 => self.write_same(&state.traits, cdb, data),
            0xa2 => match &state.traits.tcg {
                Some(tcg) => give(data, &tcg.discovery()),
                None => check(5, INVALID_COMMAND),
            },
            _ => check(5, INVALID_COMMAND),
        }
    }

    fn capacity(&self, zeroes: bool) -> Vec<u8> {
        let sector = self.content.logical_sector();
        let blocks = self.content.size_bytes() / u64::from(sector);
        let mut data = vec![0; 32];
        data[..8].copy_from_slice(&blocks.wrapping_sub(1).to_be_bytes());
        data[8..12].copy_from_slice(&sector.to_be_bytes());
        data[14] = if zeroes { 0xc0 } else { 0 };
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

fn inquiry(traits: &ScsiTraits, cdb: &[u8], data: Transfer<'_>) -> ScsiReply {
    if cdb[1] & 1 == 0 {
        return give(data, &standard(&traits.vendor, &traits.product, &traits.revision));
    }
    let answer = match cdb[2] {
        0x00 => page(0, &[0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2]),
        0x80 => page(0x80, traits.serial.as_bytes()),
        0x83 => {
            let mut designator = vec![1, 3, 0, 8];
            designator.extend(traits.naa.to_be_bytes());
            page(0x83, &designator)
        }
        0xb0 => {
            let mut limits = vec![0; 60];
            let blocks = if traits.unmap { traits.unmap_blocks } else { 0 };
            limits[16..20].copy_from_slice(&blocks.to_be_bytes());
            limits[20..24].copy_from_slice(&1u32.to_be_bytes());
            page(0xb0, &limits)
        }
        0xb1 => {
            let mut characteristics = vec![0; 60];
            characteristics[..2].copy_from_slice(&traits.rotation.to_be_bytes());
            page(0xb1, &characteristics)
        }
        0xb2 => {
            let flags = u8::from(traits.unmap) << 7
                | u8::from(traits.write_same_unmaps) << 6
                | u8::from(traits.reads_zeroes) << 2;
            page(0xb2, &[0, flags, 2, 0])
        }
        _ => return check(5, INVALID_FIELD),
    };
    give(data, &answer)
}

fn supported(traits: &ScsiTraits, cdb: &[u8]) -> Vec<u8> {
    let has = match (cdb[2] & 7, cdb[3], cdb[5]) {
        (2, 0x48, 0x01) => traits.sanitize_overwrite,
        (2, 0x48, 0x02) => traits.sanitize_block,
        (2, 0x48, 0x03) => traits.sanitize_crypto,
        (1, 0x93, _) => true,
        _ => false,
    };
    vec![0, if has { 3 } else { 1 }, 0, 2, 0, 0]
}

fn reservations(traits: &ScsiTraits, service_action: u8) -> Vec<u8> {
    let mut body = Vec::new();
    match (service_action, traits.holder) {
        (0, _) => traits.keys.iter().for_each(|key| body.extend(key.to_be_bytes())),
        (1, Some(holder)) => {
            body.extend(holder.to_be_bytes());
            body.extend([0, 0, 0, 0, 0, 5, 0, 0]);
        }
        _ => {}
    }
    let mut answer = vec![0, 0, 0, 1];
    answer.extend((body.len() as u32).to_be_bytes());
    answer.extend(body);
    answer
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
        Ok(self.run(&mut state, command.cdb, data))
    }

    fn opal_revert_by_psid(&self, psid: &str) -> Result<(), CommandError> {
        match &mut self.state().traits.tcg {
            Some(tcg) => tcg.revert(psid, &self.content),
            None => Err(CommandError::NoPassThrough),
        }
    }
}
