//! What is to become of one drive.

use std::cmp::Ordering;

use tacit_blockdev::Drive;

use super::image::ImageRequest;
use super::revision::compare;
use crate::drives::DriveError;
use crate::drives::nvme::{Controller, FirmwareSlots};

/// The plan for one drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No image is made for it.
    NoImage,
    /// It runs what it should.
    UpToDate,
    /// It will run it from its next reset on.
    Pending,
    /// To be put into a slot.
    Update { slot: u8 },
    /// It must not be, and why.
    Refused(String),
}

/// A drive, its plan and what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) controller: Controller,
    /// Place of its image in the list, where there is one.
    pub(super) image: Option<usize>,
    pub(super) verdict: Verdict,
}

/// Asks the drive, and changes nothing.
///
/// # Errors
///
/// [`DriveError::Command`].
pub(super) fn plan(
    drive: &dyn Drive,
    images: &[ImageRequest],
    allow_downgrade: bool,
) -> Result<Target, DriveError> {
    let controller = Controller::read(drive)?;
    let model = controller.model.clone().unwrap_or_default();
    let mut fitting = images.iter().enumerate().filter(|(_, image)| image.fits(&model));
    let Some((at, image)) = fitting.next() else {
        return Ok(Target { controller, image: None, verdict: Verdict::NoImage });
    };
    let verdict = if fitting.next().is_some() {
        Verdict::Refused("more than one image is made for this model".to_owned())
    } else {
        judge(drive, &controller, image, allow_downgrade)?
    };
    Ok(Target { controller, image: Some(at), verdict })
}

fn judge(
    drive: &dyn Drive,
    controller: &Controller,
    image: &ImageRequest,
    allow_downgrade: bool,
) -> Result<Verdict, DriveError> {
    let running = controller.firmware.as_deref().unwrap_or_default();
    if !controller.can_update_firmware() {
        return Ok(if running == image.version {
            Verdict::UpToDate
        } else {
            Verdict::Refused("the drive takes no firmware".to_owned())
        });
    }
    let slots = FirmwareSlots::read(drive)?;
    match slots.pending() {
        Some(pending) if pending == image.version => return Ok(Verdict::Pending),
        Some(pending) => {
            return Ok(Verdict::Refused(format!(
                "{pending} waits for a reset of the drive, which comes first"
            )));
        }
        None if running == image.version => return Ok(Verdict::UpToDate),
        None => {}
    }
    if !allow_downgrade && compare(running, &image.version) != Ordering::Less {
        let version = &image.version;
        return Ok(Verdict::Refused(format!("{version} does not come after {running}, which runs now")));
    }
    Ok(match slots.choose(controller, image.slot) {
        Ok(slot) => Verdict::Update { slot },
        Err(error) => Verdict::Refused(error.to_string()),
    })
}
