//! Plans, proofs and sizes for people.

use std::fmt::Write as _;

use tacit_model::{DevicePlan, EraseStandard, PlanVerdict, Proof, ProofResult};

/// `1.0 TB`, decimal as on a disk's label.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// `2 h 5 min`.
pub(super) fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

fn standard(standard: EraseStandard) -> &'static str {
    match standard {
        EraseStandard::None => "no standard",
        EraseStandard::Clear => "clear",
        EraseStandard::Purge => "purge",
    }
}

fn head(device: &str, model: Option<&str>, serial: Option<&str>) -> String {
    let mut text = device.to_owned();
    for (word, value) in [("", model), ("serial ", serial)] {
        if let Some(value) = value {
            text.push_str(&format!("  {word}{value}"));
        }
    }
    text
}

/// A plan, several lines.
pub(super) fn plan(plan: &DevicePlan) -> String {
    let mut text = head(&plan.device, plan.model.as_deref(), plan.serial.as_deref());
    text.push_str(match plan.verdict {
        PlanVerdict::Erase => "\n  will be erased",
        PlanVerdict::Skip => "\n  is left alone",
        PlanVerdict::Refuse => "\n  REFUSED",
    });
    for (number, method) in (1..).zip(&plan.methods) {
        let takes = method
            .estimated_seconds
            .map(|seconds| format!(", about {}", duration(seconds)))
            .unwrap_or_default();
        let then = if number == 1 { "by" } else { "else by" };
        let name = &method.method;
        write!(text, "\n  {then} {name} ({}{takes}): {}", standard(method.standard), method.reason)
            .expect("writing to a String succeeds");
    }
    for reason in &plan.reasons {
        text.push_str(&format!("\n  - {reason}"));
    }
    text
}

/// A proof, several lines.
pub(super) fn proof(proof: &Proof) -> String {
    let mut text = head(&proof.device, proof.model.as_deref(), proof.serial.as_deref());
    match proof.result {
        ProofResult::Proven => {
            text.push_str(&format!("\n  erased by {} ({}), proven", proof.method, standard(proof.standard)));
        }
        ProofResult::Skipped => text.push_str("\n  was left alone"),
        ProofResult::Failed => text.push_str("\n  is NOT erased"),
    }
    for action in &proof.actions {
        text.push_str(&format!("\n  - {action}"));
    }
    for line in &proof.verification {
        let mark = if line.starts_with("NOT erased") { '✗' } else { '✓' };
        text.push_str(&format!("\n  {mark} {line}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use tacit_model::PlannedMethod;

    use super::*;

    #[test]
    fn plans_say_what_is_tried_in_which_order_and_why() {
        let method = |name: &str, standard, seconds| PlannedMethod {
            method: name.into(),
            standard,
            estimated_seconds: seconds,
            reason: "because".into(),
        };
        let shown = plan(&DevicePlan {
            device: "/dev/nvme0n1".into(),
            serial: Some("S1".into()),
            model: None,
            verdict: PlanVerdict::Erase,
            reasons: vec!["noted".into()],
            methods: vec![
                method("nvme-sanitize-crypto", EraseStandard::Purge, Some(7500)),
                method("overwrite", EraseStandard::Clear, None),
            ],
        });
        assert_eq!(
            shown,
            "/dev/nvme0n1  serial S1\n  will be erased\n  by nvme-sanitize-crypto (purge, about 2 h 5 min): because\n  \
             else by overwrite (clear): because\n  - noted"
        );
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1_000_204_886_016), "1.0 TB");
    }

    #[test]
    fn what_is_not_erased_is_not_ticked_off() {
        let proof = Proof {
            device: "/dev/sda".into(),
            method: "overwrite".into(),
            verification: vec!["all 8 bytes read back".into(), "NOT erased: 512 bytes".into()],
            result: ProofResult::Proven,
            ..Proof::default()
        };
        let shown = super::proof(&proof);
        assert!(shown.contains("✓ all 8 bytes") && shown.contains("✗ NOT erased: 512 bytes"), "{shown}");
        assert!(super::proof(&proof.failed("broken")).contains("is NOT erased"));
    }
}
