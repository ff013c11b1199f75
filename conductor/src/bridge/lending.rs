//! Images for nodes that have no way out: what a command needs is found in it, and served over lent connections.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use serde_json::{Map, Value};

use crate::agents::{AgentClient, keep_lent};
use crate::chain::chain;
use crate::images::{Allowance, Origin};

use super::handle::{Handle, Task};
use super::session::LentImage;
use super::shared::Shared;

/// Keys of `image_info` that may hold an address, beside `urls`.
const ADDRESSES: [&str; 6] =
    ["checksum", "os_hash_value", "configdrive", "image_signature", "bmap_url", "bmap_checksum"];
/// Keys with credentials: the bridge uses them, the node has no need to know them.
const CREDENTIALS: [&str; 4] = [
    "image_request_authorization",
    "image_server_auth_strategy",
    "image_server_user",
    "image_server_password",
];
/// More URLs than any image has.
const MOST: usize = 64;

/// Looks for an image in a command's parameters. Where there is one, the agent is told to borrow, and what it may
/// fetch is returned.
pub(super) fn borrow_images(params: &mut Map<String, Value>) -> Vec<LentImage> {
    let drive = config_drive(params).or_else(|| config_drive(step_args(params)?));
    if let Some(info) = image_info(params) {
        return rewrite(info, drive);
    }
    step_args_mut(params).and_then(image_info).map_or_else(Vec::new, |info| rewrite(info, drive))
}

/// Takes the word that [`borrow_images`] has put into a step out of the agent's echo of it: Ironic gets back what it
/// sent.
pub(super) fn unborrow(command: &mut Value) -> bool {
    let steps = ["deploy_step", "clean_step", "service_step"];
    let Some(result) = command.get_mut("command_result").and_then(Value::as_object_mut) else { return false };
    let mut changed = false;
    for step in steps {
        let info = result.get_mut(step).and_then(|step| step.pointer_mut("/args/image_info"));
        changed |= info.and_then(Value::as_object_mut).is_some_and(|info| info.remove("transport").is_some());
    }
    changed
}

fn step_args(params: &Map<String, Value>) -> Option<&Map<String, Value>> {
    params.get("step")?.get("args")?.as_object()
}

fn step_args_mut(params: &mut Map<String, Value>) -> Option<&mut Map<String, Value>> {
    params.get_mut("step")?.get_mut("args")?.as_object_mut()
}

fn image_info(holder: &mut Map<String, Value>) -> Option<&mut Map<String, Value>> {
    holder.get_mut("image_info")?.as_object_mut()
}

fn config_drive(holder: &Map<String, Value>) -> Option<String> {
    holder.get("configdrive")?.as_str().filter(|text| is_url(text)).map(str::to_owned)
}

fn rewrite(info: &mut Map<String, Value>, drive: Option<String>) -> Vec<LentImage> {
    let authorization = authorization(info);
    let images: Vec<String> = info
        .get("urls")
        .and_then(Value::as_array)
        .map(|urls| urls.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    let server = images.first().and_then(|url| origin(url));
    let others = ADDRESSES.iter().filter_map(|key| info.get(*key)?.as_str()).filter(|text| is_url(text));
    let mut urls: Vec<String> =
        images.iter().cloned().chain(others.map(str::to_owned)).chain(drive).collect();
    urls.dedup();
    urls.truncate(MOST);
    for key in CREDENTIALS {
        info.remove(key);
    }
    info.insert("transport".to_owned(), "lent".into());
    let lent = |url: String| {
        // Credentials are for the image's server alone.
        let own = server.is_some() && origin(&url) == server;
        LentImage { authorization: authorization.clone().filter(|_| own), url }
    };
    urls.into_iter().map(lent).collect()
}

/// The `Authorization` header that Ironic wants the image server to see (IPA contract §2.2).
fn authorization(info: &Map<String, Value>) -> Option<String> {
    let text = |key: &str| info.get(key).and_then(Value::as_str);
    if text("image_server_auth_strategy") == Some("http_basic")
        && let (Some(user), Some(password)) = (text("image_server_user"), text("image_server_password"))
    {
        return Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
    }
    let encoded = text("image_request_authorization")?;
    let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    if decoded.is_none() {
        tracing::warn!(
            "image_request_authorization is not base64 of a header; the image is asked for without"
        );
    }
    decoded
}

fn is_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

fn origin(url: &str) -> Option<(String, String, Option<u16>)> {
    let url = Url::parse(url).ok()?;
    Some((url.scheme().to_owned(), url.host_str()?.to_owned(), url.port_or_known_default()))
}

/// Lends connections as long as the session says that its command needs images.
pub(super) fn resume(shared: &Arc<Shared>, handle: &Arc<Handle>, client: &AgentClient) {
    let images = handle.with_session(|session| session.images.clone()).unwrap_or_default();
    if images.is_empty() {
        handle.set_lending(None);
        return;
    }
    if handle.lends() {
        return;
    }
    let mut allowance = Allowance::new();
    for LentImage { url, authorization } in images {
        allowance.allow(&url, Origin::Http { url: url.clone(), authorization });
    }
    shared.metrics.count(super::metrics::Counter::ImagesLent, "lent");
    let (client, key) = (client.clone(), handle.key().to_owned());
    handle.set_lending(Some(Task::spawn(async move {
        let error = keep_lent(client, Arc::new(allowance)).await;
        tracing::warn!(node = key, "no more connections are lent: {}", chain(&error));
    })));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn command(info: Value) -> Map<String, Value> {
        let step = json!({"step": "write_image", "interface": "deploy",
                          "args": {"image_info": info, "configdrive": "http://d.example/drive"}});
        json!({"step": step, "node": {}, "ports": []}).as_object().unwrap().clone()
    }

    #[test]
    fn the_urls_of_a_step_and_no_secret_of_theirs() {
        let mut params = command(json!({
            "id": "i", "urls": ["http://h/i.raw", "http://mirror/i.raw"], "checksum": "http://h:80/SUMS",
            "os_hash_value": "ab".repeat(32), "image_server_auth_strategy": "http_basic",
            "image_server_user": "u", "image_server_password": "p",
        }));
        let images = borrow_images(&mut params);
        let basic = Some(format!("Basic {}", STANDARD.encode("u:p")));
        let expected = [
            ("http://h/i.raw", basic.clone()),
            ("http://mirror/i.raw", None),
            ("http://h:80/SUMS", basic),
            ("http://d.example/drive", None),
        ];
        let found: Vec<_> =
            images.iter().map(|image| (image.url.as_str(), image.authorization.clone())).collect();
        assert_eq!(found, expected);
        let info = &params["step"]["args"]["image_info"];
        assert_eq!(info["transport"], "lent");
        assert!(CREDENTIALS.iter().all(|key| info.get(key).is_none()), "{info}");
    }

    #[test]
    fn bearer_headers_are_decoded_and_other_commands_left_alone() {
        let header = STANDARD.encode("Bearer abc");
        let mut params =
            json!({"image_info": {"urls": ["https://r/x"], "image_request_authorization": header}})
                .as_object()
                .unwrap()
                .clone();
        assert_eq!(borrow_images(&mut params)[0].authorization.as_deref(), Some("Bearer abc"));
        for other in
            [json!({}), json!({"step": {"step": "erase_devices"}}), json!({"step": 1, "image_info": []})]
        {
            let mut params = other.as_object().unwrap().clone();
            assert!(borrow_images(&mut params).is_empty());
            assert_eq!(Value::Object(params), other);
        }
    }

    #[test]
    fn ironic_gets_its_own_step_back() {
        let sent = json!({"step": "write_image", "args": {"image_info": {"urls": ["http://h/i"]}}});
        let mut params = json!({"step": sent}).as_object().unwrap().clone();
        borrow_images(&mut params);
        let mut answer = json!({"command_result": {"deploy_step": params["step"], "deploy_result": null}});
        assert!(unborrow(&mut answer));
        assert_eq!(answer["command_result"]["deploy_step"], sent);
        assert!(!unborrow(&mut answer) && !unborrow(&mut json!({"command_result": null})));
    }
}
