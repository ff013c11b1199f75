//! Which parameters a command takes. Python says this by signature and TypeError; callers know its words.

use serde_json::{Map, Value};

use super::table::Kind;
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
    /// For synchronous commands a `TypeError`, which Ironic understands as "an older agent" (IPA contract §1.4);
    /// asynchronous ones wrap it.
    pub(super) fn check(
        &self,
        command: &str,
        kind: Kind,
        params: &Map<String, Value>,
    ) -> Result<(), CommandError> {
        let Some(what) = self.wrong(params) else { return Ok(()) };
        let (extension, bare) = command.split_once('.').unwrap_or(("", command));
        let class = match kind {
            Kind::Sync => "TypeError",
            Kind::Async => "CommandExecutionError",
        };
        Err(CommandError::new(class, format!("{}Extension.{bare}() {what}", capitalised(extension))))
    }

    fn wrong(&self, params: &Map<String, Value>) -> Option<String> {
        if let Some(name) = params.keys().find(|name| {
            let known = self.required.contains(&name.as_str()) || self.optional.contains(&name.as_str());
            !(self.open || known)
        }) {
            return Some(format!("got an unexpected keyword argument '{name}'"));
        }
        let missing: Vec<String> = self
            .required
            .iter()
            .filter(|name| !params.contains_key(**name))
            .map(|name| format!("'{name}'"))
            .collect();
        let plural = if missing.len() == 1 { "" } else { "s" };
        let names = match missing.as_slice() {
            [] => return None,
            [one] => one.clone(),
            [one, two] => format!("{one} and {two}"),
            [first @ .., last] => format!("{}, and {last}", first.join(", ")),
        };
        Some(format!("missing {} required positional argument{plural}: {names}", missing.len()))
    }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pythons_words() {
        let signature = Signature { required: &["step", "node", "ports"], optional: &["v"], open: false };
        let said = |params: Value| {
            let error = signature.check("clean.execute_clean_step", Kind::Async, params.as_object().unwrap());
            error.map_err(|error| error.error.details)
        };
        assert_eq!(said(json!({"step": 1, "node": 2, "ports": null, "v": 4})), Ok(()));
        let prefix = "CleanExtension.execute_clean_step()";
        for (params, words) in [
            (json!({"x": 1}), "got an unexpected keyword argument 'x'"),
            (json!({}), "missing 3 required positional arguments: 'step', 'node', and 'ports'"),
            (json!({"node": 1}), "missing 2 required positional arguments: 'step' and 'ports'"),
            (json!({"node": 1, "step": 1}), "missing 1 required positional argument: 'ports'"),
        ] {
            assert_eq!(said(params), Err(format!("{prefix} {words}")));
        }
    }
}
