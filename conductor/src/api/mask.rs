//! Secrets never leave the API (API contract §4.4).

use serde_json::{Map, Value};

/// What stands in for a secret.
pub(super) const MASK: &str = "******";

/// A key that contains one of these, in any case, holds a secret.
const SECRET_WORDS: [&str; 17] = [
    "password",
    "passphrase",
    "passwd",
    "secret",
    "token",
    "adminpass",
    "admin_pass",
    "new_pass",
    "sys_pswd",
    "configdrive",
    "private_key",
    "encrypted_key",
    "sslkey",
    "fernetkey",
    "snmp_auth_key",
    "snmp_priv_key",
    "authorization",
];

/// Replaces the values of secret keys, at any depth.
pub(super) fn mask(map: &mut Map<String, Value>) {
    for (key, value) in map.iter_mut() {
        let key = key.to_ascii_lowercase();
        if SECRET_WORDS.iter().any(|word| key.contains(word)) {
            *value = MASK.into();
        } else {
            mask_value(value);
        }
    }
}

fn mask_value(value: &mut Value) {
    match value {
        Value::Object(map) => mask(map),
        Value::Array(items) => items.iter_mut().for_each(mask_value),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn secrets_are_masked_at_any_depth() {
        let mut value = json!({
            "redfish_username": "root", "redfish_Password": "x", "list": [{"agent_secret_token": 1, "a": 2}],
            "snmp": {"snmp_auth_key": "k"}, "configdrive": {"meta_data": {}},
        });
        super::mask(value.as_object_mut().unwrap());
        let wanted = json!({
            "redfish_username": "root", "redfish_Password": "******",
            "list": [{"agent_secret_token": "******", "a": 2}],
            "snmp": {"snmp_auth_key": "******"}, "configdrive": "******",
        });
        assert_eq!(value, wanted);
    }
}
