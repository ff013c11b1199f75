//! The answer of Ironic's lookup, as a bridge or `poll.set_node_info` hands it on (IPA contract §3.2).

use serde_json::Value;

/// Shorter tokens are not taken.
const SHORTEST_TOKEN: usize = 32;
/// Ironic's word for "I gave it away already".
const GIVEN_AWAY: &str = "******";

/// What of a lookup answer matters here.
#[derive(Debug)]
pub struct Lookup<'a> {
    pub node: &'a Value,
    /// A token that replaces the one in force.
    pub token: Option<&'a str>,
    /// Ironic gave the token to somebody before.
    pub given_away: bool,
    /// `agent_md5_checksum_enable`.
    pub md5_enabled: Option<bool>,
}

/// Not a lookup answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    #[error("node_info must be an object with 'node' and 'config'")]
    Shape,
    #[error("node_info: the node has no 'uuid'")]
    Uuid,
}

impl<'a> Lookup<'a> {
    /// # Errors
    ///
    /// [`LookupError`]. What is missing of `config` is no error.
    pub fn of(info: &'a Value) -> Result<Self, LookupError> {
        let (Some(node), Some(config)) = (info.get("node"), info.get("config").filter(|c| c.is_object()))
        else {
            return Err(LookupError::Shape);
        };
        if node.get("uuid").and_then(Value::as_str).is_none() {
            return Err(LookupError::Uuid);
        }
        let token = config.get("agent_token").and_then(Value::as_str);
        Ok(Self {
            node,
            token: token.filter(|token| token.len() >= SHORTEST_TOKEN),
            given_away: token == Some(GIVEN_AWAY),
            md5_enabled: config.get("agent_md5_checksum_enable").and_then(Value::as_bool),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_taken_of_a_lookup() {
        let token = "t".repeat(32);
        let answer = json!({"node": {"uuid": "u"}, "config": {"heartbeat_timeout": 300, "agent_token": token,
                            "agent_md5_checksum_enable": true, "new": []}});
        let lookup = Lookup::of(&answer).unwrap();
        assert_eq!((lookup.token, lookup.md5_enabled), (Some(token.as_str()), Some(true)));
        assert!(!lookup.given_away);
        for (weak, given_away) in [(json!("short"), false), (json!("******"), true), (json!(null), false)] {
            let answer = json!({"node": {"uuid": "u"}, "config": {"agent_token": weak}});
            let lookup = Lookup::of(&answer).unwrap();
            assert_eq!((lookup.token, lookup.given_away), (None, given_away));
        }
    }

    #[test]
    fn what_is_no_lookup() {
        for wrong in
            [json!(null), json!({}), json!({"node": {"uuid": "u"}}), json!({"config": {}}), json!([])]
        {
            assert_eq!(Lookup::of(&wrong).unwrap_err(), LookupError::Shape, "{wrong}");
        }
        assert_eq!(Lookup::of(&json!({"node": {}, "config": {}})).unwrap_err(), LookupError::Uuid);
    }
}
