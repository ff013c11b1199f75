//! Which parameters a command takes. Python says this by signature and TypeError; callers know its words.

use serde_json::{Map, Value};

use crate::jobs::CommandError;

/// Names of a command's parameters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signature {
    pub(super) required: &'static [&'static str],
    pub(super) optional: &'static [&'static str],
    /// Whether other names are taken, too.
    pub(super) open: bool,
}

impl Signature {
    pub(super) const NONE: Self = Self { required: &[], optional: &[], open: false };

    /// # Errors
    ///
    /// A `TypeError`, which Ironic understands as "an older agent" (IPA contract §1.4).
    pub(super) fn check(&self, command: &str, params: &Map<String, Value>) -> Result<(), CommandError> {
        let bare = command.split_once('.').map_or(command, |(_, bare)| bare);
        if let Some(name) = params.keys().find(|name| {
            let known = self.required.contains(&name.as_str()) || self.optional.contains(&name.as_str());
            !(self.open || known)
        }) {
            let text = format!("{bare}() got an unexpected keyword argument '{name}'");
            return Err(CommandError::new("TypeError", text));
        }
        let missing: Vec<String> = self
            .required
            .iter()
            .filter(|name| !params.contains_key(**name))
            .map(|name| format!("'{name}'"))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let text = format!(
            "{bare}() missing {} required positional argument{}: {}",
            missing.len(),
            if missing.len() == 1 { "" } else { "s" },
            missing.join(" and ")
        );
        Err(CommandError::new("TypeError", text))
    }
}
