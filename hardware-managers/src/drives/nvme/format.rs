//! Secure erase by Format NVM (Base 2.1, 5.1.10; NVM Command Set 1.1, 4.1.4).

use std::time::Duration;

use tacit_blockdev::{CommandError, Drive, NvmeCommand, Transfer};

use super::controller::{Controller, alone};
use super::follow::Deadline;
use super::namespace::Namespace;
use super::sanitize::settle;
use crate::drives::sanitize::overwrite_deadline;
use crate::drives::{DriveError, PROGRESS_WHOLE, Sanitize, Wait};

const FORMAT_NVM: u8 = 0x80;
/// Command set specific status "Format In Progress".
const IN_PROGRESS: (u8, u8) = (0, 0x84);
const PAUSE: Duration = Duration::from_secs(1);

/// Formats the namespace with a secure erase, of its key (`crypto`) or of its user data, and in all other respects
/// as it is: block size, metadata and protection information stay. Returns what was done, a line each; nothing of
/// that is a proof.
///
/// Where the drive erases all its namespaces at once, it is asked only when all besides this one are among `others`,
/// which the caller has erased, too. The command answers when the drive is done. It cannot be cancelled, and a drive that
/// is not done at the deadline, which depends on its size, may go on.
///
/// # Errors
///
/// [`DriveError`]; [`DriveError::Unproven`] when the namespace is not what it was.
pub(crate) fn format(
    drive: &dyn Drive,
    crypto: bool,
    others: &[u32],
    wait: &Wait<'_>,
) -> Result<Vec<String>, DriveError> {
    let (what, secure_erase) =
        if crypto { ("format (crypto erase)", 2) } else { ("format (user data erase)", 1) };
    let controller = Controller::read(drive)?;
    // Some drives take a crypto erase that they do not advertise, and do who knows what.
    if !controller.can_format() || crypto && !controller.format_erases_key() {
        return Err(DriveError::Unsupported { what });
    }
    if controller.format_reaches_all() {
        alone(drive, what, others)?;
    }
    // A key is thrown away in seconds; user data may be overwritten, block by block.
    let limit =
        if crypto { Sanitize::Crypto.deadline(0, None) } else { overwrite_deadline(drive.size_bytes()) };
    let deadline = Deadline::new(limit, wait);
    settle(drive, &controller, &deadline, wait)?;
    let before = Namespace::read(drive)?;
    let dword10 = before.format_as_it_is() | secure_erase << 9;
    loop {
        let left = deadline.left(wait);
        if left.is_zero() {
            return Err(DriveError::Unfinished { operation: what, waited: deadline.waited(wait) });
        }
        let command = NvmeCommand {
            opcode: FORMAT_NVM,
            namespace: before.number,
            dwords: [dword10, 0, 0, 0, 0, 0],
            timeout: left,
        };
        match drive.nvme(&command, Transfer::None) {
            Ok(_) => break,
            // Somebody else's, which may keep the content.
            Err(CommandError::Nvme { code_type, code, .. }) if (code_type, code) == IN_PROGRESS => {
                wait.clock.pause(PAUSE.min(left));
            }
            Err(source) => return Err(DriveError::Command { command: what, source }.of_start(what)),
        }
    }
    (wait.progress)(PROGRESS_WHOLE);
    let after = Namespace::read(drive)?;
    if after.layout() != before.layout() {
        let finding = format!("the namespace was {} and is {}", before.layout(), after.layout());
        return Err(DriveError::Unproven { operation: what, finding });
    }
    Ok(vec![what.to_owned(), format!("the namespace is as it was: {}", after.layout())])
}
