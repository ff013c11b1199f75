//! The step `clean_uefi_nvram` (IPA contract §5.2): boot entries whose device path matches a pattern are removed.

use regex_lite::{Regex, RegexBuilder};
use serde_json::{Value, json};
use tacit_model::{Proof, ProofResult};

use super::device_path;
use super::efivars::EfiVars;
use super::error::BootEntryError;
use super::install::{boot_name, numbers, read_order};
use super::load_option::LoadOption;
use crate::chain::chain;
use crate::machine::Machine;
use crate::managers::{Argument, DRY_RUN, StepContext, StepError, StepSpecification};

/// Entries that an operating system made: on a disk's partition, or by the name of a usual loader.
const DEFAULT_PATTERNS: [&str; 3] = [r"^HD\(", r"shim.*\.efi", r"grub.*\.efi"];
/// A pattern is an operator's, but its size decides how long matching takes.
const MAX_PATTERN: usize = 1024;

pub(crate) const STEPS: &[StepSpecification] = &[StepSpecification {
    name: "clean_uefi_nvram",
    interface: "deploy",
    clean: Some(0),
    deploy: Some(0),
    service: None,
    abortable: true,
    arguments: &[
        Argument {
            name: "match_patterns",
            description: "Regular expressions, case-insensitive, searched in each boot entry's device path; entries \
                          that match are removed.",
            required: false,
        },
        DRY_RUN,
    ],
    run: clean_uefi_nvram,
}];

struct Entry {
    number: u16,
    label: String,
    path: String,
}

impl Entry {
    fn shown(&self) -> String {
        format!("{} {} {}", boot_name(self.number), self.label, self.path)
    }
}

fn clean_uefi_nvram(machine: &Machine, context: &StepContext<'_>) -> Result<Value, StepError> {
    let patterns = patterns(context.args.get("match_patterns"))?;
    let dry_run = context.dry_run()?;
    let variables = if machine.is_uefi() { EfiVars::open(&machine.roots().efivars) } else { None };
    let Some(variables) = variables else {
        let proof = Proof {
            device: "NVRAM".to_owned(),
            method: "boot-entry-removal".to_owned(),
            actions: vec![
                "skipped: the machine was not booted by UEFI, or its variables are out of reach".to_owned(),
            ],
            ..Proof::default()
        };
        return Ok(if dry_run { json!({"plan": []}) } else { json!({"proofs": [proof]}) });
    };
    let matching = matching(&variables, &patterns).map_err(into_step)?;
    let shown: Vec<String> = matching.iter().map(Entry::shown).collect();
    if dry_run {
        return Ok(json!({ "plan": shown }));
    }
    let verification = remove(&variables, &matching).map_err(into_step)?;
    let proof = Proof {
        device: "NVRAM".to_owned(),
        method: "boot-entry-removal".to_owned(),
        actions: shown.iter().map(|entry| format!("{entry} removed")).collect(),
        verification,
        result: ProofResult::Proven,
        ..Proof::default()
    };
    Ok(json!({ "proofs": [proof] }))
}

fn patterns(given: Option<&Value>) -> Result<Vec<Regex>, StepError> {
    let invalid =
        |problem: String| StepError::InvalidParameter { parameter: "match_patterns".to_owned(), problem };
    let texts: Vec<String> = match given {
        None | Some(Value::Null) => DEFAULT_PATTERNS.map(str::to_owned).into(),
        Some(Value::Array(list)) => list
            .iter()
            .map(|pattern| {
                // An empty pattern would match every entry, that by which the machine boots from the network, too.
                let text = pattern.as_str().filter(|text| !text.is_empty() && text.len() <= MAX_PATTERN);
                text.map(str::to_owned).ok_or_else(|| invalid(format!("{pattern} is no regular expression")))
            })
            .collect::<Result<_, _>>()?,
        Some(other) => return Err(invalid(format!("must be a list of regular expressions, not {other}"))),
    };
    texts
        .iter()
        .map(|text| {
            let built = RegexBuilder::new(text).case_insensitive(true).build();
            built.map_err(|error| invalid(format!("{text}: {error}")))
        })
        .collect()
}

fn matching(variables: &EfiVars, patterns: &[Regex]) -> Result<Vec<Entry>, BootEntryError> {
    let entries = variables.boot_entries()?.into_iter().filter_map(|(number, bytes)| {
        // What is no load option, or cannot be read, has no path to be matched.
        let option = LoadOption::parse(&bytes?)?;
        let path = device_path::text(option.nodes());
        patterns.iter().any(|pattern| pattern.is_match(&path)).then_some(Entry {
            number,
            label: option.description,
            path,
        })
    });
    Ok(entries.collect())
}

/// Removes entries, from the order first, so that it never names one that is gone; then reads everything back.
fn remove(variables: &EfiVars, entries: &[Entry]) -> Result<Vec<String>, BootEntryError> {
    let doomed = |number: &u16| entries.iter().any(|entry| entry.number == *number);
    let order = read_order(variables)?;
    let kept: Vec<u16> = order.iter().copied().filter(|number| !doomed(number)).collect();
    if kept != order {
        if kept.is_empty() {
            variables.remove("BootOrder")?;
        } else {
            let bytes: Vec<u8> = kept.iter().flat_map(|number| number.to_le_bytes()).collect();
            variables.write("BootOrder", &bytes)?;
        }
    }
    let next = variables.read("BootNext")?.and_then(|bytes| numbers(&bytes).first().copied());
    if next.is_some_and(|next| doomed(&next)) {
        variables.remove("BootNext")?;
    }
    for entry in entries {
        variables.remove(&boot_name(entry.number))?;
    }
    let mut verification = Vec::new();
    for entry in entries {
        let variable = boot_name(entry.number);
        if variables.read(&variable)?.is_some() {
            return Err(BootEntryError::StillThere { variable });
        }
        verification.push(format!("{variable} is gone"));
    }
    let after = read_order(variables)?;
    if after.iter().any(doomed) {
        return Err(BootEntryError::StillThere { variable: "BootOrder".to_owned() });
    }
    verification.push(format!("BootOrder is {after:04X?}"));
    Ok(verification)
}

fn into_step(error: BootEntryError) -> StepError {
    let details = chain(&error);
    StepError::Failed {
        class: error.class(),
        code: error.code(),
        message: error.message(),
        details,
        retry: error.retry(),
        touched: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_are_none_are_refused() {
        for bad in [json!("grub"), json!([""]), json!([7]), json!(["("]), json!(["a".repeat(2000)])] {
            let error = patterns(Some(&bad)).unwrap_err();
            assert!(matches!(error, StepError::InvalidParameter { .. }), "{bad}");
        }
        assert_eq!(patterns(None).unwrap().len(), 3);
        assert!(patterns(Some(&json!(["ubuntu"]))).unwrap()[0].is_match("File(\\EFI\\Ubuntu\\x.efi)"));
    }
}
