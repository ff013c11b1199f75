//! Passes Ironic's commands on to the agent.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Method;
use serde_json::{Map, Value, json};

use crate::agents::AgentClient;

use super::handle::Handle;
use super::judge::works;
use super::keep::KeepError;
use super::lending;
use super::proxy::{Answer, COMMAND_LIMIT, Refusal, parse, unkept, unreachable};
use super::session::{Known, Session};
use super::shared::Shared;

/// Longest id of a command that is taken for one, in bytes.
const ID_LENGTH: usize = 128;

/// Passes a command on, exactly once. What it may do is on disk before the agent hears of it.
pub(super) async fn pass_on(
    shared: &Arc<Shared>,
    handle: &Arc<Handle>,
    client: &AgentClient,
    query: &str,
    name: String,
    mut params: Map<String, Value>,
) -> Result<Answer, Refusal> {
    let unkept = |error: KeepError| unkept(handle, &error);
    let _on_its_way = handle.pass_on();
    let images = lending::borrow_images(&mut params);
    let passed_on = |id: &str| {
        let (id, name) = (id.to_owned(), bare(&name).to_owned());
        Some(Known { id, name, finished: false, succeeded: false, reported: false })
    };
    let (mut last_before, mut images_before) = (None, Vec::new());
    if works(bare(&name)) {
        let note = |session: &mut Session| {
            last_before = std::mem::replace(&mut session.last, passed_on(""));
            // What runs now, if the agent is busy, goes on.
            images_before.clone_from(&session.images);
            session.images.extend(images.iter().cloned());
        };
        handle.change(note).await.map_err(unkept)?;
        lending::resume(shared, handle, client);
    }
    let path = format!("/v1/commands/{query}");
    let body = Bytes::from(json!({"name": name, "params": params}).to_string());
    let answer = client.v1(Method::POST, &path, Some(body), COMMAND_LIMIT).await;
    let (status, body) = answer.map_err(|error| unreachable(handle, &error))?;
    let mut answer = parse(status, &body)?;
    if status.is_success() {
        lending::unborrow(&mut answer);
    }
    if works(bare(&name)) {
        let id = answer["id"].as_str().filter(|id| id.len() <= ID_LENGTH).unwrap_or_default();
        let replace = !images_before.is_empty();
        let settle = |session: &mut Session| {
            (session.last, session.images) = if status.is_success() {
                (passed_on(id), images)
            } else {
                // It said no: nothing runs that did not run before.
                (last_before, images_before)
            };
        };
        handle.change(settle).await.map_err(unkept)?;
        if replace && status.is_success() {
            handle.set_lending(None);
        }
        lending::resume(shared, handle, client);
    }
    Ok((status, answer))
}

/// A command's name without its extension.
pub(super) fn bare(name: &str) -> &str {
    name.split_once('.').map_or(name, |(_, bare)| bare)
}
