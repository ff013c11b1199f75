//! The `manual` interface: a person is the BMC. Everything succeeds at once and says what that person has to do.

use tracing::info;

use super::boot::BootTarget;

pub(super) fn power_on() {
    info!("manual power interface: switch the machine on now");
}

pub(super) fn power_off() {
    info!("manual power interface: switch the machine off now");
}

pub(super) fn reboot() {
    info!("manual power interface: switch the machine off and on again now");
}

pub(super) fn insert_media(url: &str) {
    info!(url, "manual boot interface: insert or attach this medium now");
}

pub(super) fn eject_media() {
    info!("manual boot interface: remove the medium now");
}

pub(super) fn set_boot(target: BootTarget, once: bool) {
    let often = if once { "for the next start" } else { "for every start" };
    info!(
        device = target.redfish_name(),
        often, "manual boot interface: choose this boot device in the firmware now"
    );
}

pub(super) fn clear_boot() {
    info!("manual boot interface: give the choice of the boot device back to the firmware now");
}
