//! `PUT .../states/provision`: the verbs (API contract §2.4).

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::ApiState;
use super::body::Body;
use super::call::Call;
use super::config_drive;
use super::fault::Fault;
use super::states::accepted;
use super::values;
use super::version::Version;
use crate::flows::{ProvisionRequest, VerbError};
use crate::node::Node;
use crate::states::ProvisionState;

/// Verbs and the version that brought them.
const VERBS: [(&str, u16); 10] = [
    ("active", 1),
    ("rebuild", 1),
    ("deleted", 1),
    ("manage", 4),
    ("provide", 4),
    ("inspect", 6),
    ("abort", 13),
    ("clean", 15),
    ("deploy", 73),
    ("undeploy", 73),
];

/// Verbs of Ironic that are not served.
const UNSERVED: [(&str, u16); 5] =
    [("adopt", 17), ("rescue", 38), ("unrescue", 38), ("unhold", 85), ("service", 87)];

const KEYS: [&str; 8] = [
    "target",
    "configdrive",
    "clean_steps",
    "deploy_steps",
    "service_steps",
    "rescue_password",
    "disable_ramdisk",
    "runbook",
];

pub(super) async fn provision(
    State(state): State<ApiState>,
    Path(ident): Path<String>,
    call: Call,
    body: Body,
) -> Result<impl IntoResponse, Fault> {
    let node = state.node(&call, &ident).await?;
    let fields = body.object("provision state")?;
    let target = fields.get("target").and_then(Value::as_str).unwrap_or_default().to_owned();
    // A held node answers 409 to every verb, even to one that makes no sense; `abort` is for nodes that are held.
    if target != "abort" {
        state.unlocked(&node).await?;
    }
    check_verb(&call, &node, &target)?;
    let request = request(&call, &node, target, fields)?;
    match Arc::clone(&state.engine).provision(node.uuid, request).await {
        Ok(()) => Ok(accepted(&call, &ident)),
        Err(VerbError::Locked(text)) if text.is_empty() => Err(Fault::locked(&node, state.store.conductor())),
        Err(other) => Err(other.into()),
    }
}

fn check_verb(call: &Call, node: &Node, target: &str) -> Result<(), Fault> {
    let served = VERBS.iter().find(|(verb, _)| *verb == target);
    let Some((_, since)) = served.or_else(|| UNSERVED.iter().find(|(verb, _)| *verb == target)) else {
        return Err(Fault::invalid(format!(
            "The requested action \"{target}\" can not be performed on node \"{}\" while it is in state \"{}\".",
            node.uuid, node.provision_state
        )));
    };
    let aborts_callback = target == "abort" && node.provision_state == ProvisionState::WaitCallback;
    if call.version < Version(*since) || (aborts_callback && call.version < Version(110)) {
        return Err(Fault::too_new());
    }
    if served.is_none() {
        return Err(Fault::invalid(format!("The action \"{target}\" is not supported by this service.")));
    }
    Ok(())
}

/// Checks the shape of what comes with a verb.
fn request(
    call: &Call,
    node: &Node,
    target: String,
    mut fields: Map<String, Value>,
) -> Result<ProvisionRequest, Fault> {
    if let Some(unknown) = fields.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(Fault::invalid(format!(
            "Additional properties are not allowed ('{unknown}' was unexpected)"
        )));
    }
    let deploys = matches!(target.as_str(), "active" | "deploy" | "rebuild");
    let cleans = target == "clean";
    fields.retain(|_, value| !value.is_null());
    let only = |key: &str, verb: &str| {
        Fault::invalid(format!("\"{key}\" is only valid when setting target provision state to {verb}"))
    };
    if !cleans && fields.contains_key("clean_steps") {
        return Err(only("clean_steps", "clean"));
    }
    for key in ["service_steps", "rescue_password"] {
        if fields.contains_key(key) {
            return Err(only(key, if key == "service_steps" { "service" } else { "rescue" }));
        }
    }
    if fields.contains_key("deploy_steps") {
        if !deploys {
            return Err(only("deploy_steps", "active or rebuild"));
        }
        return Err(Fault::invalid("deploy_steps with a deployment are not supported by this service yet."));
    }
    if fields.contains_key("runbook") {
        return Err(Fault::invalid("Runbooks are not supported by this service yet."));
    }
    if let Some(disable) = fields.get("disable_ramdisk")
        && values::boolean("disable_ramdisk", disable)?
    {
        if !cleans {
            return Err(Fault::invalid(
                "disable_ramdisk is supported only with manual cleaning or servicing",
            ));
        }
        return Err(Fault::invalid(
            "All clean steps of this service need the ramdisk: disable_ramdisk cannot be set.",
        ));
    }
    let configdrive = match fields.shift_remove("configdrive") {
        None => None,
        Some(_) if !deploys => return Err(only("configdrive", "active or rebuild")),
        Some(_) if target == "rebuild" && call.version < Version(35) => return Err(Fault::too_new()),
        Some(value) => config_drive::read(value, call.version, node)?,
    };
    let clean_steps = match fields.shift_remove("clean_steps") {
        Some(steps) => Some(clean_steps(steps)?),
        None if cleans => {
            return Err(Fault::invalid(
                "\"clean_steps\" is required when setting target provision state to clean",
            ));
        }
        None => None,
    };
    Ok(ProvisionRequest { target, configdrive, clean_steps })
}

fn clean_steps(value: Value) -> Result<Vec<Map<String, Value>>, Fault> {
    const INTERFACES: [&str; 7] = ["vendor", "power", "management", "firmware", "deploy", "bios", "raid"];
    let wrong = |text: &str| Fault::invalid(format!("Schema error for clean_steps: {text}"));
    let Value::Array(items) = value else { return Err(wrong("not of type 'array'")) };
    if items.is_empty() {
        return Err(wrong("[] should be non-empty"));
    }
    items
        .into_iter()
        .map(|item| {
            let Value::Object(step) = item else { return Err(wrong("a step is not of type 'object'")) };
            if !step.get("interface").and_then(Value::as_str).is_some_and(|i| INTERFACES.contains(&i)) {
                return Err(wrong(&format!("'interface' is required and one of {INTERFACES:?}")));
            }
            if step.get("step").and_then(Value::as_str).is_none_or(str::is_empty) {
                return Err(wrong("'step' is a required property and a non-empty string"));
            }
            for (key, value) in &step {
                let good = match key.as_str() {
                    "interface" | "step" => true,
                    "args" => value.is_object(),
                    "order" => {
                        value.as_u64().is_some() || value.as_str().is_some_and(|t| t.parse::<u32>().is_ok())
                    }
                    "execute_on_child_nodes" => value.is_boolean(),
                    "limit_child_node_execution" => value.as_array().is_some_and(|list| {
                        list.iter().all(|u| u.as_str().is_some_and(|u| Uuid::try_parse(u).is_ok()))
                    }),
                    _ => false,
                };
                if !good {
                    return Err(wrong(&format!(
                        "'{key}' of step {} is not allowed or of a wrong type",
                        step["step"]
                    )));
                }
            }
            Ok(step)
        })
        .collect()
}
