//! Lenient reading of Redfish resources: a missing or badly typed property is absent, never an error, because BMCs
//! send null lists, empty strings and impossible dates in resources that are otherwise good.

use serde_json::Value;

/// Property getters on a JSON resource.
pub(super) trait Fields {
    /// A non-empty string.
    fn text(&self, key: &str) -> Option<&str>;
    fn flag(&self, key: &str) -> Option<bool>;
    /// The `@odata.id` of a navigation property, without a trailing slash.
    fn link(&self, key: &str) -> Option<&str>;
    /// The strings of a list; none for null, absent or anything else.
    fn texts(&self, key: &str) -> Vec<&str>;
    /// The `@odata.id`s of a list of references.
    fn links(&self, key: &str) -> Vec<&str>;
    /// The target of an action, `#Type.Name` in `Actions`.
    fn action_target(&self, name: &str) -> Option<&str>;
}

impl Fields for Value {
    fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.get(key)?.as_bool()
    }

    fn link(&self, key: &str) -> Option<&str> {
        reference(self.get(key)?)
    }

    fn texts(&self, key: &str) -> Vec<&str> {
        list(self, key).iter().filter_map(Value::as_str).collect()
    }

    fn links(&self, key: &str) -> Vec<&str> {
        list(self, key).iter().filter_map(reference).collect()
    }

    fn action_target(&self, name: &str) -> Option<&str> {
        self.get("Actions")?.get(name)?.text("target")
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn reference(value: &Value) -> Option<&str> {
    let uri = value.text("@odata.id")?;
    Some(if uri.len() > 1 { uri.strip_suffix('/').unwrap_or(uri) } else { uri })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bad_fields_are_absent() {
        let value = json!({"UUID": "", "Members": null, "Inserted": "yes", "Systems": {"@odata.id": "/redfish/v1/Systems/"},
            "Image": 4, "Actions": {"#A.B": {"target": "/x"}}, "L": [{"@odata.id": "/a"}, {}, 3, {"@odata.id": "/b/"}]});
        assert_eq!(value.text("UUID"), None);
        assert_eq!(value.text("Image"), None);
        assert_eq!(value.flag("Inserted"), None);
        assert!(value.links("Members").is_empty());
        assert_eq!(value.link("Systems"), Some("/redfish/v1/Systems"));
        assert_eq!(value.links("L"), ["/a", "/b"]);
        assert_eq!(value.action_target("#A.B"), Some("/x"));
        assert_eq!(value.action_target("#A.C"), None);
    }
}
