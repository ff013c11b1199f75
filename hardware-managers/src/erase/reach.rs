//! What a method is worth on one device, with what it leaves behind.

use tacit_model::{BlockDevice, EraseStandard};

use super::method::Method;
use super::plan::rotational;
use super::policy::Policy;
use crate::drives::{DriveFacts, DriveKind, EraseMethod};

/// What a method reaches on this device when it is proven: what it reaches in general, unless the device keeps
/// something from it.
pub(crate) fn reached(
    method: Method,
    disk: &BlockDevice,
    facts: &DriveFacts,
    policy: &Policy,
) -> EraseStandard {
    let zeros_may_pass = method == Method::Discard
        && facts.kind != DriveKind::Plain
        // What reads as zeros today may read as it was tomorrow, unless the drive promises otherwise.
        && !facts.provisioning.reads_zeroes;
    // Behind a lock nothing can be marked, and a second revert need not erase: it opens the drive for another method.
    let only_opens = method == Method::Drive(EraseMethod::OpalPsid) && facts.is_tcg_locked();
    // The proof is the drive's by its serial number: what is elsewhere on it counts, too.
    if left_behind(method, facts) > 0 || elsewhere(facts).is_some() || only_opens || zeros_may_pass {
        return EraseStandard::None;
    }
    method.standard(rotational(disk, facts), policy.verify)
}

/// Bytes behind the last address that the method does not reach.
pub(super) fn left_behind(method: Method, facts: &DriveFacts) -> u64 {
    let hidden = facts.hidden_bytes.unwrap_or(0);
    let overlaid = facts.overlaid_bytes.unwrap_or(0);
    match method {
        Method::Drive(
            EraseMethod::OpalPsid | EraseMethod::NvmeFormatCrypto | EraseMethod::NvmeFormatUser,
        ) => 0,
        Method::Drive(own) if own.is_sanitize() => 0,
        // As far as READ NATIVE MAX ADDRESS EXT tells, no further (ACS-3, 7.47.3).
        Method::Drive(EraseMethod::AtaSecurityErase { .. }) => overlaid,
        Method::Drive(_) | Method::Discard | Method::Overwrite => hidden.saturating_add(overlaid),
    }
}

/// Namespaces of the drive that this machine does not see. No method reaches them: what would is refused, because they
/// may be somebody's.
pub(super) fn elsewhere(facts: &DriveFacts) -> Option<String> {
    let numbers: Vec<String> = facts.unseen_namespaces.iter().map(u32::to_string).collect();
    (!numbers.is_empty())
        .then(|| format!("namespaces {} of the drive, which this machine does not see", numbers.join(", ")))
}

/// What a proof has to say of what the host cannot address: what is not erased.
pub(super) fn not_erased(method: Method, facts: &DriveFacts) -> Vec<String> {
    let left = left_behind(method, facts);
    let hidden = format!("{left} bytes behind the last address, which the host cannot reach");
    let lines = (left > 0).then_some(hidden).into_iter().chain(elsewhere(facts));
    lines.map(|left| format!("NOT erased: {left}")).collect()
}

/// The same: what nobody has seen to be.
pub(super) fn unseen(method: Method, facts: &DriveFacts) -> Vec<String> {
    let all = facts.hidden_bytes.unwrap_or(0).saturating_add(facts.overlaid_bytes.unwrap_or(0));
    let left = left_behind(method, facts);
    let mut lines = Vec::new();
    if all > left {
        lines.push(format!(
            "{} bytes behind the last address cannot be read back: that {} reaches them is the drive's word",
            all - left,
            method.name()
        ));
    }
    if facts.may_hide {
        lines.push(
            "the drive does not tell whether it hides sectors behind the last address, or namespaces"
                .to_owned(),
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drives::Provisioning;
    use crate::erase::policy::Verify;

    fn standard(method: Method, facts: &DriveFacts) -> EraseStandard {
        let policy = Policy { verify: Verify::Full, ..Policy::default() };
        reached(method, &BlockDevice::default(), facts, &policy)
    }

    #[test]
    fn what_lies_behind_the_last_address_is_reached_by_few() {
        use EraseMethod::{AtaSanitizeBlock, AtaSecurityErase};
        let (sanitize, security) =
            (Method::Drive(AtaSanitizeBlock), Method::Drive(AtaSecurityErase { enhanced: false }));
        let area = DriveFacts { hidden_bytes: Some(512), ..DriveFacts::default() };
        let overlay = DriveFacts { overlaid_bytes: Some(1024), ..area.clone() };
        assert_eq!(standard(Method::Overwrite, &DriveFacts::default()), EraseStandard::Clear);
        assert_eq!(standard(Method::Overwrite, &area), EraseStandard::None);
        assert_eq!(standard(security, &area), EraseStandard::Clear);
        assert_eq!(standard(security, &overlay), EraseStandard::None);
        assert_eq!(standard(sanitize, &overlay), EraseStandard::Purge);
        assert!(not_erased(security, &overlay)[0].starts_with("NOT erased: 1024 bytes behind"));
        assert!(
            unseen(security, &overlay)[0]
                .starts_with("512 bytes behind the last address cannot be read back")
        );
        let known = DriveFacts::default();
        assert_eq!(
            (not_erased(Method::Overwrite, &known), unseen(Method::Overwrite, &known)),
            (Vec::new(), Vec::new())
        );
    }

    #[test]
    fn zeros_that_are_not_promised_prove_nothing_for_tomorrow() {
        let drive = |reads_zeroes| DriveFacts {
            kind: DriveKind::Nvme,
            provisioning: Provisioning { unmap: true, reads_zeroes },
            ..DriveFacts::default()
        };
        assert_eq!(standard(Method::Discard, &drive(true)), EraseStandard::Clear);
        assert_eq!(standard(Method::Discard, &drive(false)), EraseStandard::None);
        assert_eq!(standard(Method::Discard, &DriveFacts::default()), EraseStandard::Clear);
    }

    #[test]
    fn a_namespace_that_nobody_sees_takes_the_drives_standard_away() {
        let drive = DriveFacts { unseen_namespaces: vec![2, 9], ..DriveFacts::default() };
        for method in [Method::Overwrite, Method::Drive(EraseMethod::NvmeFormatCrypto)] {
            assert_eq!(standard(method, &drive), EraseStandard::None);
            let line = "NOT erased: namespaces 2, 9 of the drive, which this machine does not see";
            assert_eq!(not_erased(method, &drive), [line]);
        }
    }
}
