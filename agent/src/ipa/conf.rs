//! Configuration files as oslo.config reads them: sections, `name = value`, continued lines.

use std::collections::BTreeMap;

/// Values of one section by option name; of several the last counts.
pub(super) fn section(text: &str, wanted: &str) -> BTreeMap<String, String> {
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let mut inside = wanted == "DEFAULT";
    let mut last: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            last = None;
            continue;
        }
        // A line that begins with a blank goes on with the one before.
        if line.starts_with([' ', '\t'])
            && let Some(value) = last.as_ref().and_then(|name| values.get_mut(name))
        {
            value.push('\n');
            value.push_str(trimmed);
            continue;
        }
        last = None;
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = name == wanted;
            continue;
        }
        let Some(at) = trimmed.find(['=', ':']).filter(|_| inside) else { continue };
        let name = trimmed[..at].trim().to_owned();
        values.insert(name.clone(), unquoted(trimmed[at + 1..].trim()).to_owned());
        last = Some(name);
    }
    values
}

fn unquoted(text: &str) -> &str {
    ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_oslo_config_reads() {
        let text = "listen_port = 1\n[other]\nlisten_port=2\n[DEFAULT]\n# comment\nlisten_port: 9998\n\
                    collectors = default,\n  logs\nagent_token = 'a = b'\nno equals sign\n[x]\nagent_token = z\n";
        let values = section(text, "DEFAULT");
        assert_eq!(values["listen_port"], "9998");
        assert_eq!(values["collectors"], "default,\nlogs");
        assert_eq!(values["agent_token"], "a = b");
        assert_eq!(values.len(), 3);
        assert_eq!(section(text, "other")["listen_port"], "2");
        assert!(section(text, "none").is_empty());
    }
}
