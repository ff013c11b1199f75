//! What of a node's `driver_info` matters when its agent is IPA.

use serde_json::Value;

use crate::agents::IpaSettings;
use crate::node::Node;

/// How to speak with the node's IPA; `None` where Tacit's own agent answers.
pub(in crate::flows) fn settings(node: &Node) -> Result<Option<IpaSettings>, String> {
    IpaSettings::of(&node.driver_info).map_err(|error| error.to_string())
}

/// URL of the medium that boots IPA; `None` where that is not the conductor's affair.
pub(in crate::flows) fn medium(node: &Node) -> Result<Option<&str>, String> {
    const KEY: &str = "driver_info.deploy_iso";
    match node.driver_info.get("deploy_iso") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => match reqwest::Url::parse(text.trim()) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Some(text.trim())),
            _ => Err(format!("{KEY} is neither an http:// nor an https:// URL")),
        },
        Some(_) => Err(format!("{KEY} is not a text")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn medium_is_a_url_or_none() {
        let mut node = Node::new("redfish");
        let mut of = |value: Value| {
            node.driver_info.insert("deploy_iso".into(), value);
            medium(&node).map(|url| url.map(str::to_owned))
        };
        assert_eq!(of(json!(null)), Ok(None));
        assert_eq!(of(json!(" http://h/ipa.iso ")), Ok(Some("http://h/ipa.iso".into())));
        for wrong in [json!("file:///ipa.iso"), json!("ipa.iso"), json!(7)] {
            assert!(of(wrong).unwrap_err().starts_with("driver_info.deploy_iso "));
        }
    }
}
