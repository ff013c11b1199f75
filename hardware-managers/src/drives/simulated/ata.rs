use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tacit_blockdev::{CommandError, Drive, Error, NvmeCommand, ScsiCommand, ScsiReply, Transfer};

use super::answer::{INVALID_COMMAND, INVALID_FIELD, check, give, gone, page, standard};
use super::ata_identify::{configuration, words};
use super::ata_traits::AtaTraits;
use super::ata_translation::{End, Registers, registers, translate};
use super::clock::SimulatedClock;
use super::content::Content;
use super::operation::{Leaves, Misbehaviour, Operation, Reached};

/// The Security feature set of a drive (ACS-5, 4.18).
#[derive(Clone, Debug, Default)]
pub(super) struct Security {
    pub(super) supported: bool,
    pub(super) password: Option<[u8; 32]>,
    pub(super) locked: bool,
    pub(super) frozen: bool,
    /// Wrong passwords that it still takes.
    pub(super) attempts: usize,
    prepared: bool,
}

#[derive(Clone, Debug, Default)]
enum Sanitizing {
    #[default]
    Idle,
    Running(Operation, bool),
    Completed,
    Failed(bool),
}

#[derive(Debug)]
struct State {
    traits: AtaTraits,
    security: Security,
    sanitizing: Sanitizing,
    sanitize_frozen: bool,
    log: Vec<u8>,
}

/// An ATA drive in memory, behind a SCSI / ATA translation.
#[derive(Debug)]
pub struct SimulatedAta {
    content: Content,
    clock: SimulatedClock,
    state: Mutex<State>,
}

const GOOD: End = End::Good { count: 0, lba: 0 };
const ABORTED: End = End::Aborted { lba: 0 };
const COMMAND_TAKES: Duration = Duration::from_millis(1);
const ATTEMPTS: usize = 5;

impl SimulatedAta {
    pub fn new(content: Content, clock: &SimulatedClock, traits: AtaTraits) -> Self {
        let security = Security { supported: traits.security, attempts: ATTEMPTS, ..Security::default() };
        let state =
            State { traits, security, sanitizing: Sanitizing::Idle, sanitize_frozen: false, log: Vec::new() };
        Self { content, clock: clock.clone(), state: Mutex::new(state) }
    }

    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The firmware of the machine freezes the security settings, as many do before they boot.
    pub fn freeze(&self) {
        self.state().security.frozen = true;
    }

    /// The firmware of the machine freezes sanitize.
    pub fn freeze_sanitize(&self) {
        self.state().sanitize_frozen = true;
    }

    /// Somebody sets a password and cuts the power.
    pub fn lock_with(&self, password: &str) {
        let mut state = self.state();
        state.security.password = Some(padded(password.as_bytes()));
        state.security.locked = true;
    }

    /// Somebody sets a password, or has unlocked the drive.
    pub fn set_password(&self, password: &str) {
        self.state().security.password = Some(padded(password.as_bytes()));
    }

    pub fn has_password(&self) -> bool {
        self.state().security.password.is_some()
    }

    /// Another machine, or an agent that was restarted since, begins a sanitize operation.
    pub fn begin_sanitize(&self) {
        let mut state = self.state();
        let operation = self.operation(&state.traits, Leaves::Byte(0));
        state.sanitizing = Sanitizing::Running(operation, true);
    }

    /// ATA commands so far.
    pub fn commands(&self) -> Vec<u8> {
        self.state().log.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn operation(&self, traits: &AtaTraits, leaves: Leaves) -> Operation {
        let (started, takes) = (self.clock.elapsed(), traits.erase_takes);
        Operation { started, takes, leaves, misbehaviour: traits.misbehaviour }
    }

    /// As many as the drive shows.
    fn sectors(&self, traits: &AtaTraits) -> u64 {
        self.content.size_bytes() / u64::from(self.content.logical_sector()) + traits.unseen_sectors
    }

    /// Lets what goes on go on.
    fn progress(&self, state: &mut State) -> Option<u16> {
        let Sanitizing::Running(operation, leavable) = &state.sanitizing else { return None };
        match operation.look(self.clock.elapsed(), &self.content) {
            Reached::Working(progress) => return Some(progress),
            Reached::Completed => state.sanitizing = Sanitizing::Completed,
            Reached::Failed => state.sanitizing = Sanitizing::Failed(*leavable),
        }
        None
    }

    fn access<T>(&self, act: impl FnOnce() -> Result<T, Error>, refused: Error) -> Result<T, Error> {
        let mut state = self.state();
        let busy = self.progress(&mut state).is_some() || matches!(state.sanitizing, Sanitizing::Failed(_));
        let locked = state.security.locked || state.traits.tcg.as_ref().is_some_and(|tcg| tcg.locked);
        if busy || locked { Err(refused) } else { act() }
    }

    fn run(&self, state: &mut State, registers: &Registers, timeout: Duration, data: Transfer<'_>) -> End {
        let working = self.progress(state);
        if self.content.is_gone() {
            return End::Lost(gone());
        }
        let prepared = std::mem::take(&mut state.security.prepared);
        match (registers.command, data) {
            (0xec, data) => {
                let sectors = self.sectors(&state.traits);
                give(data, &words(&state.traits, &state.security, sectors, self.content.logical_sector()));
                GOOD
            }
            (0xb4, Transfer::None) => self.sanitize(state, registers, working),
            _ if working.is_some() || matches!(state.sanitizing, Sanitizing::Failed(_)) => ABORTED,
            (0xb0, Transfer::None) if registers.feature == 0xda => {
                End::Good { count: 0, lba: if state.traits.failing { 0x2c_f400 } else { 0xc2_4f00 } }
            }
            (0x78, Transfer::None) if state.traits.hidden_sectors > 0 => {
                End::Good { count: 0, lba: self.sectors(&state.traits) + state.traits.hidden_sectors - 1 }
            }
            (0xb1, data) if registers.feature == 0xc2 && state.traits.overlaid_sectors > 0 => {
                if state.traits.configuration_locked {
                    return ABORTED;
                }
                let hidden = state.traits.hidden_sectors + state.traits.overlaid_sectors;
                give(data, &configuration(self.sectors(&state.traits) + hidden));
                GOOD
            }
            (0x5c, data) => match &state.traits.tcg {
                Some(tcg) => {
                    give(data, &tcg.discovery());
                    GOOD
                }
                None => ABORTED,
            },
            (0xf1..=0xf6, _) if !state.security.supported || state.security.frozen => ABORTED,
            (0xf3, Transfer::None) => {
                state.security.prepared = true;
                GOOD
            }
            (0xf5, Transfer::None) => {
                state.security.frozen = true;
                GOOD
            }
            (command @ (0xf1 | 0xf2 | 0xf4 | 0xf6), Transfer::ToDevice(block)) if block.len() == 512 => {
                let password = padded(&block[2..34]);
                match command {
                    0xf1 if state.security.locked => ABORTED,
                    0xf1 => {
                        state.security.password = Some(password);
                        GOOD
                    }
                    0xf4 if !prepared => ABORTED,
                    0xf4 => self.erase_unit(state, password, block[0] & 2 != 0, timeout),
                    _ => unlock_or_disable(&mut state.security, command, password),
                }
            }
            _ => ABORTED,
        }
    }

    fn erase_unit(&self, state: &mut State, password: [u8; 32], enhanced: bool, timeout: Duration) -> End {
        let traits = state.traits.clone();
        if state.security.password != Some(password) || enhanced && !traits.enhanced {
            return ABORTED;
        }
        // The host waits as long as it said, and then resets the bus; a drive that is cut off is locked.
        let operation = self.operation(&traits, if enhanced { Leaves::Noise } else { Leaves::Byte(0) });
        let over = match traits.misbehaviour {
            Misbehaviour::Hangs => timeout,
            Misbehaviour::FailsHalfWay | Misbehaviour::Vanishes => timeout.min(traits.erase_takes / 2),
            Misbehaviour::None | Misbehaviour::Lies | Misbehaviour::LosesPath | Misbehaviour::AnswerLost => {
                timeout.min(traits.erase_takes)
            }
        };
        self.clock.advance(over);
        let reached = operation.look(self.clock.elapsed(), &self.content);
        if self.content.is_gone() {
            return End::Lost(gone());
        }
        match reached {
            Reached::Completed => {
                if !traits.keeps_password {
                    state.security.password = None;
                }
                state.security.locked = false;
                GOOD
            }
            Reached::Failed => {
                state.security.locked = true;
                ABORTED
            }
            Reached::Working(_) => {
                state.security.locked = true;
                End::Lost(CommandError::TimedOut)
            }
        }
    }

    /// SANITIZE DEVICE (ACS-5, 7.36).
    fn sanitize(&self, state: &mut State, registers: &Registers, working: Option<u16>) -> End {
        let frozen = if state.sanitize_frozen { 0x2000 } else { 0 };
        let traits = &state.traits;
        let leaves = match (registers.feature, registers.lba) {
            (0x00, _) => {
                if registers.count & 1 != 0 && matches!(state.sanitizing, Sanitizing::Failed(true)) {
                    state.sanitizing = Sanitizing::Idle;
                }
                return match (&state.sanitizing, working) {
                    (_, Some(progress)) => End::Good { count: 0x4000 | frozen, lba: progress.into() },
                    (Sanitizing::Failed(_), _) => End::Aborted { lba: 1 },
                    (Sanitizing::Completed, _) => End::Good { count: 0x8000 | frozen, lba: 0xffff },
                    _ => End::Good { count: frozen, lba: 0xffff },
                };
            }
            (0x11, 0x4372_7970) if traits.sanitize_crypto => Leaves::Noise,
            (0x12, 0x426b_4572) if traits.sanitize_block => Leaves::Byte(0),
            (0x14, key) if key >> 32 == 0x4f57 && traits.sanitize_overwrite => Leaves::Byte(key as u8),
            _ => return End::Aborted { lba: 2 },
        };
        if working.is_some() || frozen != 0 || state.security.locked {
            return End::Aborted { lba: if frozen != 0 { 3 } else { 0 } };
        }
        let leavable = registers.count & 0x10 != 0;
        let lost = traits.misbehaviour == Misbehaviour::AnswerLost;
        state.sanitizing = Sanitizing::Running(self.operation(traits, leaves), leavable);
        if lost {
            return End::Lost(CommandError::TimedOut);
        }
        End::Good { count: 0x4000, lba: 0 }
    }
}

fn unlock_or_disable(security: &mut Security, command: u8, password: [u8; 32]) -> End {
    if security.attempts == 0 || command == 0xf6 && security.locked {
        return ABORTED;
    }
    if security.password.is_some_and(|set| set != password) {
        security.attempts -= usize::from(command == 0xf2);
        return ABORTED;
    }
    security.locked = false;
    if command == 0xf6 {
        security.password = None;
    }
    GOOD
}

fn padded(password: &[u8]) -> [u8; 32] {
    let mut padded = [0; 32];
    for (place, byte) in padded.iter_mut().zip(password) {
        *place = *byte;
    }
    padded
}

impl Drive for SimulatedAta {
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
        let traits = self.state().traits.clone();
        let act = || {
            if !traits.trim || self.content.is_gone() || self.content.is_read_only() {
                return Err(Content::unwritable(offset, 0));
            }
            self.content.fill(offset..offset.saturating_add(len), if traits.trim_zeroes { 0 } else { 0xff });
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
        if self.content.is_gone() {
            return Err(gone());
        }
        let cdb = command.cdb;
        match cdb[0] {
            0x85 => {
                let registers = registers(cdb);
                state.log.push(registers.command);
                if registers.command == 0x5c && !state.traits.trusted_allowed {
                    return Ok(check(5, INVALID_FIELD));
                }
                let wanted = cdb[2] & 0x20 != 0;
                let end = self.run(&mut state, &registers, command.timeout, data);
                if state.traits.terse && matches!(end, End::Aborted { .. }) {
                    return Ok(check(0x0b, (0, 0)));
                }
                translate(end, wanted, state.traits.fixed_sense)
            }
            0x12 if cdb[1] & 1 == 0 => {
                let traits = &state.traits;
                Ok(give(data, &standard("ATA", &traits.model, &traits.firmware)))
            }
            0x12 if cdb[2] == 0 => Ok(give(data, &page(0, &[0x00, 0x80, 0x83, 0x89]))),
            0x12 => Ok(check(5, INVALID_FIELD)),
            0x00 => Ok(ScsiReply::default()),
            _ => Ok(check(5, INVALID_COMMAND)),
        }
    }

    fn opal_revert_by_psid(&self, psid: &str) -> Result<(), CommandError> {
        match &mut self.state().traits.tcg {
            Some(tcg) => tcg.revert(psid, &self.content),
            None => Err(CommandError::NoPassThrough),
        }
    }
}
