//! Whether a name still stands for what was looked at: drives come back under other names than they had before.

use tacit_model::BlockDevice;

use crate::machine::Machine;

/// A device as the kernel shows it now, whatever hardware managers make of it.
pub(super) fn seen(machine: &Machine, name: &str) -> Option<BlockDevice> {
    let only = Machine::new(machine.roots().clone(), Some(vec![name.into()]));
    only.disks().into_iter().find(|disk| disk.name == name)
}

/// What is not as it was, in words.
pub(super) fn difference(before: &BlockDevice, now: Option<&BlockDevice>) -> Option<String> {
    let Some(now) = now else { return Some("it is no longer there".to_owned()) };
    let names = [
        ("serial", &before.serial, &now.serial),
        ("world wide name", &before.wwn, &now.wwn),
        ("world wide name", &before.wwn_with_extension, &now.wwn_with_extension),
    ];
    let other = names.into_iter().find(|(_, before, now)| before != now);
    if let Some((what, before, now)) = other {
        let text = |name: &Option<String>| name.clone().unwrap_or_else(|| "none".to_owned());
        return Some(format!(
            "another drive has this name now: its {what} was {} and is {}",
            text(before),
            text(now)
        ));
    }
    (before.size != now.size).then(|| format!("its size was {} bytes and is {}", before.size, now.size))
}
