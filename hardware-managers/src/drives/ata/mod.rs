//! ATA drives behind a SCSI / ATA translation: what they say of themselves (ACS-5, SAT-5), the Security feature set,
//! sanitize, SMART.

mod command;
mod facts;
mod identify;
mod password;
mod sanitize;
mod security;
mod smart;
#[cfg(test)]
mod tests;
mod trim;
mod words;

pub(crate) use facts::fill;
pub(crate) use sanitize::{sanitize, settle};
pub(crate) use security::erase;
pub(crate) use trim::trim;

pub(super) use command::{AtaCommand, AtaTransfer, send};
