use std::fmt::Write as _;

use serde_json::Value;

use super::certificate::{Erasures, Issued, NotErased};
use crate::pki::Signed;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;color:#1d2125;max-width:52rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem}section{border:1px solid #b9c0c7;border-radius:6px;padding:1rem 1.25rem;margin:1.25rem 0;break-inside:avoid}\
h2{font-size:1.1rem;margin:0 0 .75rem}dl{display:grid;grid-template-columns:11rem 1fr;gap:.2rem 1rem;margin:0}\
dt{color:#5b6570}dd{margin:0;overflow-wrap:anywhere}ul{margin:0;padding-left:1.1rem}code{font-size:.8rem;overflow-wrap:anywhere}\
section.failed{border:3px solid #a4161a;background:#fdf3f3}section.failed h2,p.failed{color:#a4161a;font-weight:600}@media print{body{margin:0;max-width:none}}";

/// Certificates, and behind them what was not erased, as one page that needs nothing else: to be read, printed and kept.
/// The last part of each statement is its signed form, so that the page itself can be checked.
pub fn page(title: &str, all: &Erasures) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title><style>{STYLE}</style></head>\n\
         <body><h1>{0}</h1>\n",
        escape(title)
    );
    if !all.not_erased.is_empty() {
        let count = all.not_erased.len();
        writeln!(
            page,
            "<p class=\"failed\">Times that a device was NOT erased: {count}. They are told at the end of this page \
             and are no certificates.</p>"
        )
        .expect("a String takes every write");
    }
    for Issued { certificate, jws } in &all.erasures {
        let heading = format!("Certificate of erasure {}", text(&certificate["id"]).unwrap_or_default());
        section(&mut page, "erased", &heading, &erased(certificate), jws);
    }
    for NotErased { statement, jws } in &all.not_erased {
        let heading = format!("NOT erased: {}", text(&statement["device"]).unwrap_or_default());
        section(&mut page, "failed", &heading, &not_erased(statement), jws);
    }
    page.push_str("</body></html>\n");
    page
}

fn section(page: &mut String, class: &str, heading: &str, lines: &Lines, jws: &Signed) {
    let jws = serde_json::to_string(jws).unwrap_or_default();
    writeln!(
        page,
        "<section class=\"{class}\"><h2>{}</h2><dl>{}</dl>\
         <details><summary>Signed form (RFC 7515)</summary><code>{}</code></details></section>",
        escape(heading),
        lines.0,
        escape(&jws)
    )
    .expect("a String takes every write");
}

fn erased(certificate: &Value) -> Lines {
    let mut lines = Lines::of_device(certificate);
    lines.add("Method", text(&certificate["method"]));
    let method = text(&certificate["method"]).unwrap_or_default();
    lines.add("Standard", text(&certificate["standard"]).map(|level| standard(&level, &method)));
    lines.add("Started", text(&certificate["started"]));
    lines.add("Finished", text(&certificate["finished"]));
    lines.add("Result", text(&certificate["result"]));
    lines.list("Done", &certificate["actions"]);
    lines.list("Verification", &certificate["verification"]);
    lines.add_origin(certificate);
    lines
}

/// Without what only a certificate can have: method, standard and verification.
fn not_erased(statement: &Value) -> Lines {
    let mut lines = Lines::of_device(statement);
    lines.add("Result", text(&statement["result"]));
    lines.list("What happened", &statement["actions"]);
    lines.add("Started", text(&statement["started"]));
    lines.add_origin(statement);
    lines
}

/// The words of NIST SP 800-88r2 for people.
fn standard(level: &str, method: &str) -> String {
    let words = match (level, method) {
        ("purge", _) => "NIST SP 800-88r2: purge",
        ("clear", _) => "NIST SP 800-88r2: clear",
        (_, "metadata-wipe") => "none: only metadata was removed, the data itself may still be on the device",
        _ => "none: what was done does not reach all of the device, see below",
    };
    words.to_owned()
}

struct Lines(String);

impl Lines {
    /// Machine and device.
    fn of_device(statement: &Value) -> Self {
        let node = &statement["node"];
        let name = text(&node["name"]).or_else(|| text(&node["uuid"])).unwrap_or_default();
        let mut lines = Self(String::new());
        lines.add("Machine", Some(name));
        lines.add("Machine's UUID", text(&node["uuid"]));
        lines.add("Machine's serial", text(&node["system_serial"]));
        lines.add("Device", text(&statement["device"]));
        for (label, key) in
            [("Serial", "serial"), ("World wide name", "wwn"), ("Model", "model"), ("Firmware", "firmware")]
        {
            lines.add(label, text(&statement[key]));
        }
        lines.add("Size", statement["size"].as_u64().map(|bytes| format!("{bytes} bytes")));
        lines
    }

    /// Who states it, and on what occasion.
    fn add_origin(&mut self, statement: &Value) {
        let claimed = text(&statement["claimed_by"]).map(|name| format!("{name}: the agent did not see it"));
        self.add("Claimed by", claimed);
        self.add("Step", text(&statement["step"]));
        self.add("Hardware manager", text(&statement["manager"]));
        self.add("Issued", text(&statement["issued_at"]));
        self.add("Issued by", text(&statement["issuer"]));
    }

    fn add(&mut self, label: &str, value: Option<String>) {
        if let Some(value) = value {
            write!(self.0, "<dt>{label}</dt><dd>{}</dd>", escape(&value))
                .expect("a String takes every write");
        }
    }

    fn list(&mut self, label: &str, items: &Value) {
        let items: Vec<String> = items.as_array().into_iter().flatten().filter_map(text).collect();
        if !items.is_empty() {
            let items: String = items.iter().map(|item| format!("<li>{}</li>", escape(item))).collect();
            write!(self.0, "<dt>{label}</dt><dd><ul>{items}</ul></dd>").expect("a String takes every write");
        }
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// What drives say of themselves is text, whatever it looks like.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pki::Signed;

    fn jws() -> Signed {
        Signed { protected: "a".into(), payload: "b".into(), signature: "c".into() }
    }

    #[test]
    fn what_a_drive_says_stays_text_and_levels_are_in_words() {
        let certificate = json!({"id": "1", "model": "<script>x</script>", "standard": "none", "method": "metadata-wipe",
                                 "verification": ["8 & more"], "node": {"name": "n"}});
        let erasures = vec![Issued { certificate, jws: jws() }];
        let page = page("t", &Erasures { erasures, not_erased: vec![] });
        assert!(page.contains("&lt;script&gt;x&lt;/script&gt;") && !page.contains("<script>"));
        assert!(page.contains("8 &amp; more") && page.contains("only metadata was removed"));
        assert!(!page.contains("NOT erased"));
    }

    #[test]
    fn what_was_not_erased_does_not_look_like_a_certificate() {
        let statement = json!({"id": "1", "device": "/dev/sdb", "serial": "S2", "result": "failed", "standard": "none",
                               "method": "overwrite", "actions": ["failed: refused: read-only"]});
        let not_erased = vec![NotErased { statement, jws: jws() }];
        let page = page("t", &Erasures { erasures: vec![], not_erased });
        for words in ["NOT erased: /dev/sdb", "S2", "failed: refused: read-only", "no certificates"] {
            assert!(page.contains(words), "{words} is missing: {page}");
        }
        for words in ["Certificate of erasure", "Standard", "overwrite"] {
            assert!(!page.contains(words), "{words} is there: {page}");
        }
    }
}
