use serde_json::{Map, json};
use tacit_model::{BlockDevice, PlanVerdict};

use super::{MIB, free, methods};
use crate::drives::{
    DriveFacts, DriveKind, EraseCapability, EraseMethod, Reservations, SecurityState, TcgState,
};
use crate::erase::findings::Findings;
use crate::erase::plan::{Decision, plan};
use crate::erase::policy::Policy;
use crate::wipe::{KeptArray, ParameterLabel};

const SIZE: u64 = 64 * MIB;

fn ata() -> DriveFacts {
    let usable = EraseCapability::usable;
    DriveFacts {
        kind: DriveKind::Ata,
        serial: Some("WD1".to_owned()),
        rotational: Some(true),
        erase: vec![
            usable(EraseMethod::AtaSecurityErase { enhanced: false }),
            usable(EraseMethod::AtaSecurityErase { enhanced: true }),
        ],
        security: Some(SecurityState { supported: true, ..SecurityState::default() }),
        ..DriveFacts::default()
    }
}

fn frozen() -> DriveFacts {
    let mut facts = ata();
    for capability in &mut facts.erase {
        capability.unusable = Some("the firmware froze the security settings".to_owned());
    }
    facts
}

fn decide(facts: &DriveFacts, policy: &Policy, findings: &Findings) -> Decision {
    let disk = BlockDevice { name: "/dev/sda".to_owned(), size: SIZE, ..BlockDevice::default() };
    plan(&disk, facts, policy, findings)
}

fn policy(knobs: serde_json::Value, args: serde_json::Value) -> Policy {
    let node = json!({"driver_internal_info": knobs, "driver_info": {}});
    let args: Map<_, _> = args.as_object().unwrap().clone();
    Policy::read(&node, &args).unwrap()
}

#[test]
fn enhanced_erase_comes_before_the_plain_one_and_overwriting_is_not_offered_unasked() {
    let decision = decide(&ata(), &Policy::default(), &free(SIZE));
    assert_eq!(methods(&decision.plan), ["ata-security-erase-enhanced", "ata-security-erase"]);
    assert!(decision.plan.reasons.iter().any(|reason| reason.starts_with("overwrite: only for drives")));
    let clear = decide(&ata(), &policy(json!({}), json!({"method": "clear"})), &free(SIZE));
    assert_eq!(methods(&clear.plan)[2], "overwrite");
    // What counts as purge depends on the medium.
    let purge = policy(json!({}), json!({"method": "purge"}));
    assert_eq!(methods(&decide(&ata(), &purge, &free(SIZE)).plan), ["ata-security-erase-enhanced"]);
    let flash = DriveFacts { rotational: Some(false), ..ata() };
    assert_eq!(decide(&flash, &purge, &free(SIZE)).plan.verdict, PlanVerdict::Refuse);
}

#[test]
fn a_frozen_drive_is_overwritten_only_when_the_operator_allows_it() {
    let refused = decide(&frozen(), &Policy::default(), &free(SIZE));
    assert_eq!(refused.plan.verdict, PlanVerdict::Refuse);
    assert!(refused.plan.reasons.iter().any(|reason| reason.contains("froze")), "{:?}", refused.plan.reasons);
    let allowed = policy(json!({"agent_continue_if_secure_erase_failed": true}), json!({}));
    assert_eq!(methods(&decide(&frozen(), &allowed, &free(SIZE)).plan), ["overwrite"]);
    let off = policy(json!({"agent_enable_ata_secure_erase": false}), json!({}));
    assert_eq!(methods(&decide(&frozen(), &off, &free(SIZE)).plan), ["overwrite"]);
}

#[test]
fn discarding_stands_in_for_commands_that_fail_as_in_ironic() {
    let discard = policy(json!({"agent_enable_discard_erase": true}), json!({}));
    assert_eq!(methods(&decide(&frozen(), &discard, &free(SIZE)).plan), ["verified-discard"]);
    assert_eq!(methods(&decide(&DriveFacts::default(), &discard, &free(SIZE)).plan), ["overwrite"]);
    let without = Findings { discards: false, ..free(SIZE) };
    assert_eq!(decide(&frozen(), &discard, &without).plan.verdict, PlanVerdict::Refuse);
}

#[test]
fn each_guard_has_its_verdict_and_its_reason() {
    type Change = fn(&mut Findings);
    let cases: [(Change, PlanVerdict, &str); 11] = [
        (|found| found.allowed = false, PlanVerdict::Refuse, "may touch"),
        (|found| found.size = 0, PlanVerdict::Refuse, "size of zero"),
        (|found| found.read_only = true, PlanVerdict::Refuse, "read-only"),
        (|found| found.skip_listed = true, PlanVerdict::Skip, "skip_block_devices"),
        (
            |found| found.kept_volume = Some(KeptArray { entry: "data".into(), uuid: [1; 16] }),
            PlanVerdict::Skip,
            "the array data, which skip_block_devices names",
        ),
        (|found| found.virtual_medium = true, PlanVerdict::Skip, "virtual medium"),
        (|found| found.held.push("mounted at /".into()), PlanVerdict::Refuse, "mounted at /"),
        (|found| found.member_of = Some("/dev/md0".into()), PlanVerdict::Skip, "part of /dev/md0"),
        (|found| found.raid_member = Some("md RAID".into()), PlanVerdict::Refuse, "md RAID superblock"),
        (|found| found.shared = Some("VMFS".into()), PlanVerdict::Refuse, "other machines"),
        (|found| found.unreadable = Some("EIO".into()), PlanVerdict::Refuse, "cannot be looked at"),
    ];
    for (change, verdict, reason) in cases {
        let mut findings = free(SIZE);
        change(&mut findings);
        let decision = decide(&ata(), &Policy::default(), &findings);
        assert_eq!(decision.plan.verdict, verdict, "{reason}");
        assert!(decision.plan.reasons[0].contains(reason), "{:?}", decision.plan.reasons);
        assert!(decision.methods.is_empty() && decision.plan.methods.is_empty());
    }
    let mut findings = free(SIZE);
    findings.shared = Some("VMFS".into());
    let meant = policy(json!({"wipe_special_filesystems": true}), json!({}));
    assert_eq!(decide(&ata(), &meant, &findings).plan.verdict, PlanVerdict::Erase);
}

#[test]
fn a_label_that_exempts_nothing_is_told() {
    let findings = Findings { parameter_label: ParameterLabel::Pretended, ..free(SIZE) };
    let decision = decide(&ata(), &Policy::default(), &findings);
    assert_eq!(decision.plan.verdict, PlanVerdict::Erase);
    assert!(decision.plan.reasons[0].contains("erased like any other"), "{:?}", decision.plan.reasons);
}

#[test]
fn what_did_not_answer_is_refused_whatever_the_policy() {
    let findings = Findings::not_asked("did not answer within 900 s".to_owned());
    let meant = policy(json!({"wipe_special_filesystems": true}), json!({"method": "overwrite"}));
    let decision = decide(&DriveFacts::default(), &meant, &findings);
    assert_eq!(decision.plan.verdict, PlanVerdict::Refuse);
    assert_eq!(decision.plan.reasons, ["did not answer within 900 s"]);
}

#[test]
fn reservations_of_other_initiators_refuse_whatever_the_policy() {
    let reservations = Reservations::Registered { keys: vec![1, 2], holder: Some(0xabc) };
    let facts = DriveFacts { reservations, ..ata() };
    let meant = policy(json!({"wipe_special_filesystems": true}), json!({"method": "overwrite"}));
    let decision = decide(&facts, &meant, &free(SIZE));
    assert_eq!(decision.plan.verdict, PlanVerdict::Refuse);
    assert!(decision.plan.reasons[0].contains("0xabc"));
}

#[test]
fn a_locked_drive_is_reverted_first_and_only_with_its_psid() {
    let mut facts = ata();
    facts.erase.push(EraseCapability::usable(EraseMethod::OpalPsid));
    facts.tcg = Some(TcgState { opal: true, locked: true, ..TcgState::default() });
    let findings = Findings { unreadable: Some("EIO".to_owned()), ..free(SIZE) };
    let without = decide(&facts, &Policy::default(), &findings);
    assert!(without.plan.reasons.iter().any(|reason| reason.contains("no PSID was given")));
    assert!(!methods(&without.plan).contains(&"opal-revert-psid"));
    let with = policy(json!({}), json!({"opal_psids": {"wd1": "ABCDEFGHJKLMNPQRSTUVWXYZ01234567"}}));
    assert_eq!(methods(&decide(&facts, &with, &findings).plan)[0], "opal-revert-psid");
    // Its PSID appears nowhere.
    let text = serde_json::to_string(&decide(&facts, &with, &findings).plan).unwrap();
    assert!(!text.contains("ABCDEFGH"));
}

#[test]
fn a_method_asked_for_by_name_is_the_only_one_and_needs_no_switch() {
    let named =
        policy(json!({"agent_enable_ata_secure_erase": false}), json!({"method": "ata-security-erase"}));
    let decision = decide(&ata(), &named, &free(SIZE));
    assert_eq!(methods(&decision.plan), ["ata-security-erase"]);
    assert_eq!(decision.plan.methods[0].reason, "asked for");
    let absent = policy(json!({}), json!({"method": "nvme-format-user"}));
    let decision = decide(&ata(), &absent, &free(SIZE));
    assert_eq!(decision.plan.verdict, PlanVerdict::Refuse);
    assert!(decision.plan.reasons[0].contains("nvme-format-user cannot be used"));
}
