//! What an agent may fetch for a clean step: files and firmware images that its arguments name by URL.

use serde_json::{Map, Value};
use tacit_model::expand;

use crate::images::{Allowance, Origin};

/// The URLs in a step's arguments and, for `inject_files`, in the node's properties, with their placeholders filled in
/// as the agent does it; nothing when there are none. `params` are what the agent gets: `node`, `ports`, `step`.
///
/// # Errors
///
/// A placeholder that names nothing, in words.
pub(super) fn allowance(params: &Map<String, Value>) -> Result<Option<Allowance>, String> {
    let of = |name: &str| params.get(name).unwrap_or(&Value::Null);
    let (node, ports, step) = (of("node"), of("ports"), of("step"));
    let files = match step["step"].as_str() {
        Some("inject_files") => [&step["args"]["files"], &node["properties"]["inject_files"]],
        _ => [&Value::Null; 2],
    };
    let files = files.into_iter().filter_map(Value::as_array).flatten().map(|file| (file, "content"));
    let images = match step["step"].as_str() {
        Some("update_firmware") => step["args"]["images"].as_array(),
        _ => None,
    };
    let images = images.into_iter().flatten().map(|image| (image, "url"));
    let mut allowance = Allowance::new();
    let mut count = 0;
    for (item, key) in files.chain(images).filter(|(item, _)| item["transport"] != "direct") {
        let Some(url) = item[key].as_str().filter(|text| is_url(text)) else { continue };
        let url = if key == "content" { expand(url, node, ports)? } else { url.to_owned() };
        allowance.allow(&url, Origin::Http { url: url.clone(), authorization: None });
        count += 1;
    }
    Ok((count > 0).then_some(allowance))
}

fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(step: Value, properties: Value) -> Result<Option<Allowance>, String> {
        let params = json!({
            "node": {"uuid": "abc", "properties": properties}, "ports": [{"address": "52:54:00:00:00:01"}], "step": step,
        });
        allowance(params.as_object().unwrap())
    }

    #[test]
    fn files_behind_urls_may_be_fetched_and_nothing_else() {
        let files = json!([
            {"path": "/etc/a", "content": "http://h/{node[uuid]}"}, {"path": "/etc/b", "content": "aGk="},
            {"path": "/etc/c", "content": "http://h/c", "transport": "direct"},
        ]);
        let step = json!({"step": "inject_files", "args": {"files": files}});
        let own = json!({"inject_files": [{"path": "/x", "content": "https://h/{ports[0][address]}"}]});
        let allowed = of(step, own).unwrap().unwrap();
        for url in ["http://h/abc", "https://h/52:54:00:00:00:01"] {
            assert!(allowed.origin(url).is_some(), "{url}");
        }
        for url in ["http://h/c", "http://h/{node[uuid]}", "http://h/"] {
            assert!(allowed.origin(url).is_none(), "{url}");
        }
    }

    #[test]
    fn firmware_is_fetched_from_where_it_is_named() {
        let step = json!({"step": "update_firmware", "args": {"images": [{"url": "http://h/fw{0}.bin"}]}});
        assert!(of(step, json!({})).unwrap().unwrap().origin("http://h/fw{0}.bin").is_some());
    }

    #[test]
    fn other_steps_fetch_nothing() {
        let own = json!({"inject_files": [{"content": "http://h/a"}]});
        assert!(
            of(json!({"step": "erase_devices", "args": {"files": [{"content": "http://h"}]}}), own)
                .unwrap()
                .is_none()
        );
        assert!(of(json!({"step": "inject_files", "args": {}}), json!({})).unwrap().is_none());
    }

    #[test]
    fn placeholders_that_name_nothing_are_told_before_anything_is_sent() {
        let files = json!([{"content": "http://h/{node[missing]}"}]);
        let told = of(json!({"step": "inject_files", "args": {"files": files}}), json!({})).unwrap_err();
        assert!(told.contains("missing"), "{told}");
    }
}
