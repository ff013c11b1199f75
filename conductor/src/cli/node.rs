//! `tacit node …`

use std::time::Duration;

use serde_json::{Value, json};

use super::arguments::{CreateArguments, DeployArguments, NodeCommand, Power, Switch, VerbArguments};
use super::client::{Client, node_path};
use super::error::CliError;
use super::follow::{Goal, cursor, follow, stay};
use super::output::{field, note, print, print_json};
use super::{assignments, erasure, node_change, node_output};

pub(super) async fn run(client: &Client, command: NodeCommand, json: bool) -> Result<(), CliError> {
    match command {
        NodeCommand::Create(arguments) => create(client, &arguments, json).await,
        NodeCommand::List { provision_state } => {
            let filter = provision_state.map(|s| format!("?provision_state={}", s.replace(' ', "%20")));
            let nodes = client.all(&format!("/v1/nodes{}", filter.unwrap_or_default()), "nodes").await?;
            output(json, &nodes.into(), |nodes| {
                node_output::list(nodes.as_array().map_or(&[], Vec::as_slice))
            })
        }
        NodeCommand::Show { node } => {
            output(json, &client.get(&node_path(&node, "")).await?, node_output::show)
        }
        NodeCommand::Set(arguments) => {
            let node = client.patch(&node_path(&arguments.node, ""), &node_change::set(&arguments)?).await?;
            output(json, &node, |node| format!("{} changed\n", title(node)))
        }
        NodeCommand::Manage(verb) => simple(client, &verb, "manage", Goal::State("manageable"), json).await,
        NodeCommand::Inspect(verb) => simple(client, &verb, "inspect", Goal::State("manageable"), json).await,
        NodeCommand::Provide(verb) => simple(client, &verb, "provide", Goal::State("available"), json).await,
        NodeCommand::Undeploy(verb) => simple(client, &verb, "deleted", Goal::State("available"), json).await,
        NodeCommand::Abort(verb) => simple(client, &verb, "abort", Goal::Aborted, json).await,
        NodeCommand::Deploy(arguments) => deploy(client, &arguments, json).await,
        NodeCommand::Clean { verb: given, steps, arguments } => {
            let steps = assignments::clean_steps(&steps, &arguments)?;
            let body = json!({"target": "clean", "clean_steps": steps});
            verb(client, &given, &body, Goal::State("manageable"), json).await
        }
        NodeCommand::Maintenance { node, state, reason } => {
            let path = node_path(&node, "/maintenance");
            match state {
                Switch::On => client.put(&path, &json!({"reason": reason})).await?,
                Switch::Off => client.delete(&path).await?,
            };
            Ok(())
        }
        NodeCommand::Power { node, target, wait } => power(client, &node, target, wait, json).await,
        NodeCommand::History { node } => {
            let entries = client.all(&node_path(&node, "/history?detail=true"), "history").await?;
            output(json, &entries.into(), |list| {
                node_output::history(list.as_array().map_or(&[], Vec::as_slice))
            })
        }
        NodeCommand::Erasure(arguments) => erasure::run(client, &arguments, json).await,
        NodeCommand::Inventory { node } => {
            output(json, &client.get(&node_path(&node, "/inventory")).await?, node_output::inventory)
        }
        NodeCommand::Validate { node } => validate(client, &node, json).await,
        NodeCommand::Delete { nodes } => {
            for node in nodes {
                client.delete(&node_path(&node, "")).await?;
                note(&format!("{node} deleted"));
            }
            Ok(())
        }
        NodeCommand::Watch { node, stay: true } => stay(client, &node).await,
        NodeCommand::Watch { node, stay: false } => {
            let record = follow(client, &node, 0, Goal::Rest, None).await?;
            output(json, &record, |record| {
                format!("{} is {}\n", title(record), field(record, "provision_state"))
            })
        }
    }
}

fn output(json: bool, value: &Value, text: impl FnOnce(&Value) -> String) -> Result<(), CliError> {
    if json { print_json(value) } else { print(&text(value)) }
}

/// The name of a node, or its UUID.
fn title(node: &Value) -> String {
    let name = field(node, "name");
    if name == "-" { field(node, "uuid") } else { name }
}

async fn create(client: &Client, arguments: &CreateArguments, json: bool) -> Result<(), CliError> {
    let node = client.post("/v1/nodes", &node_change::create(arguments)?).await?;
    let uuid = field(&node, "uuid");
    for mac in &arguments.macs {
        if let Err(error) = client.post("/v1/ports", &json!({"address": mac, "node_uuid": uuid})).await {
            // Half a node helps nobody: the same command shall work once its cause is gone.
            client.delete(&node_path(&uuid, "")).await?;
            return Err(error);
        }
    }
    output(json, &node, |node| format!("{} created: {uuid}\n", title(node)))
}

async fn simple(
    client: &Client,
    arguments: &VerbArguments,
    target: &str,
    goal: Goal,
    json: bool,
) -> Result<(), CliError> {
    verb(client, arguments, &json!({"target": target}), goal, json).await
}

async fn verb(
    client: &Client,
    arguments: &VerbArguments,
    body: &Value,
    goal: Goal,
    json: bool,
) -> Result<(), CliError> {
    let node = &arguments.node;
    let after = cursor(client, node).await?;
    client.put(&node_path(node, "/states/provision"), body).await?;
    let record = match arguments.wait {
        Some(seconds) => follow(client, node, after, goal, Some(Duration::from_secs(seconds))).await?,
        None => client.get(&node_path(node, "")).await?,
    };
    output(json, &record, |record| format!("{} is {}\n", title(record), field(record, "provision_state")))
}

async fn deploy(client: &Client, arguments: &DeployArguments, json: bool) -> Result<(), CliError> {
    let mut body = json!({"target": if arguments.rebuild { "rebuild" } else { "active" }});
    if let Some(drive) = &arguments.config_drive {
        body["configdrive"] = node_change::config_drive(drive)?;
    }
    let mut info = assignments::image(&arguments.image)?;
    if arguments.image.image.is_some() {
        // The conductor writes the kind of an image down; that of the last one must not decide on this one.
        info.entry("image_type").or_insert_with(|| "whole-disk".into());
    }
    if !info.is_empty() {
        may_deploy(client, arguments).await?;
        let patch = node_change::patch([("instance_info".to_owned(), info.into())].into_iter().collect());
        client.patch(&node_path(&arguments.verb.node, ""), &patch.into()).await?;
    }
    verb(client, &arguments.verb, &body, Goal::State("active"), json).await
}

/// Refuses before anything is changed: what a node that is in use runs must stay on record.
async fn may_deploy(client: &Client, arguments: &DeployArguments) -> Result<(), CliError> {
    let name = &arguments.verb.node;
    let node = client.get(&node_path(name, "")).await?;
    let state = field(&node, "provision_state");
    let again = matches!(state.as_str(), "active" | "error");
    match state.as_str() {
        "available" | "deploy failed" => Ok(()),
        _ if again && arguments.rebuild => Ok(()),
        _ if again => Err(CliError::Failed(format!("{name} is {state}: --rebuild writes over it"))),
        _ => Err(CliError::Failed(format!("{name} is {state}: only available machines are deployed"))),
    }
}

async fn power(
    client: &Client,
    node: &str,
    target: Power,
    wait: Option<u64>,
    json: bool,
) -> Result<(), CliError> {
    let (word, goal) = match target {
        Power::On => ("power on", "power on"),
        Power::Off => ("power off", "power off"),
        Power::SoftOff => ("soft power off", "power off"),
        Power::Reboot => ("rebooting", "power on"),
    };
    let after = cursor(client, node).await?;
    client.put(&node_path(node, "/states/power"), &json!({"target": word})).await?;
    if let Some(seconds) = wait {
        let record =
            follow(client, node, after, Goal::Power(goal), Some(Duration::from_secs(seconds))).await?;
        output(json, &record, |record| format!("{}: {}\n", title(record), field(record, "power_state")))?;
    }
    Ok(())
}

async fn validate(client: &Client, node: &str, json: bool) -> Result<(), CliError> {
    let results = client.get(&node_path(node, "/validate")).await?;
    let (text, good) = node_output::validation(&results);
    output(json, &results, |_| text)?;
    if good { Ok(()) } else { Err(CliError::Failed(format!("{node} is not ready to be deployed"))) }
}
