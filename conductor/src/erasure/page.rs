use std::fmt::Write as _;

use serde_json::Value;

use super::certificate::Issued;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;color:#1d2125;max-width:52rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem}section{border:1px solid #b9c0c7;border-radius:6px;padding:1rem 1.25rem;margin:1.25rem 0;break-inside:avoid}\
h2{font-size:1.1rem;margin:0 0 .75rem}dl{display:grid;grid-template-columns:11rem 1fr;gap:.2rem 1rem;margin:0}\
dt{color:#5b6570}dd{margin:0;overflow-wrap:anywhere}ul{margin:0;padding-left:1.1rem}code{font-size:.8rem;overflow-wrap:anywhere}\
.none{color:#8a5a00}@media print{body{margin:0;max-width:none}}";

/// Certificates as one page that needs nothing else: to be read, printed and kept. Its last part of each certificate
/// is the signed form, so that the page itself can be checked.
pub fn page(title: &str, certificates: &[Issued]) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title><style>{STYLE}</style></head>\n\
         <body><h1>{0}</h1>\n",
        escape(title)
    );
    for issued in certificates {
        section(&mut page, issued);
    }
    page.push_str("</body></html>\n");
    page
}

fn section(page: &mut String, issued: &Issued) {
    let certificate = &issued.certificate;
    let node = &certificate["node"];
    let name = text(&node["name"]).or_else(|| text(&node["uuid"])).unwrap_or_default();
    let mut lines = Lines(String::new());
    lines.add("Machine", Some(name));
    lines.add("Machine's UUID", text(&node["uuid"]));
    lines.add("Machine's serial", text(&node["system_serial"]));
    lines.add("Device", text(&certificate["device"]));
    for (label, key) in
        [("Serial", "serial"), ("World wide name", "wwn"), ("Model", "model"), ("Firmware", "firmware")]
    {
        lines.add(label, text(&certificate[key]));
    }
    lines.add("Size", certificate["size"].as_u64().map(|bytes| format!("{bytes} bytes")));
    lines.add("Method", text(&certificate["method"]));
    let method = text(&certificate["method"]).unwrap_or_default();
    lines.add("Standard", text(&certificate["standard"]).map(|level| standard(&level, &method)));
    lines.add("Started", text(&certificate["started"]));
    lines.add("Finished", text(&certificate["finished"]));
    lines.add("Result", text(&certificate["result"]));
    lines.list("Done", &certificate["actions"]);
    lines.list("Verification", &certificate["verification"]);
    let claimed = text(&certificate["claimed_by"]).map(|name| format!("{name}: the agent did not see it"));
    lines.add("Claimed by", claimed);
    lines.add("Step", text(&certificate["step"]));
    lines.add("Hardware manager", text(&certificate["manager"]));
    lines.add("Issued", text(&certificate["issued_at"]));
    lines.add("Issued by", text(&certificate["issuer"]));
    let id = text(&certificate["id"]).unwrap_or_default();
    let jws = serde_json::to_string(&issued.jws).unwrap_or_default();
    let body = lines.0;
    writeln!(
        page,
        "<section><h2>Certificate of erasure {}</h2><dl>{body}</dl>\
         <details><summary>Signed form (RFC 7515)</summary><code>{}</code></details></section>",
        escape(&id),
        escape(&jws)
    )
    .expect("a String takes every write");
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

    #[test]
    fn what_a_drive_says_stays_text_and_levels_are_in_words() {
        let jws = Signed { protected: "a".into(), payload: "b".into(), signature: "c".into() };
        let certificate = json!({"id": "1", "model": "<script>x</script>", "standard": "none", "method": "metadata-wipe",
                                 "verification": ["8 & more"], "node": {"name": "n"}});
        let page = page("t", &[Issued { certificate, jws }]);
        assert!(page.contains("&lt;script&gt;x&lt;/script&gt;") && !page.contains("<script>"));
        assert!(page.contains("8 &amp; more") && page.contains("only metadata was removed"));
    }
}
