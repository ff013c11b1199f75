//! Placeholders in URLs: `{node[uuid]}`, `{ports[0][address]}`. They are looked up, never evaluated.

use serde_json::Value;

/// Puts texts and numbers of the node and its ports in the place of what names them; `{{` and `}}` stand for braces.
///
/// # Errors
///
/// What cannot be understood or found, in words.
pub fn expand(text: &str, node: &Value, ports: &Value) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        expanded.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(doubled) = rest.strip_prefix(brace) {
            expanded.push_str(brace);
            rest = doubled;
            continue;
        }
        let end = rest
            .find('}')
            .filter(|_| brace == "{")
            .ok_or_else(|| format!("a brace in '{text}' has no other"))?;
        expanded.push_str(&look_up(&rest[..end], node, ports)?);
        rest = &rest[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn look_up(path: &str, node: &Value, ports: &Value) -> Result<String, String> {
    let unknown = || format!("{{{path}}} is neither {{node[…]}} nor {{ports[…][…]}}");
    let (root, mut keys) = path.split_once('[').ok_or_else(unknown)?;
    let mut value = match root {
        "node" => node,
        "ports" => ports,
        _ => return Err(unknown()),
    };
    loop {
        let (key, rest) = keys.split_once(']').ok_or_else(unknown)?;
        let found = match value {
            Value::Array(items) => key.parse::<usize>().ok().and_then(|at| items.get(at)),
            other => other.get(key),
        };
        value = found.ok_or_else(|| format!("{{{path}}}: there is no '{key}'"))?;
        match rest.strip_prefix('[') {
            Some(more) => keys = more,
            None if rest.is_empty() => break,
            None => return Err(unknown()),
        }
    }
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(format!("{{{path}}} is neither text nor a number")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        let node = json!({"uuid": "abc", "properties": {"cpus": 4}, "driver_info": {}});
        expand(text, &node, &json!([{"address": "52:54:00:00:00:01"}]))
    }

    #[test]
    fn known_paths_are_filled_in() {
        let text = "http://h/{node[uuid]}/{node[properties][cpus]}/{ports[0][address]}?{{x}}";
        assert_eq!(expanded(text).unwrap(), "http://h/abc/4/52:54:00:00:00:01?{x}");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "{node}",
            "{node.uuid}",
            "{node[uuid].__class__}",
            "{node[uuid]!r}",
            "{node[uuid]:>99999999}",
            "{node[driver_info]}",
            "{node[missing]}",
            "{ports[1][address]}",
            "{ports[-1][address]}",
            "{other[x]}",
            "{node[uuid}",
            "{",
            "}",
        ] {
            assert!(expanded(text).is_err(), "{text}");
        }
    }
}
