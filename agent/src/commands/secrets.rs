//! What no log may tell: the token, with which everybody can give this agent orders, and the image server's password.
//! The kernel repeats its command line in its messages, and Ironic keeps log bundles for years.

use crate::agent::Agent;

/// What a value's name ends in, whichever of the kernel's dashes and underscores it is written with.
const NAMES: [&str; 5] = ["token", "password", "passwd", "rootpwd", "secret"];
const HIDDEN: &str = "***";
/// A shorter secret is found in every other word, and tells more by what is missing.
const SHORTEST: usize = 6;

/// Values that are hidden wherever they stand.
pub(super) struct Secrets {
    values: Vec<String>,
}

impl Secrets {
    pub(super) fn of(agent: &Agent) -> Self {
        let image_server = agent.ipa().and_then(|ipa| ipa.image_server.as_ref());
        let password = image_server.map(|(_, password)| password.clone());
        Self::new(agent.access.token().into_iter().chain(password))
    }

    fn new(values: impl Iterator<Item = String>) -> Self {
        Self { values: values.filter(|value| value.len() >= SHORTEST).collect() }
    }

    /// The text without them, and without what is assigned to a name of its kind.
    pub(super) fn hide(&self, text: &str) -> String {
        self.values.iter().fold(without_assigned(text), |text, value| text.replace(value.as_str(), HIDDEN))
    }
}

/// `name=value` up to a blank or a quote, `name="value"` up to the quote that ends it.
fn without_assigned(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('=') {
        let (before, value) = (&rest[..at], &rest[at + 1..]);
        shown.push_str(&rest[..=at]);
        rest = value;
        if !is_secret(before) {
            continue;
        }
        let length = match value.strip_prefix('"') {
            Some(quoted) => 1 + quoted.split_inclusive(['"', '\n']).next().map_or(0, str::len),
            None => value.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(value.len()),
        };
        if length > 0 {
            shown.push_str(HIDDEN);
            rest = &value[length..];
        }
    }
    shown.push_str(rest);
    shown
}

fn is_secret(before: &str) -> bool {
    NAMES.iter().any(|name| {
        let from = before.len().saturating_sub(name.len());
        before.get(from..).is_some_and(|end| end.eq_ignore_ascii_case(name))
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn secrets(values: &[&str]) -> Secrets {
        Secrets::new(values.iter().map(|value| (*value).to_owned()))
    }

    #[test]
    fn values_of_secret_names_are_hidden() {
        for (text, shown) in [
            ("quiet ipa-agent-token=abc ipa-debug=1\n", "quiet ipa-agent-token=*** ipa-debug=1\n"),
            ("ipa_agent_token=abc", "ipa_agent_token=***"),
            ("IPA-Agent_Token=abc==", "IPA-Agent_Token=***"),
            ("ipa-image-server-password=p%=d x=y", "ipa-image-server-password=*** x=y"),
            ("ipa-agent-token=\"a b\" x=y", "ipa-agent-token=*** x=y"),
            ("ipa-agent-token=\"a b", "ipa-agent-token=***"),
            (
                "[ 0.1] parameters \"a=b ipa-agent-token=abc\", next",
                "[ 0.1] parameters \"a=b ipa-agent-token=***\", next",
            ),
            ("GET /v1/commands/?agent_token=abc&wait=true 200", "GET /v1/commands/?agent_token=*** 200"),
            ("ipa-agent-token= x=y", "ipa-agent-token= x=y"),
            ("token", "token"),
            ("ä=ö tokens=1", "ä=ö tokens=1"),
            ("a=b", "a=b"),
            ("", ""),
        ] {
            assert_eq!(secrets(&[]).hide(text), shown);
        }
    }

    #[test]
    fn known_values_are_hidden_wherever_they_stand() {
        let secrets = secrets(&["0123456789abcdef", "pass word", "", "short"]);
        assert_eq!(secrets.hide("x0123456789abcdefy pass word short"), "x***y *** short");
    }
}
