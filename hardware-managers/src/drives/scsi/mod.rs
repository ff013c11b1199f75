//! SCSI disks: what they say of themselves (SPC-6, SBC-5), sanitize, unmap and write same, reservations, health.

mod capacity;
mod command;
mod facts;
mod health;
mod inquiry;
mod reservations;
mod sanitize;
mod sense;
mod supported;
#[cfg(test)]
mod tests;
mod unmap;
mod wwn;

pub(crate) use facts::{fill, is_ata};
pub(crate) use sanitize::{sanitize, settle};
pub(crate) use sense::{AtaRegisters, Sense};
pub(crate) use unmap::{unmap, write_same};

pub(super) use command::{Failure, QUICK, send, send_once};
pub(super) use inquiry::rotation_rate;
pub(super) use sense::{ABORTED_COMMAND, ILLEGAL_REQUEST, UNIT_ATTENTION};
