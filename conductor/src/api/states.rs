//! `GET .../states` and `PUT .../states/power` (API contract §2.4).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::Value;

use super::ApiState;
use super::body::Body;
use super::call::Call;
use super::collection::Selection;
use super::fault::Fault;
use super::node_view;
use crate::flows::{PowerTarget, VerbError};
use crate::states::ProvisionState;

const FIELDS: [&str; 11] = [
    "console_enabled",
    "last_error",
    "power_state",
    "provision_state",
    "provision_updated_at",
    "target_power_state",
    "target_provision_state",
    "raid_config",
    "target_raid_config",
    "boot_mode",
    "secure_boot",
];

/// `GET .../states`
pub(super) async fn show(
    State(state): State<ApiState>,
    Path(ident): Path<String>,
    call: Call,
) -> Result<Json<Value>, Fault> {
    let node = state.node(&call, &ident).await?;
    let selection = Selection::These(FIELDS.iter().map(|f| (*f).to_owned()).collect());
    let mut view = node_view::render(&node, state.store.conductor(), &call, &selection);
    if let Value::Object(fields) = &mut view {
        fields.shift_remove("links");
    }
    Ok(Json(view))
}

/// Answer to an accepted verb: no body, and where to look.
pub(super) fn accepted(call: &Call, ident: &str) -> impl IntoResponse + use<> {
    (StatusCode::ACCEPTED, [(header::LOCATION, format!("{}/v1/nodes/{ident}/states", call.base))])
}

/// `PUT .../states/power`
pub(super) async fn power(
    State(state): State<ApiState>,
    Path(ident): Path<String>,
    call: Call,
    body: Body,
) -> Result<impl IntoResponse, Fault> {
    let fields = body.object("power")?;
    if let Some(unknown) = fields.keys().find(|key| !["target", "timeout"].contains(&key.as_str())) {
        return Err(Fault::invalid(format!(
            "Additional properties are not allowed ('{unknown}' was unexpected)"
        )));
    }
    let wanted = fields.get("target").and_then(Value::as_str).unwrap_or_default();
    let target = target(wanted)?;
    let soft = wanted.starts_with("soft ");
    match fields.get("timeout") {
        None | Some(Value::Null) if !soft => {}
        timeout => {
            if call.version.0 < 27 {
                return Err(Fault::too_new());
            }
            if timeout.is_some_and(|t| !t.is_null() && t.as_u64().is_none_or(|seconds| seconds == 0)) {
                return Err(Fault::invalid("timeout has to be an integer and greater than 0"));
            }
        }
    }
    let node = state.node(&call, &ident).await?;
    if matches!(node.provision_state, ProvisionState::Cleaning | ProvisionState::CleanWait) {
        return Err(Fault::invalid(format!(
            "The requested action \"{wanted}\" can not be performed on node \"{}\" while it is in state \"{}\".",
            node.uuid, node.provision_state
        )));
    }
    if node.disable_power_off && matches!(target, PowerTarget::Off | PowerTarget::SoftOff) {
        return Err(Fault::conflict(format!(
            "Power off of node {} is disabled (disable_power_off).",
            node.uuid
        )));
    }
    state.unlocked(&node).await?;
    match Arc::clone(&state.engine).power(node.uuid, target).await {
        Ok(()) => Ok(accepted(&call, &ident)),
        Err(VerbError::Locked(_)) => Err(Fault::locked(&node, state.store.conductor())),
        Err(other) => Err(other.into()),
    }
}

fn target(wanted: &str) -> Result<PowerTarget, Fault> {
    match wanted {
        "power on" => Ok(PowerTarget::On),
        "power off" => Ok(PowerTarget::Off),
        "soft power off" => Ok(PowerTarget::SoftOff),
        "rebooting" => Ok(PowerTarget::Reboot),
        "soft rebooting" => Err(Fault::invalid("The driver does not support soft rebooting.")),
        other => Err(Fault::invalid(format!("Invalid power state requested: \"{other}\"."))),
    }
}
