//! Waiting for the end of what was begun, with everything in between shown.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Client, node_path};
use super::error::CliError;
use super::progress::Display;

const POLL: Duration = Duration::from_secs(20);
/// How long a conductor may be away (a restart) before waiting for it is given up.
const PATIENCE: Duration = Duration::from_secs(120);
const AWAY_INTERVAL: Duration = Duration::from_secs(1);

/// When following ends well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// The node rests in this provision state.
    State(&'static str),
    /// The node rests anywhere, also where a failure left it.
    Aborted,
    /// The node rests, not in a failure.
    Rest,
    /// The power action is over and the node has this power state.
    Power(&'static str),
}

/// How a node stands towards a goal.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    UnderWay,
    Reached,
    Failed,
}

fn standing(node: &Value, goal: Goal) -> Standing {
    let text = |field: &str| node.get(field).and_then(Value::as_str);
    let state = text("provision_state").unwrap_or_default();
    if let Goal::Power(wanted) = goal {
        return match (text("target_power_state"), text("power_state")) {
            (Some(_), _) => Standing::UnderWay,
            // Starting an action clears it: a reboot that failed leaves the power on, too.
            _ if text("last_error").is_some() => Standing::Failed,
            (None, Some(power)) if power == wanted => Standing::Reached,
            _ => Standing::Failed,
        };
    }
    let failed = state.ends_with(" failed") || state == "error";
    let resting = text("target_provision_state").is_none() || failed;
    match goal {
        _ if !resting => Standing::UnderWay,
        Goal::Aborted => Standing::Reached,
        Goal::Rest if !failed => Standing::Reached,
        Goal::State(wanted) if state == wanted => Standing::Reached,
        _ => Standing::Failed,
    }
}

/// The number of the newest event, to follow from.
pub(super) async fn cursor(client: &Client, node: &str) -> Result<u64, CliError> {
    Ok(client.events(node, 0, Duration::ZERO).await?.last)
}

/// Shows events above `after` until `goal` is reached, for at most `limit`; gives the node as it is then.
///
/// ^C ends the following only: the conductor goes on.
pub(super) async fn follow(
    client: &Client,
    node: &str,
    after: u64,
    goal: Goal,
    limit: Option<Duration>,
) -> Result<Value, CliError> {
    let mut display = Display::new();
    let result = tokio::select! {
        result = until(client, node, after, goal, limit, &mut display) => result,
        _ = tokio::signal::ctrl_c() => Err(CliError::Interrupted(node.to_owned())),
    };
    display.finish();
    result
}

async fn until(
    client: &Client,
    node: &str,
    mut after: u64,
    goal: Goal,
    limit: Option<Duration>,
    display: &mut Display,
) -> Result<Value, CliError> {
    let begun = Instant::now();
    let mut away_since: Option<Instant> = None;
    loop {
        let left = match away_since {
            None => limit.map_or(POLL, |limit| limit.saturating_sub(begun.elapsed()).min(POLL)),
            Some(_) => Duration::ZERO,
        };
        match turn(client, node, &mut after, goal, left, display).await {
            Ok((record, Standing::Reached)) => return Ok(record),
            Ok((record, Standing::Failed)) => return Err(CliError::Failed(failure(node, &record))),
            Ok((record, Standing::UnderWay)) => {
                away_since = None;
                if let Some(limit) = limit.filter(|limit| begun.elapsed() >= *limit) {
                    let text = |field: &str| record.get(field).and_then(Value::as_str);
                    let state = match goal {
                        Goal::Power(wanted) => format!("on the way to {wanted}"),
                        _ => text("provision_state").unwrap_or("busy").to_owned(),
                    };
                    return Err(CliError::TimedOut {
                        node: node.to_owned(),
                        state,
                        seconds: limit.as_secs(),
                    });
                }
            }
            Err(error @ (CliError::NoConductor { .. } | CliError::Answer { .. })) => {
                let since = *away_since.get_or_insert_with(|| {
                    display.line("the conductor does not answer; waiting for it");
                    Instant::now()
                });
                if since.elapsed() >= PATIENCE {
                    return Err(error);
                }
                tokio::time::sleep(AWAY_INTERVAL).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// One long poll, then a look at the node. Events that came before the look are shown first.
async fn turn(
    client: &Client,
    node: &str,
    after: &mut u64,
    goal: Goal,
    left: Duration,
    display: &mut Display,
) -> Result<(Value, Standing), CliError> {
    let record = client.get(&node_path(node, "")).await?;
    let standing = standing(&record, goal);
    let wait = match standing {
        Standing::UnderWay => left,
        _ => Duration::ZERO,
    };
    let page = client.events(node, *after, wait).await?;
    // Numbers begin anew with each start of the conductor.
    *after = if page.last < *after { 0 } else { page.last };
    for event in &page.events {
        display.show(event);
    }
    Ok((record, standing))
}

fn failure(node: &str, record: &Value) -> String {
    let text = |field: &str| record.get(field).and_then(Value::as_str);
    let state = text("provision_state").unwrap_or("unknown");
    match text("last_error") {
        Some(error) => format!("{node} is {state}: {error}"),
        None => format!("{node} is {state}"),
    }
}

/// Follows until interrupted.
pub(super) async fn stay(client: &Client, node: &str) -> Result<(), CliError> {
    let mut display = Display::new();
    let forever = async {
        let mut after = 0;
        loop {
            let page = client.events(node, after, POLL).await?;
            after = page.last;
            page.events.iter().for_each(|event| display.show(event));
        }
    };
    let result: Result<(), CliError> = tokio::select! {
        result = forever => result,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    display.finish();
    result
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(state: &str, target: Option<&str>, goal: Goal) -> Standing {
        standing(&json!({"provision_state": state, "target_provision_state": target}), goal)
    }

    #[test]
    fn ends_are_told_from_work_under_way() {
        let active = Goal::State("active");
        assert_eq!(of("deploying", Some("active"), active), Standing::UnderWay);
        assert_eq!(of("active", None, active), Standing::Reached);
        assert_eq!(of("deploy failed", Some("active"), active), Standing::Failed);
        assert_eq!(of("available", None, active), Standing::Failed);
        assert_eq!(of("enroll", None, Goal::State("manageable")), Standing::Failed);
        assert_eq!(of("error", None, Goal::State("available")), Standing::Failed);
        assert_eq!(of("clean failed", Some("available"), Goal::Aborted), Standing::Reached);
        assert_eq!(of("clean wait", Some("available"), Goal::Aborted), Standing::UnderWay);
        assert_eq!(of("clean failed", Some("available"), Goal::Rest), Standing::Failed);
        assert_eq!(of("active", None, Goal::Rest), Standing::Reached);
    }

    #[test]
    fn power_is_over_when_its_target_is_gone() {
        let node =
            |power: &str, target: Option<&str>| json!({"power_state": power, "target_power_state": target});
        let off = Goal::Power("power off");
        assert_eq!(standing(&node("power on", Some("power off")), off), Standing::UnderWay);
        assert_eq!(standing(&node("power off", None), off), Standing::Reached);
        assert_eq!(standing(&node("power on", None), off), Standing::Failed);
        let failed = json!({"power_state": "power on", "last_error": "BMC: no answer"});
        assert_eq!(standing(&failed, Goal::Power("power on")), Standing::Failed);
    }
}
