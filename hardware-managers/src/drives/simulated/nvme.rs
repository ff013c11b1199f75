//! An NVMe controller with one namespace that can be reached, by the state machine of the Base Specification 2.1,
//! 8.1.24.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tacit_blockdev::{CommandError, Drive, Error, NvmeCommand, ScsiCommand, ScsiReply, Transfer};

use super::nvme_firmware::Firmware;
use super::nvme_pages::{self, SanitizeStatus};
use super::nvme_traits::{NvmeFault, NvmeHealth, NvmeIdentity};
use super::tcg::SimulatedTcg;
use super::{Content, SimulatedClock};
use crate::drives::Clock;

#[derive(Debug, Default)]
struct State {
    fault: NvmeFault,
    health: NvmeHealth,
    sanitize: Option<Operation>,
    /// How the one before ended; 0 never, 1 completed, 3 failed.
    outcome: u16,
    command: u32,
    erased: bool,
    sanitizes_started: u32,
    block_bytes: u32,
    resets_at: Option<Duration>,
    verified: bool,
    firmware: Firmware,
    opcodes: Vec<u8>,
    tcg: Option<SimulatedTcg>,
}

/// A sanitize operation under way.
#[derive(Clone, Copy, Debug)]
struct Operation {
    started: Duration,
    takes: Duration,
    action: u32,
    pattern: u32,
}

/// An NVMe drive in memory.
#[derive(Debug)]
pub struct SimulatedNvme {
    pub content: Content,
    identity: NvmeIdentity,
    clock: SimulatedClock,
    state: Mutex<State>,
}

const INVALID_OPCODE: (u8, u8) = (0, 0x01);
pub(super) const INVALID_FIELD: (u8, u8) = (0, 0x02);
const SANITIZE_FAILED: (u8, u8) = (0, 0x1c);
const SANITIZE_IN_PROGRESS: (u8, u8) = (0, 0x1d);

impl SimulatedNvme {
    pub fn new(content: Content, identity: NvmeIdentity, clock: SimulatedClock) -> Self {
        let mut state = State { block_bytes: content.logical_sector(), erased: true, ..State::default() };
        state.firmware.put(1, "1.0.0");
        state.tcg.clone_from(&identity.tcg);
        Self { content, identity, clock, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_fault(&self, fault: NvmeFault) {
        self.state().fault = fault;
    }

    pub fn set_health(&self, health: NvmeHealth) {
        self.state().health = health;
    }

    /// Puts firmware of a revision into a slot, 1 to 7, and runs it.
    pub fn set_firmware(&self, slot: u8, revision: &str) {
        self.state().firmware.put(slot, revision);
    }

    /// How many sanitize operations were started, by whomever.
    pub fn sanitizes_started(&self) -> u32 {
        self.state().sanitizes_started
    }

    /// Opcodes of the commands that it was sent, in order.
    pub fn opcodes(&self) -> Vec<u8> {
        self.state().opcodes.clone()
    }

    /// Starts a sanitize operation as some other host would, with a command dword 10.
    pub fn start_sanitize(&self, dword10: u32) {
        self.begin(&mut self.state(), dword10, 0);
    }

    /// Bytes of a block as the drive tells them, which a format can change.
    fn block_bytes(&self) -> u32 {
        self.state().block_bytes
    }

    fn begin(&self, state: &mut State, dword10: u32, pattern: u32) {
        state.sanitizes_started += 1;
        if state.fault == NvmeFault::Ignores {
            return;
        }
        let (place, times) = match dword10 & 7 {
            3 => (0, if dword10 >> 4 & 0xf == 0 { 16 } else { dword10 >> 4 & 0xf }),
            2 => (1, 16),
            _ => (2, 16),
        };
        // The first estimate is for 16 passes.
        let seconds = u64::from(self.identity.estimates[place]) * u64::from(times) / 16;
        state.command = dword10;
        state.sanitize = Some(Operation {
            started: self.clock.now(),
            takes: Duration::from_secs(seconds.max(1)),
            action: dword10 & 7,
            pattern,
        });
    }

    /// Lets the operation go as far as the clock says. Returns how far it is, of 65536.
    fn advance(&self, state: &mut State) -> u64 {
        let Some(operation) = state.sanitize else { return 0xffff };
        let gone = self.clock.now().saturating_sub(operation.started);
        let mut part = (gone.as_millis() * 65536 / operation.takes.as_millis()).min(65536) as u64;
        match state.fault {
            NvmeFault::SanitizeFails(at) if part >= at.into() => {
                self.content.fill(0..self.content.size_bytes() * u64::from(at) / 65536, 0);
                (state.outcome, state.sanitize, state.erased) = (3, None, false);
                return 0xffff;
            }
            NvmeFault::SanitizeHangs(at) => part = part.min(at.into()),
            NvmeFault::Resets(at) if part >= at.into() && state.resets_at.is_none() => {
                state.resets_at = Some(self.clock.now());
            }
            NvmeFault::Vanishes(at) if part >= at.into() => self.content.set_gone(true),
            NvmeFault::StopsForVerification if part >= 65536 && !state.verified => return 0xffff,
            _ => {}
        }
        if part >= 65536 {
            let whole = self.content.whole();
            match operation.action {
                // What it wrote is deallocated afterwards.
                3 => self.content.fill(whole, (operation.pattern & 0xff) as u8),
                2 => self.content.fill(whole, 0),
                _ => self.content.scramble(whole),
            }
            (state.outcome, state.sanitize, state.erased) = (1, None, true);
            return 0xffff;
        }
        part
    }

    /// Whether its content is out of reach.
    fn is_closed(&self, state: &mut State) -> bool {
        self.advance(state);
        state.sanitize.is_some() || state.outcome == 3 || state.tcg.as_ref().is_some_and(|tcg| tcg.locked)
    }

    /// Whether the controller answers.
    fn reach(&self, state: &State) -> Result<(), CommandError> {
        let lost = |errno| CommandError::Transport { source: io::Error::from_raw_os_error(errno) };
        if self.content.is_gone() {
            return Err(lost(nix::libc::ENODEV));
        }
        match state.resets_at {
            Some(at) if self.clock.now() < at + Duration::from_secs(60) => Err(lost(nix::libc::EINTR)),
            _ => Ok(()),
        }
    }

    fn log(&self, state: &mut State, page: u32) -> Option<[u8; 512]> {
        match page {
            2 => Some(nvme_pages::health(&state.health)),
            3 => Some(state.firmware.log()),
            0x81 if self.identity.sanitize & 7 != 0 => {
                let part = self.advance(state).min(0xffff) as u16;
                let running = state.sanitize.is_some();
                let outcome = if running { 2 } else { state.outcome };
                let verifying = running && part == 0xffff;
                let status =
                    SanitizeStatus { part, outcome, erased: state.erased, command: state.command, verifying };
                Some(nvme_pages::sanitize(&self.identity, &status))
            }
            _ => None,
        }
    }

    fn sanitize(&self, state: &mut State, dwords: &[u32; 6]) -> Result<u32, CommandError> {
        let supported = match dwords[0] & 7 {
            1 => self.identity.sanitize & 7 != 0,
            2 => self.identity.sanitize & 2 != 0,
            3 => self.identity.sanitize & 4 != 0,
            4 => self.identity.sanitize & 1 != 0,
            5 if state.sanitize.is_some() && state.fault == NvmeFault::StopsForVerification => {
                state.verified = true;
                return Ok(0);
            }
            _ => return refuse(INVALID_FIELD),
        };
        if !supported {
            return refuse(if self.identity.sanitize == 0 { INVALID_OPCODE } else { INVALID_FIELD });
        }
        if state.sanitize.is_some() {
            return refuse(SANITIZE_IN_PROGRESS);
        }
        if dwords[0] & 7 == 1 {
            // Only operations that were started with AUSE may be left so.
            if state.outcome == 3 && state.command & 8 == 0 {
                return refuse(SANITIZE_FAILED);
            }
            state.outcome = 0;
            return Ok(0);
        }
        self.begin(state, dwords[0], dwords[1]);
        match state.fault {
            NvmeFault::AnswerLost => Err(CommandError::TimedOut),
            NvmeFault::AnswerCut => {
                Err(CommandError::Transport { source: io::Error::from_raw_os_error(nix::libc::EINTR) })
            }
            _ => Ok(0),
        }
    }

    fn format(&self, state: &mut State, command: &NvmeCommand) -> Result<u32, CommandError> {
        let (dword10, secure_erase) = (command.dwords[0], command.dwords[0] >> 9 & 7);
        if self.identity.optional_admin & 2 == 0 {
            return refuse(INVALID_OPCODE);
        }
        if state.outcome == 3 {
            return refuse(SANITIZE_FAILED);
        }
        if state.fault == NvmeFault::FormatHangs {
            self.clock.advance(command.timeout);
            return Err(CommandError::TimedOut);
        }
        let whole = self.content.whole();
        match secure_erase {
            1 => self.content.fill(whole, 0),
            // As drives do that do not advertise it: taken, and nothing happens to the key.
            2 if self.identity.format & 4 != 0 => self.content.scramble(whole),
            _ => {}
        }
        // Number 1 is the format that it has; whoever asks for another gets the 512 bytes of number 0.
        if dword10 & 0xf != 1 || dword10 >> 5 & 0xf != u32::from(self.identity.protection) {
            state.block_bytes = 512;
        }
        if state.fault == NvmeFault::FormatChangesBlocks {
            state.block_bytes = 4096;
        }
        Ok(0)
    }
}

pub(super) fn refuse((code_type, code): (u8, u8)) -> Result<u32, CommandError> {
    Err(CommandError::Nvme { code_type, code, do_not_retry: true })
}

impl Drive for SimulatedNvme {
    fn size_bytes(&self) -> u64 {
        self.content.size_bytes()
    }

    fn logical_sector(&self) -> u32 {
        self.block_bytes()
    }

    fn is_read_only(&self) -> bool {
        self.content.is_read_only()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        if self.is_closed(&mut self.state()) {
            return Err(Content::unreadable(offset, buf.len()));
        }
        self.content.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), Error> {
        let mut state = self.state();
        if self.is_closed(&mut state) {
            return Err(Content::unwritable(offset, buf.len()));
        }
        state.erased = false;
        self.content.write_at(offset, buf)
    }

    fn discard(&self, offset: u64, len: u64) -> Result<(), Error> {
        if self.is_closed(&mut self.state()) {
            return Err(Content::unwritable(offset, 0));
        }
        self.content.fill(offset..offset.saturating_add(len), 0);
        Ok(())
    }

    fn flush(&self) -> Result<(), Error> {
        Ok(())
    }

    fn nvme(&self, command: &NvmeCommand, data: Transfer<'_>) -> Result<u32, CommandError> {
        let mut state = self.state();
        state.opcodes.push(command.opcode);
        self.advance(&mut state);
        self.reach(&state)?;
        let busy = state.sanitize.is_some() && !matches!(command.opcode, 0x02 | 0x06 | 0x84);
        if busy {
            return refuse(SANITIZE_IN_PROGRESS);
        }
        let answer = match (command.opcode, data) {
            (0x02, Transfer::FromDevice(buffer)) => match self.log(&mut state, command.dwords[0] & 0xff) {
                Some(page) => fill(buffer, &page),
                None => refuse((1, 0x09)),
            },
            (0x06, Transfer::FromDevice(buffer)) => match command.dwords[0] & 0xff {
                0 if command.namespace == self.identity.namespaces[0] => {
                    let seen = self.content.size_bytes() / u64::from(state.block_bytes);
                    let blocks = seen + self.identity.unseen_blocks;
                    fill(buffer, &nvme_pages::namespace(&self.identity, blocks, state.block_bytes))
                }
                1 => fill(buffer, &nvme_pages::controller(&self.identity, state.firmware.running())),
                2 | 0x10 => fill(buffer, &nvme_pages::namespaces(&self.identity)),
                _ => refuse(INVALID_FIELD),
            },
            (0x10, _) => {
                let fault = state.fault;
                state.firmware.commit(&self.identity, fault, command.dwords[0])
            }
            (0x11, Transfer::ToDevice(bytes)) => {
                state.firmware.download(&self.identity, &command.dwords, bytes)
            }
            (0x80, _) => self.format(&mut state, command),
            (0x82, Transfer::FromDevice(buffer)) => match &state.tcg {
                Some(tcg) => fill(buffer, &tcg.discovery()),
                None => refuse(INVALID_OPCODE),
            },
            (0x84, _) => self.sanitize(&mut state, &command.dwords),
            _ => refuse(INVALID_OPCODE),
        };
        self.reach(&state)?;
        answer
    }

    fn nvme_io(&self, command: &NvmeCommand, data: Transfer<'_>) -> Result<u32, CommandError> {
        let state = self.state();
        self.reach(&state)?;
        match (command.opcode, command.dwords[1] & 1, data, &self.identity.keys) {
            (0x0e, 1, Transfer::FromDevice(buffer), Some(keys)) => {
                fill(buffer, &nvme_pages::reservations(keys))
            }
            _ => refuse(INVALID_OPCODE),
        }
    }

    fn nvme_namespace(&self) -> Result<u32, CommandError> {
        Ok(self.identity.namespaces[0])
    }

    fn scsi(&self, _: &ScsiCommand<'_>, _: Transfer<'_>) -> Result<ScsiReply, CommandError> {
        Err(CommandError::NoPassThrough)
    }

    fn opal_revert_by_psid(&self, psid: &str) -> Result<(), CommandError> {
        match &mut self.state().tcg {
            Some(tcg) => tcg.revert(psid, &self.content),
            None => Err(CommandError::NoPassThrough),
        }
    }
}

fn fill(buffer: &mut [u8], data: &[u8]) -> Result<u32, CommandError> {
    let length = buffer.len().min(data.len());
    buffer[..length].copy_from_slice(&data[..length]);
    Ok(0)
}
