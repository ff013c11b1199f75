//! A Redfish service for one system, with faults on demand. What real BMCs do is tried against sushy-emulator and
//! the conductor's own tests; this one is here to move a machine on the desk.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::machine::Machine;

const SYSTEM: &str = "/redfish/v1/Systems/1";

/// What the BMC does wrong.
#[derive(Debug, Default)]
pub struct BmcFaults {
    /// Statuses to answer to the next requests, before anything works again.
    pub statuses: VecDeque<u16>,
    /// How many requests were answered with one of them.
    pub answered: usize,
}

pub(super) struct Bmc {
    pub(super) address: SocketAddr,
    pub(super) faults: Arc<Mutex<BmcFaults>>,
    task: tokio::task::JoinHandle<()>,
}

struct Board {
    machine: Arc<Machine>,
    faults: Arc<Mutex<BmcFaults>>,
    medium: Mutex<Option<String>>,
}

impl Bmc {
    pub(super) async fn start(machine: Arc<Machine>) -> Result<Self> {
        let faults = Arc::new(Mutex::new(BmcFaults::default()));
        let board = Arc::new(Board { machine, faults: faults.clone(), medium: Mutex::new(None) });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new().fallback(answer).with_state(board);
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("BMC: {error}");
            }
        });
        Ok(Self { address, faults, task })
    }
}

impl Drop for Bmc {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(board): State<Arc<Board>>, request: Request) -> Response {
    let fault = {
        let mut faults = board.faults.lock().expect("no holder of the lock panics");
        let status = faults.statuses.pop_front();
        faults.answered += usize::from(status.is_some());
        status
    };
    if let Some(status) = fault {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body =
            json!({"error": {"code": "Base.1.0.GeneralError", "message": "the BMC is busy with itself"}});
        return (status, Json(body)).into_response();
    }
    let method = request.method().clone();
    let path = request.uri().path().trim_end_matches('/').to_owned();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    board.route(&method, &path, &body).await
}

impl Board {
    async fn route(&self, method: &Method, path: &str, body: &Value) -> Response {
        let rest = path.strip_prefix(SYSTEM);
        match (method.as_str(), path, rest) {
            ("GET", "/redfish/v1", _) => Json(json!({"@odata.id": "/redfish/v1/", "RedfishVersion": "1.6.0",
                "Systems": {"@odata.id": "/redfish/v1/Systems"}}))
            .into_response(),
            ("GET", "/redfish/v1/Systems", _) => {
                Json(json!({"Members": [{"@odata.id": SYSTEM}], "Members@odata.count": 1})).into_response()
            }
            ("GET", _, Some("")) => Json(self.system()).into_response(),
            ("PATCH", _, Some("")) => StatusCode::NO_CONTENT.into_response(),
            ("POST", _, Some("/Actions/ComputerSystem.Reset")) => self.reset(body).await,
            ("GET", _, Some("/VirtualMedia")) => {
                Json(json!({"Members": [{"@odata.id": format!("{SYSTEM}/VirtualMedia/Cd")}]})).into_response()
            }
            ("GET", _, Some("/VirtualMedia/Cd")) => Json(self.slot()).into_response(),
            ("POST", _, Some("/VirtualMedia/Cd/Actions/VirtualMedia.InsertMedia")) => {
                *self.medium.lock().expect("no holder of the lock panics") =
                    body["Image"].as_str().map(str::to_owned);
                StatusCode::NO_CONTENT.into_response()
            }
            ("POST", _, Some("/VirtualMedia/Cd/Actions/VirtualMedia.EjectMedia")) => {
                *self.medium.lock().expect("no holder of the lock panics") = None;
                StatusCode::NO_CONTENT.into_response()
            }
            _ => (StatusCode::NOT_FOUND, Json(json!({"error": {"message": "no such resource"}})))
                .into_response(),
        }
    }

    async fn reset(&self, body: &Value) -> Response {
        let medium = self.medium.lock().expect("no holder of the lock panics").clone();
        let result = match body["ResetType"].as_str() {
            Some("On" | "ForceOn") => self.machine.power_on(medium.as_deref()).await,
            Some("ForceOff") => {
                self.machine.power_off();
                Ok(())
            }
            other => Err(anyhow::anyhow!("ResetType {other:?}")),
        };
        match result {
            Ok(()) => StatusCode::NO_CONTENT.into_response(),
            Err(error) => {
                let body = json!({"error": {"message": format!("{error:#}")}});
                (StatusCode::BAD_REQUEST, Json(body)).into_response()
            }
        }
    }

    fn system(&self) -> Value {
        json!({
            "@odata.id": SYSTEM, "Id": "1", "Name": "machine on the desk", "Manufacturer": "Tacit",
            "Model": "Desk", "PowerState": if self.machine.is_on() { "On" } else { "Off" },
            "Boot": {"BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideTarget": "None",
                     "BootSourceOverrideTarget@Redfish.AllowableValues": ["Cd", "Hdd", "Pxe"],
                     "BootSourceOverrideMode": "UEFI"},
            "VirtualMedia": {"@odata.id": format!("{SYSTEM}/VirtualMedia")},
            "Actions": {"#ComputerSystem.Reset": {
                "target": format!("{SYSTEM}/Actions/ComputerSystem.Reset"),
                "ResetType@Redfish.AllowableValues": ["On", "ForceOff"]}},
        })
    }

    fn slot(&self) -> Value {
        let medium = self.medium.lock().expect("no holder of the lock panics").clone();
        json!({
            "@odata.id": format!("{SYSTEM}/VirtualMedia/Cd"), "Id": "Cd", "MediaTypes": ["CD", "DVD"],
            "Inserted": medium.is_some(), "Image": medium, "ConnectedVia": "URI", "WriteProtected": true,
            "Actions": {
                "#VirtualMedia.InsertMedia":
                    {"target": format!("{SYSTEM}/VirtualMedia/Cd/Actions/VirtualMedia.InsertMedia")},
                "#VirtualMedia.EjectMedia":
                    {"target": format!("{SYSTEM}/VirtualMedia/Cd/Actions/VirtualMedia.EjectMedia")}},
        })
    }
}
