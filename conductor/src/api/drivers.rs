//! Drivers: the hardware types (API contract §2.7).

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Map, Value, json};

use super::ApiState;
use super::call::Call;
use super::fault::Fault;
use crate::hardware_types::{HARDWARE_TYPES, HardwareType, KINDS, hardware_type};

/// `GET /v1/drivers`
pub(super) async fn list(State(state): State<ApiState>, call: Call) -> Result<Json<Value>, Fault> {
    call.only(&["type", "detail", "fields"])?;
    let detail = call.flag("detail")?.unwrap_or(false);
    let kind = call.argument("type");
    if (kind.is_some() || call.argument("detail").is_some()) && call.version.0 < 30 {
        return Err(Fault::too_new());
    }
    let shown: &[HardwareType] = match kind {
        None | Some("dynamic") => HARDWARE_TYPES,
        Some("classic") => &[],
        Some(other) => {
            return Err(Fault::invalid(format!("\"type\" must be one of dynamic, classic: {other}")));
        }
    };
    let drivers: Vec<Value> =
        shown.iter().map(|hardware| render(hardware, state.store.conductor(), &call, detail)).collect();
    Ok(Json(json!({"drivers": drivers})))
}

/// `GET /v1/drivers/{driver}`
pub(super) async fn show(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    call: Call,
) -> Result<Json<Value>, Fault> {
    call.only(&["fields"])?;
    Ok(Json(render(find(&name)?, state.store.conductor(), &call, true)))
}

fn find(name: &str) -> Result<&'static HardwareType, Fault> {
    hardware_type(name).ok_or_else(|| {
        Fault::not_found(format!("Could not find the following driver(s) or hardware type(s): {name}."))
    })
}

fn render(hardware: &HardwareType, conductor: &str, call: &Call, detail: bool) -> Value {
    let path = format!("drivers/{}", hardware.name);
    let mut driver = Map::new();
    driver.insert("name".into(), hardware.name.into());
    driver.insert("hosts".into(), json!([conductor]));
    driver.insert("links".into(), call.links(&path));
    if call.version.0 >= 14 {
        driver.insert("properties".into(), call.links(&format!("{path}/properties")));
    }
    if call.version.0 >= 30 {
        driver.insert("type".into(), "dynamic".into());
        for kind in KINDS.iter().filter(|_| detail) {
            driver.insert(format!("default_{kind}_interface"), json!(hardware.default(kind)));
            driver.insert(format!("enabled_{kind}_interfaces"), json!(hardware.enabled(kind)));
        }
    }
    Value::Object(driver)
}

/// `GET /v1/drivers/{driver}/properties`
pub(super) async fn properties(Path(name): Path<String>) -> Result<Json<Value>, Fault> {
    let properties = find(&name)?.properties();
    Ok(Json(properties.map(|(key, text)| (key.to_owned(), Value::from(text))).collect()))
}

/// `GET /v1/drivers/{driver}/raid/logical_disk_properties`
pub(super) async fn raid_properties(Path(name): Path<String>) -> Result<Json<Value>, Fault> {
    find(&name)?;
    Err(Fault::not_found(format!("Driver {name} does not support raid (disabled or not implemented).")))
}

/// `GET /v1/drivers/{driver}/vendor_passthru/methods`
pub(super) async fn vendor_methods(Path(name): Path<String>) -> Result<Json<Value>, Fault> {
    find(&name)?;
    Ok(Json(json!({})))
}
