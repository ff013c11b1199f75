//! What Ironic itself wrote down: its requests to the agent and the node's states, with times.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// One line that matters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// Seconds since the first midnight of the log.
    pub(crate) at: f64,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// `POST` of this command; whether Ironic waited for its end.
    Command { name: String, wait: bool },
    /// `GET` of the list of commands.
    List,
    /// The node came into this state.
    State(String),
}

/// Everything so far, in order.
pub(crate) fn read(log: &Path) -> Result<Vec<Entry>> {
    let text = std::fs::read_to_string(log).with_context(|| format!("reading {}", log.display()))?;
    let mut entries: Vec<Entry> = Vec::new();
    for line in text.lines() {
        let Some(what) = what(line) else { continue };
        let mut at = time_of_day(line).with_context(|| format!("no time in Ironic's log: {line}"))?;
        // Past midnight.
        while entries.last().is_some_and(|last| at < last.at - 3600.0) {
            at += 86_400.0;
        }
        entries.push(Entry { at, what });
    }
    ensure!(!entries.is_empty(), "Ironic's log tells of no state");
    Ok(entries)
}

fn what(line: &str) -> Option<What> {
    if let Some((_, rest)) = line.split_once("Executing agent command ") {
        let (name, rest) = rest.split_once(" for node ")?;
        return Some(What::Command { name: name.to_owned(), wait: rest.contains("'wait': 'true'") });
    }
    if line.contains("Fetching status of agent commands") {
        return Some(What::List);
    }
    let (_, rest) = line.split_once(" moved to provision state \"")?;
    Some(What::State(rest.split_once('"')?.0.to_owned()))
}

/// `2026-11-21 13:50:43.216 …`
fn time_of_day(line: &str) -> Option<f64> {
    let mut parts = line.split(' ').nth(1)?.split(':');
    let mut number = || parts.next()?.parse::<f64>().ok();
    Some(number()? * 3600.0 + number()? * 60.0 + number()?)
}

/// The requests, one a line; several questions for the list in a row are one line.
pub(crate) fn sequence(entries: &[Entry]) -> String {
    let mut text = String::new();
    let start = entries.first().map_or(0.0, |entry| entry.at);
    let mut entries = entries.iter().peekable();
    while let Some(entry) = entries.next() {
        let after = entry.at - start;
        let mut lists = 1;
        while entry.what == What::List && entries.next_if(|next| next.what == What::List).is_some() {
            lists += 1;
        }
        let line = match &entry.what {
            What::Command { name, wait } => format!("POST /v1/commands/?wait={wait} {name}"),
            What::List if lists > 1 => format!("GET /v1/commands/ ({lists} times)"),
            What::List => "GET /v1/commands/".to_owned(),
            What::State(state) => format!("-- {state}"),
        };
        writeln!(text, "{after:7.1} s  {line}").expect("a string takes everything");
    }
    text
}

/// The commands that were sent, in order.
pub(crate) fn commands(entries: &[Entry]) -> Vec<&str> {
    entries
        .iter()
        .filter_map(|entry| match &entry.what {
            What::Command { name, .. } => Some(name.as_str()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
2026-11-21 23:59:59.500 7 INFO ironic.conductor.task_manager [None req-1 - -] Node 8a moved to provision state \"deploying\" from state \"available\"; target provision state is \"active\"
2026-11-22 00:00:01.500 7 DEBUG ironic.drivers.modules.agent_client [-] Executing agent command deploy.get_deploy_steps for node 8a with params {'wait': 'true', 'agent_token': '***'} _command /x.py:232
2026-11-22 00:00:02.000 7 DEBUG ironic.drivers.modules.agent_client [-] Fetching status of agent commands for node 8a get_commands_status /x.py:350
2026-11-22 00:00:02.250 7 DEBUG ironic.drivers.modules.agent_client [-] Fetching status of agent commands for node 8a get_commands_status /x.py:350
2026-11-22 00:00:03.000 7 WARNING other
";

    #[test]
    fn ironics_log_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), LOG).unwrap();
        let entries = read(file.path()).unwrap();
        assert_eq!(commands(&entries), ["deploy.get_deploy_steps"]);
        let expected = "    0.0 s  -- deploying\n    2.0 s  POST /v1/commands/?wait=true deploy.get_deploy_steps\n    2.5 s  GET /v1/commands/ (2 times)\n";
        assert_eq!(sequence(&entries), expected);
    }
}
