//! What the bridge itself wants of an agent. Nothing of it appears in `/v1/commands` (IPA contract §3.6, obstacle 6).

use std::time::Duration;

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tacit_protocol::v2::{EventKind, EventPage, OperationRequest, OperationState};

use crate::agents::{AgentClient, AgentError};

use super::contact::LONGEST_NAME;
use super::judge::Listed;

const LIST_LIMIT: Duration = Duration::from_secs(20);
/// Commands of one boot that are looked at: many more than a deployment has.
const MOST_COMMANDS: usize = 10_000;
/// Short enough that a connection lost without a sign is noticed.
const LONGEST_POLL: Duration = Duration::from_secs(25);
const INSPECTION_LIMIT: Duration = Duration::from_secs(300);
/// Between two looks at the events of a busy agent.
const EVENT_PAUSE: Duration = Duration::from_millis(250);

#[derive(Deserialize)]
struct CommandList {
    commands: Vec<Listed>,
}

/// Ironic's commands of this life of the agent, oldest first.
pub(super) async fn list(client: &AgentClient) -> Result<Vec<Listed>, AgentError> {
    let (status, body) = client.v1(Method::GET, "/v1/commands/", None, LIST_LIMIT).await?;
    let address = client.address();
    if status != StatusCode::OK {
        let fault = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        return Err(AgentError::Refused { address, status: status.as_u16(), fault });
    }
    let list: CommandList = serde_json::from_slice(&body)
        .map_err(|error| AgentError::Protocol { address, detail: format!("command list: {error}") })?;
    if list.commands.len() > MOST_COMMANDS {
        return Err(AgentError::Protocol { address, detail: "command list without an end".to_owned() });
    }
    let long = |command: &Listed| command.id.len() > LONGEST_NAME || command.name.len() > LONGEST_NAME;
    if list.commands.iter().any(long) {
        return Err(AgentError::Protocol { address, detail: "command with an endless name".to_owned() });
    }
    Ok(list.commands)
}

/// Waits until a command starts or ends, the agent restarts, or `wait` is over.
///
/// # Errors
/// When the agent does not answer any more.
pub(super) async fn news(
    client: &AgentClient,
    boot_id: &str,
    mut after: u64,
    wait: Duration,
) -> Result<(), AgentError> {
    let end = tokio::time::Instant::now() + wait;
    loop {
        let left = end.saturating_duration_since(tokio::time::Instant::now());
        // The agent counts whole seconds.
        if left < Duration::from_secs(1) {
            tokio::time::sleep(left).await;
            return Ok(());
        }
        let asked = left.min(LONGEST_POLL);
        let page = client.events(after, asked);
        let page: EventPage = match tokio::time::timeout(asked + Duration::from_millis(500), page).await {
            Ok(page) => page?,
            Err(_) => return Ok(()),
        };
        let telling =
            |kind: &EventKind| matches!(kind, EventKind::Started { .. } | EventKind::Finished { .. });
        let restarted = page.boot_id != boot_id || page.last < after;
        if restarted || page.lost > 0 || page.events.iter().any(|event| telling(&event.kind)) {
            return Ok(());
        }
        after = page.last;
        if !page.events.is_empty() {
            tokio::time::sleep(EVENT_PAUSE).await;
        }
    }
}

/// What IPA would post to `continue_inspection`.
///
/// # Errors
/// Also when the agent is busy, or the inspection failed. One that takes too long is cancelled, but may go on.
pub(super) async fn inspection_data(
    client: &AgentClient,
    collectors: &[String],
) -> Result<Map<String, Value>, AgentError> {
    let mut params = Map::new();
    if !collectors.is_empty() {
        params.insert("collectors".to_owned(), json!(collectors));
    }
    let request = OperationRequest { command: "poll.get_inspection_data".to_owned(), params };
    let id = format!("bridge-inspection-{}", uuid::Uuid::new_v4().simple());
    let run = tokio::time::timeout(INSPECTION_LIMIT, client.run(&id, &request, None, |_| {}));
    let Ok(done) = run.await else {
        client.cancel(&id).await?;
        let detail = "an inspection without an end".to_owned();
        return Err(AgentError::Protocol { address: client.address(), detail });
    };
    let done = done?;
    match (done.state, done.result) {
        (OperationState::Succeeded, Some(Value::Object(data))) => Ok(data),
        (_, _) => {
            let detail = done.error.map_or_else(|| "without a result".to_owned(), |error| error.details);
            Err(AgentError::Protocol { address: client.address(), detail: format!("inspection: {detail}") })
        }
    }
}
