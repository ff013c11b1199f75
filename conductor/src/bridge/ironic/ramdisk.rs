//! What a ramdisk says to Ironic (IPA contract §3.2, §3.3, §7.4).

use std::time::Duration;

use reqwest::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::client::{Ironic, IronicError};

/// The oldest version that takes all fields of a heartbeat that the bridge sends; a lookup needs 1.62.
const RAMDISK_VERSION: &str = "1.68";
/// The oldest version that takes an inspection for a node by its UUID.
const INSPECTION_VERSION: &str = "1.84";
/// The IPA whose API the agent speaks: Ironic wants to know.
const AGENT_VERSION: &str = "13.0.0";
/// What Ironic says instead of a token that it has told somebody already.
const MASKED: &str = "******";
/// As in Ironic's own default.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(300);
/// Whatever Ironic says: not more often, and not so seldom that its own wait (30 minutes) ends.
const HEARTBEAT_BOUNDS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(1500));

/// The token in a lookup's answer.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::bridge) enum Token {
    Given(String),
    /// Somebody has it already: the boot medium, or whoever asked first.
    Masked,
    /// This Ironic knows no tokens.
    Absent,
}

#[derive(Clone, PartialEq, Eq)]
pub(in crate::bridge) struct Lookup {
    pub(in crate::bridge) node: Uuid,
    pub(in crate::bridge) token: Token,
    pub(in crate::bridge) heartbeat_timeout: Duration,
}

/// What a heartbeat says.
pub(in crate::bridge) struct Beat<'a> {
    pub(in crate::bridge) callback_url: &'a str,
    pub(in crate::bridge) token: &'a str,
    /// PEM.
    pub(in crate::bridge) verify_ca: Option<&'a str>,
}

impl Ironic {
    /// Asks who a node is, and for its token. 404 when Ironic does not wait for it now.
    pub(in crate::bridge) async fn lookup(
        &self,
        uuid: Option<Uuid>,
        macs: &[String],
    ) -> Result<Lookup, IronicError> {
        let (uuid, macs) = (uuid.map(|uuid| uuid.to_string()), macs.join(","));
        let mut query = Vec::new();
        if let Some(uuid) = &uuid {
            query.push(("node_uuid", uuid.as_str()));
        }
        if !macs.is_empty() {
            query.push(("addresses", macs.as_str()));
        }
        let answer = self.call(Method::GET, "v1/lookup", &query, RAMDISK_VERSION, None).await?;
        parse(&answer)
    }

    /// Tells Ironic that the agent is there.
    pub(in crate::bridge) async fn heartbeat(&self, node: Uuid, beat: &Beat<'_>) -> Result<(), IronicError> {
        let mut body = json!({
            "callback_url": beat.callback_url,
            "agent_version": AGENT_VERSION,
            "agent_token": beat.token,
        });
        if let Some(pem) = beat.verify_ca {
            body["agent_verify_ca"] = pem.into();
        }
        let path = format!("v1/heartbeat/{node}");
        self.call(Method::POST, &path, &[], RAMDISK_VERSION, Some(&body)).await.map(drop)
    }

    /// Hands over what an inspection found. 404 when Ironic does not inspect the node now.
    pub(in crate::bridge) async fn continue_inspection(
        &self,
        uuid: Option<Uuid>,
        data: Map<String, Value>,
    ) -> Result<(), IronicError> {
        let uuid = uuid.map(|uuid| uuid.to_string());
        let query: Vec<_> = uuid.iter().map(|uuid| ("node_uuid", uuid.as_str())).collect();
        let body = Value::Object(data);
        let path = "v1/continue_inspection";
        self.call(Method::POST, path, &query, INSPECTION_VERSION, Some(&body)).await.map(drop)
    }
}

fn parse(answer: &Value) -> Result<Lookup, IronicError> {
    let node = answer["node"]["uuid"].as_str().and_then(|text| text.parse().ok());
    let node = node.ok_or_else(|| IronicError::Malformed("it names no node".to_owned()))?;
    let config = &answer["config"];
    let token = match config["agent_token"].as_str() {
        Some(MASKED) => Token::Masked,
        Some(token) if is_token(token) => Token::Given(token.to_owned()),
        Some(_) => return Err(IronicError::Malformed("its token is none".to_owned())),
        None => Token::Absent,
    };
    let timeout =
        config["heartbeat_timeout"].as_f64().filter(|seconds| seconds.is_finite() && *seconds > 0.0);
    let timeout = timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let (least, most) = HEARTBEAT_BOUNDS;
    let heartbeat_timeout = timeout.unwrap_or(HEARTBEAT_TIMEOUT).clamp(least, most);
    Ok(Lookup { node, token, heartbeat_timeout })
}

/// As IPA sees it: at least 32 characters; and what may stand in a URL, not more than anybody needs.
fn is_token(text: &str) -> bool {
    (32..=512).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = "66666666-0000-4000-8000-000000000006";

    #[test]
    fn tokens_and_intervals_are_taken_with_care() {
        let token = "S9Xpf-8DoPQm07u8kxbkMLOjpYSA7wu1yPNdDdsHckk";
        let answer = |config: Value| parse(&json!({"node": {"uuid": NODE}, "config": config}));
        let lookup = answer(json!({"agent_token": token, "heartbeat_timeout": 30})).ok().unwrap();
        assert!(lookup.token == Token::Given(token.into()) && lookup.heartbeat_timeout.as_secs() == 30);
        assert!(answer(json!({"agent_token": "******"})).ok().unwrap().token == Token::Masked);
        assert!(answer(json!({"agent_token": null})).ok().unwrap().token == Token::Absent);
        for timeout in [json!(0), json!(-1), json!("x"), json!(null)] {
            let lookup = answer(json!({"heartbeat_timeout": timeout})).ok().unwrap();
            assert_eq!(lookup.heartbeat_timeout, HEARTBEAT_TIMEOUT, "{timeout}");
        }
        assert_eq!(
            answer(json!({"heartbeat_timeout": 1e300})).ok().unwrap().heartbeat_timeout.as_secs(),
            300
        );
        assert_eq!(answer(json!({"heartbeat_timeout": 1e9})).ok().unwrap().heartbeat_timeout.as_secs(), 1500);
        for token in ["short", "with space and more than thirty-two characters", &"x".repeat(600)] {
            assert!(answer(json!({"agent_token": token})).is_err(), "{token}");
        }
        assert!(parse(&json!({"node": {"uuid": "nobody"}})).is_err());
        assert!(parse(&Value::Null).is_err());
    }
}
