//! What is to become of one device: a pure function of what is known of it and what the operator wants.

use tacit_model::{BlockDevice, DevicePlan, EraseStandard, PlanVerdict, PlannedMethod};

use super::findings::Findings;
use super::method::Method;
use super::policy::{Choice, Policy, Verify};
use super::reach::{elsewhere, reached};
use crate::drives::{DriveFacts, DriveHealth, DriveKind, EraseMethod};
use crate::wipe::shared_with;

const REVERT: Method = Method::Drive(EraseMethod::OpalPsid);

/// A plan, and its methods in a form that can be carried out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decision {
    pub(crate) plan: DevicePlan,
    /// As many as in the plan, in the same order.
    pub(crate) methods: Vec<Method>,
}

/// Decides. Guards come first; then the methods in the order of [`Method::ALL`], each with its reason, as far as the
/// device offers them and the policy allows them.
pub(crate) fn plan(disk: &BlockDevice, facts: &DriveFacts, policy: &Policy, findings: &Findings) -> Decision {
    let mut decision = Decision {
        plan: DevicePlan {
            device: disk.name.clone(),
            serial: disk.serial.clone().or_else(|| facts.serial.clone()),
            model: disk.model.clone().or_else(|| facts.model.clone()),
            verdict: PlanVerdict::Erase,
            reasons: Vec::new(),
            methods: Vec::new(),
        },
        methods: Vec::new(),
    };
    if let Some(reason) = skip_reason(policy, findings) {
        decision.plan.verdict = PlanVerdict::Skip;
        decision.plan.reasons.push(reason);
        return decision;
    }
    decision.plan.reasons = refusals(facts, policy, findings);
    if !decision.plan.reasons.is_empty() {
        decision.plan.verdict = PlanVerdict::Refuse;
        return decision;
    }
    let mut excluded = Vec::new();
    let chosen = choose(disk, facts, policy, findings, &mut excluded);
    decision.plan.reasons = remarks(facts, findings);
    decision.plan.reasons.append(&mut excluded);
    if chosen.is_empty() {
        decision.plan.verdict = PlanVerdict::Refuse;
        decision.plan.reasons.insert(0, no_method(policy));
    }
    for (method, reason) in chosen {
        decision.methods.push(method);
        decision.plan.methods.push(PlannedMethod {
            method: method.name().to_owned(),
            standard: reached(method, disk, facts, policy),
            estimated_seconds: estimate(method, facts),
            reason,
        });
    }
    decision
}

fn no_method(policy: &Policy) -> String {
    match policy.choice {
        Choice::Only(method) => format!("{} cannot be used on this device", method.name()),
        _ if policy.floor() > EraseStandard::None => {
            format!("no method that may be used here reaches {}", word(policy.floor()))
        }
        _ => "no method may be used on this device".to_owned(),
    }
}

fn word(standard: EraseStandard) -> &'static str {
    match standard {
        EraseStandard::None => "none",
        EraseStandard::Clear => "clear",
        EraseStandard::Purge => "purge",
    }
}

/// Whether the medium spins: the drive's word counts for more than the kernel's, which guesses.
pub(crate) fn rotational(disk: &BlockDevice, facts: &DriveFacts) -> Option<bool> {
    match facts.kind {
        DriveKind::Nvme => Some(false),
        DriveKind::Plain => facts.rotational,
        DriveKind::Scsi | DriveKind::Ata => facts.rotational.or(Some(disk.rotational)),
    }
}

/// What the operator keeps out of cleaning: the step succeeds without it.
fn skip_reason(policy: &Policy, findings: &Findings) -> Option<String> {
    if findings.skip_listed {
        return Some("named by skip_block_devices".to_owned());
    }
    if let Some(array) = &findings.kept_volume {
        return Some(format!(
            "its superblock makes it a member of the array {}, which skip_block_devices names: its content stays",
            array.entry
        ));
    }
    if findings.virtual_medium {
        return Some("a virtual medium with parameters for the ramdisk".to_owned());
    }
    if let Some(array) = &findings.member_of {
        return Some(format!("part of {array}, through which its content is erased"));
    }
    (findings.read_only && policy.skip_read_only)
        .then(|| "read-only, and agent_erase_skip_read_only is set: its content stays as it is".to_owned())
}

/// Everything that stands against erasing the device, whether it fails the step or not.
pub(super) fn obstacles(facts: &DriveFacts, policy: &Policy, findings: &Findings) -> Vec<String> {
    let mut reasons = refusals(facts, policy, findings);
    reasons.extend(skip_reason(policy, findings));
    reasons
}

/// What must not be erased, or cannot be shown to be: the step fails.
fn refusals(facts: &DriveFacts, policy: &Policy, findings: &Findings) -> Vec<String> {
    let mut reasons = Vec::new();
    if !findings.allowed {
        reasons.push("not among the disks that this agent may touch".to_owned());
    }
    reasons.extend(findings.held.iter().cloned());
    if findings.size == 0 {
        reasons
            .push("reports a size of zero: there is nothing by which an erasure could be proven".to_owned());
    }
    if findings.read_only {
        reasons.push("read-only (agent_erase_skip_read_only would leave it out)".to_owned());
    }
    if let Some(signature) = &findings.raid_member {
        reasons.push(format!(
            "carries a {signature} superblock without an array that is running: \
             delete the array (delete_configuration) or its metadata (erase_devices_metadata) first"
        ));
    }
    // Which commands it has is not known then.
    reasons.extend(facts.silent.iter().map(|question| format!("does not answer: {question}")));
    reasons.extend(shared_with(facts, !policy.wipe_special));
    if policy.wipe_special {
        return reasons;
    }
    if let Some(content) = &findings.shared {
        reasons.push(format!("holds {content}, which other machines may use"));
    }
    if let (Some(problem), false) = (&findings.unreadable, is_closed(facts)) {
        reasons.push(format!(
            "cannot be looked at for file systems that other machines use \
             (wipe_special_filesystems would go ahead): {problem}"
        ));
    }
    reasons
}

/// Whether nobody can read it, other machines included.
fn is_closed(facts: &DriveFacts) -> bool {
    facts.sanitizing.is_some()
        || facts.sanitize_failed
        || facts.security.is_some_and(|security| security.locked)
        || facts.is_tcg_locked()
}

/// What an operator should know besides.
fn remarks(facts: &DriveFacts, findings: &Findings) -> Vec<String> {
    let mut lines = Vec::new();
    if let DriveHealth::Failing(problem) = &facts.health {
        lines.push(format!("the drive reports that it fails: {problem}"));
    }
    for (bytes, by) in [
        (
            facts.hidden_bytes,
            "a host protected area or accessible max address, as `hdparm -N` shows, or an adapter that reaches no \
             further",
        ),
        (facts.overlaid_bytes, "a device configuration overlay, as `hdparm --dco-identify` shows"),
    ] {
        if let Some(bytes) = bytes {
            lines.push(format!(
                "{bytes} bytes lie behind the last address ({by}): overwriting does not reach them"
            ));
        }
    }
    if let Some(namespaces) = elsewhere(facts) {
        lines.push(format!("nothing here erases {namespaces} (detached, or another machine's)"));
    }
    if facts.may_hide {
        lines
            .push("does not tell whether it hides sectors behind the last address, or namespaces".to_owned());
    }
    if facts.sanitizing.is_some() {
        lines.push("a sanitize operation is under way in the drive: it is waited for first".to_owned());
    }
    if facts.security.is_some_and(|security| security.locked) {
        lines.push("locked by a password: those that erasing is known to leave behind are tried".to_owned());
    }
    if facts.sanitize_failed {
        lines.push("the last sanitize operation failed".to_owned());
    }
    if facts.kind == DriveKind::Plain {
        lines.push("takes no commands of a drive: what lies behind it may keep copies".to_owned());
    }
    lines.extend(findings.parameter_label.remark().map(str::to_owned));
    if !findings.siblings.is_empty() {
        lines.push(format!(
            "shares its controller with {}, which are not to be erased",
            findings.siblings.join(", ")
        ));
    }
    lines
}

/// Methods with their reasons, in the order in which they are tried.
fn choose(
    disk: &BlockDevice,
    facts: &DriveFacts,
    policy: &Policy,
    findings: &Findings,
    excluded: &mut Vec<String>,
) -> Vec<(Method, String)> {
    let floor = policy.floor();
    let psid = policy.psid([
        facts.serial.as_deref(),
        disk.serial.as_deref(),
        facts.wwn.as_deref(),
        disk.wwn.as_deref(),
    ]);
    let mut chosen: Vec<(Method, String)> = Vec::new();
    // Whether the drive has commands for this, even if they cannot be used just now.
    let mut has_own = false;
    for method in Method::ALL {
        if !is_asked_for(policy, method) {
            continue;
        }
        let standard = reached(method, disk, facts, policy);
        let reason = match method {
            Method::Drive(own) => {
                let Some(capability) = facts.capability(own).filter(|known| known.method == own) else {
                    continue;
                };
                if own == EraseMethod::OpalPsid && psid.is_none() {
                    excluded.push(format!("{}: no PSID was given", method.name()));
                    continue;
                }
                if !may_use(policy, facts, method) {
                    excluded.push(format!("{}: switched off for this node", method.name()));
                    continue;
                }
                // It needs what is on the label; without that the drive is overwritten, too.
                has_own |= own != EraseMethod::OpalPsid;
                if let (Some(problem), None) = (&capability.unusable, facts.sanitizing) {
                    excluded.push(format!("{}: {problem}", method.name()));
                    continue;
                }
                if method.reaches_siblings() && !findings.siblings.is_empty() {
                    excluded.push(format!(
                        "{}: would also empty {}",
                        method.name(),
                        findings.siblings.join(", ")
                    ));
                    continue;
                }
                // A format may be able to spare them.
                if let Some(namespaces) =
                    elsewhere(facts).filter(|_| own.is_sanitize() || own == EraseMethod::OpalPsid)
                {
                    excluded.push(format!("{}: would also empty {namespaces}", method.name()));
                    continue;
                }
                match facts.sanitizing {
                    None if own == EraseMethod::OpalPsid && facts.is_tcg_locked() => {
                        "opens the drive for the next method: nothing can be marked behind its lock"
                            .to_owned()
                    }
                    None => "the drive supports it".to_owned(),
                    Some(_) => "the drive supports it, once it is done with what is under way".to_owned(),
                }
            }
            Method::Discard if policy.choice != Choice::Only(method) && !policy.discard => continue,
            Method::Discard if !findings.discards => {
                excluded.push(format!("{}: the device does not discard", method.name()));
                continue;
            }
            // As Ironic's agent: it stands in for commands that failed, not for overwriting.
            Method::Discard
                if !has_own && policy.verify == Verify::Sample && policy.choice != Choice::Only(method) =>
            {
                excluded.push(format!("{}: overwriting reaches more", method.name()));
                continue;
            }
            Method::Discard => "agent_enable_discard_erase allows it".to_owned(),
            Method::Overwrite => match overwriting(policy, has_own, chosen.is_empty()) {
                Ok(reason) => reason.to_owned(),
                Err(problem) => {
                    excluded.push(format!("{}: {problem}", method.name()));
                    continue;
                }
            },
        };
        if standard < floor && !(method == REVERT && facts.is_tcg_locked()) {
            excluded.push(format!("{}: reaches only {}", method.name(), word(standard)));
            continue;
        }
        chosen
            .push((method, if policy.choice == Choice::Only(method) { "asked for".into() } else { reason }));
    }
    // What is locked takes nothing else before its PSID opened it.
    if facts.is_tcg_locked() {
        chosen.sort_by_key(|(method, _)| *method != REVERT);
        if chosen.len() == 1 && chosen[0].0 == REVERT {
            chosen.clear();
            excluded.push(format!(
                "{}: only opens a locked drive, and no other method may follow",
                REVERT.name()
            ));
        }
    }
    chosen
}

fn is_asked_for(policy: &Policy, method: Method) -> bool {
    match policy.choice {
        Choice::Only(only) => only == method,
        Choice::Express => matches!(
            method,
            Method::Drive(
                EraseMethod::NvmeSanitizeCrypto
                    | EraseMethod::NvmeSanitizeBlock
                    | EraseMethod::NvmeFormatCrypto
                    | EraseMethod::NvmeFormatUser
            )
        ),
        _ => method.is_offered(),
    }
}

/// Ironic's switches. A method that was asked for by name is asked for by somebody who knows.
fn may_use(policy: &Policy, facts: &DriveFacts, method: Method) -> bool {
    if matches!(policy.choice, Choice::Only(_)) || method == Method::Drive(EraseMethod::OpalPsid) {
        return true;
    }
    match facts.kind {
        DriveKind::Nvme => policy.nvme_secure_erase,
        _ => policy.ata_secure_erase,
    }
}

/// Whether overwriting may be used, and why (IPA contract §5.2, 4 to 7).
fn overwriting(policy: &Policy, has_own: bool, is_first: bool) -> Result<&'static str, &'static str> {
    if !has_own {
        return Ok(if is_first {
            "the device has no erase commands that may be used"
        } else {
            "for what the methods before it do not prove"
        });
    }
    if policy.continue_if_failed {
        return Ok(if is_first {
            "the drive's own erase commands cannot be used now, and \
             agent_continue_if_secure_erase_failed allows it"
        } else {
            "agent_continue_if_secure_erase_failed allows it when the drive's own commands fail"
        });
    }
    if matches!(policy.choice, Choice::AtLeast(EraseStandard::Clear)) {
        return Ok("reaches what was asked for when the drive's own commands fail");
    }
    Err("only for drives without erase commands, unless agent_continue_if_secure_erase_failed is set")
}

fn estimate(method: Method, facts: &DriveFacts) -> Option<u64> {
    match method {
        Method::Drive(own) => facts.capability(own)?.estimated_seconds,
        Method::Overwrite | Method::Discard => None,
    }
}
