//! What a BMC says when it refuses: the error body of Redfish (DSP0266, "Error responses") in all the shapes seen.

use std::fmt;

use serde_json::Value;

use super::resource::Fields;

/// One entry of `@Message.ExtendedInfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The last part of `MessageId`; registry names and versions differ between BMCs that mean the same.
    pub id: String,
    pub text: String,
    pub args: Vec<String>,
    pub related_properties: Vec<String>,
    pub severity: String,
}

/// An error body, parsed as far as it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorBody {
    pub entries: Vec<Message>,
    /// `error.message`.
    pub message: String,
    /// What was not JSON at all, cut to a line's length.
    pub plain: String,
}

/// Longest text of a BMC that is repeated to an operator, in characters.
const SHOWN: usize = 400;

impl ErrorBody {
    pub(super) fn parse(body: &Value) -> Self {
        let error = body.get("error").unwrap_or(body);
        let entries = match error.get("@Message.ExtendedInfo").or_else(|| body.get("@Message.ExtendedInfo")) {
            Some(Value::Array(entries)) => entries.iter().map(Message::parse).collect(),
            Some(entry @ Value::Object(_)) => vec![Message::parse(entry)],
            _ => Vec::new(),
        };
        let message = error.text("message").unwrap_or_default().to_owned();
        let plain = body.as_str().map(shorten).unwrap_or_default();
        Self { entries, message, plain }
    }

    /// Whether an entry carries this message id (its last dotted part).
    pub(super) fn has(&self, id: &str) -> bool {
        self.entries.iter().any(|entry| entry.id == id)
    }

    /// Whether `needle` occurs anywhere in what the BMC said (texts, arguments, related properties), without regard to
    /// case.
    pub(super) fn mentions(&self, needle: &str) -> bool {
        let needle = needle.to_ascii_lowercase();
        self.texts().any(|text| text.to_ascii_lowercase().contains(&needle))
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        let entries = self.entries.iter().flat_map(|entry| {
            [&entry.id, &entry.text].into_iter().chain(&entry.args).chain(&entry.related_properties)
        });
        [&self.message, &self.plain].into_iter().chain(entries).map(String::as_str)
    }

    /// Whether a body that came with a success status says that the request failed all the same (iDRAC 13G).
    pub(super) fn is_failure_in_disguise(&self) -> bool {
        self.entries.iter().any(|entry| entry.severity.eq_ignore_ascii_case("critical"))
    }

    /// The same with every occurrence of a secret blotted out; BMCs do echo request bodies.
    pub(super) fn without(mut self, secret: &str) -> Self {
        if secret.is_empty() {
            return self;
        }
        let blot = |text: &mut String| {
            if text.contains(secret) {
                *text = text.replace(secret, "***");
            }
        };
        blot(&mut self.message);
        blot(&mut self.plain);
        for entry in &mut self.entries {
            blot(&mut entry.text);
            entry.args.iter_mut().for_each(blot);
        }
        self
    }
}

impl fmt::Display for ErrorBody {
    /// The most severe entry, else the body's own message, else the plain text; empty when the BMC said nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let worst = ["critical", "warning"]
            .iter()
            .find_map(|severity| {
                self.entries
                    .iter()
                    .find(|entry| entry.severity.eq_ignore_ascii_case(severity) && !entry.text.is_empty())
            })
            .map(|entry| entry.text.as_str());
        let first = self.entries.first();
        let text = worst
            .or(Some(self.message.as_str()).filter(|text| !text.is_empty()))
            .or(first.map(|entry| entry.text.as_str()).filter(|text| !text.is_empty()))
            .or(Some(self.plain.as_str()).filter(|text| !text.is_empty()))
            .or(first.map(|entry| entry.id.as_str()))
            .unwrap_or_default();
        f.write_str(&shorten(text))
    }
}

impl Message {
    fn parse(entry: &Value) -> Self {
        let id = entry.text("MessageId").unwrap_or_default();
        Self {
            id: id.rsplit('.').next().unwrap_or_default().to_owned(),
            text: entry.text("Message").unwrap_or_default().to_owned(),
            args: entry.texts("MessageArgs").into_iter().map(str::to_owned).collect(),
            related_properties: entry.texts("RelatedProperties").into_iter().map(str::to_owned).collect(),
            severity: entry
                .text("Severity")
                .or_else(|| entry.text("MessageSeverity"))
                .unwrap_or_default()
                .to_owned(),
        }
    }
}

/// One line of bounded length, without control characters.
fn shorten(text: &str) -> String {
    let mut line: String =
        text.trim().chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.trim().chars().nth(SHOWN).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(body: Value) -> ErrorBody {
        ErrorBody::parse(&body)
    }

    #[test]
    fn the_most_severe_entry_is_shown() {
        let body = parse(json!({"error": {"code": "x", "message": "general", "@Message.ExtendedInfo": [
            {"MessageId": "Base.1.8.1.Success", "Message": "fine", "Severity": "OK"},
            {"MessageId": "Base.1.8.1.A", "Message": "hm", "MessageSeverity": "Warning"},
            {"MessageId": "IDRAC.2.8.SYS518", "Message": "not ready", "Severity": "Critical"}]}}));
        assert_eq!(body.to_string(), "not ready");
        assert!(body.has("SYS518"));
        assert!(body.is_failure_in_disguise());
    }

    #[test]
    fn odd_shapes() {
        let single = parse(json!({"error": {"@Message.ExtendedInfo": {"MessageId": "Base.1.0.GeneralError",
            "MessageArgs": ["TransferProtocolType"], "Message": "The parameter is missing"}}}));
        assert_eq!(single.to_string(), "The parameter is missing");
        assert!(single.mentions("TransferProtocolType"));
        let emulator = parse(json!({"error": {"message": "no such thing", "@Message.ExtendedInfo": [
            {"MessageId": "Base.1.0.GeneralError"}]}}));
        assert_eq!(emulator.to_string(), "no such thing");
        assert_eq!(parse(json!("Bad\nGateway")).to_string(), "Bad Gateway");
        assert_eq!(parse(json!({"error": 3})).to_string(), "");
        assert_eq!(parse(json!("é".repeat(1000))).to_string().chars().count(), SHOWN + 1);
    }

    #[test]
    fn secrets_are_blotted_out() {
        let body = parse(json!({"error": {"message": "bad password s3cr3t!", "@Message.ExtendedInfo": [
            {"MessageArgs": ["s3cr3t!"], "Message": "s3cr3t! is too short"}]}}))
        .without("s3cr3t!");
        assert!(!format!("{body:?}").contains("s3cr3t!"));
        assert!(body.to_string().contains("***"));
    }
}
