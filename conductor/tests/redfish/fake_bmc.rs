//! A BMC in the test's own process: one system, its media slots, and the faults that BMCs in the field have.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tacit_conductor::bmc::{Bmc, Timing};

use super::fake_slot::SlotModel;

pub(super) const SYSTEM: &str = "/redfish/v1/Systems/1";
pub(super) const RESET: &str = "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset";
pub(super) const SETTINGS: &str = "/redfish/v1/Systems/1/Pending";
pub(super) const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";
pub(super) const TASK: &str = "/redfish/v1/TaskService/TaskMonitors/1";
pub(super) const USER: &str = "operator";
pub(super) const PASSWORD: &str = "correct horse";

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Etags {
    #[default]
    None,
    /// Weak tags in answers, strong ones wanted.
    WeakButStrongWanted,
    /// Shows a tag and refuses every one.
    RefusesAll,
    /// Demands the tag that it shows.
    Demanded,
    /// Demands a tag and shows none.
    DemandedUnseen,
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

pub(super) struct Model {
    pub(super) power: &'static str,
    /// The state to take after so many more reads of the system.
    pub(super) pending: Option<(&'static str, u32)>,
    /// Reads of the system that a power change takes.
    pub(super) power_reads: u32,
    /// Power requests are accepted and never carried out.
    pub(super) power_stuck: bool,
    /// State shown while a change is pending.
    pub(super) transitional: Option<&'static str>,
    pub(super) reset_types: Option<Vec<&'static str>>,
    pub(super) action_info: bool,
    pub(super) boot: Map<String, Value>,
    pub(super) settings: Option<Map<String, Value>>,
    pub(super) manufacturer: &'static str,
    pub(super) slots: Vec<SlotModel>,
    pub(super) etags: Etags,
    /// Credentials are checked; sessions are offered.
    pub(super) auth: bool,
    pub(super) sessions: bool,
    pub(super) valid_tokens: Vec<String>,
    pub(super) closed_sessions: u32,
    /// Answers to give instead of the real ones, by method and path: consumed one by one.
    pub(super) faults: Vec<(Method, &'static str, VecDeque<Fault>)>,
    pub(super) seen: Vec<Seen>,
    /// What a task monitor shows, read by read; then it is gone.
    pub(super) task: VecDeque<(u16, Value)>,
    /// Replaces the root's `Systems` link.
    pub(super) systems_link: Option<String>,
    pub(super) extra_systems: Vec<(&'static str, Value)>,
}

#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Value,
    /// The request takes effect all the same.
    pub(super) effective: bool,
}

pub(super) fn fault(status: u16) -> Fault {
    let body = json!({"error": {"code": "Base.1.8.GeneralError", "message": format!("fault {status}")}});
    Fault { status, headers: Vec::new(), body, effective: false }
}

pub(super) fn message(status: u16, id: &str, text: &str) -> Fault {
    let entry = json!({"MessageId": format!("Base.1.12.{id}"), "Message": text, "Severity": "Critical"});
    Fault {
        body: json!({"error": {"message": "see extended info", "@Message.ExtendedInfo": [entry]}}),
        ..fault(status)
    }
}

impl Default for Model {
    fn default() -> Self {
        let boot = json!({"BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideTarget": "None",
            "BootSourceOverrideMode": "UEFI",
            "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Cd", "Hdd"]});
        Self {
            power: "Off",
            pending: None,
            power_reads: 0,
            power_stuck: false,
            transitional: None,
            reset_types: Some(vec!["On", "ForceOff", "GracefulShutdown", "ForceRestart"]),
            action_info: false,
            boot: boot.as_object().cloned().unwrap_or_default(),
            settings: None,
            manufacturer: "Contoso",
            slots: vec![SlotModel { id: "Cd", media_types: vec!["CD", "DVD"], ..SlotModel::default() }],
            etags: Etags::None,
            auth: false,
            sessions: true,
            valid_tokens: Vec::new(),
            closed_sessions: 0,
            faults: Vec::new(),
            seen: Vec::new(),
            task: VecDeque::new(),
            systems_link: None,
            extra_systems: Vec::new(),
        }
    }
}

#[derive(Clone)]
pub(super) struct FakeBmc {
    pub(super) address: SocketAddr,
    model: Arc<Mutex<Model>>,
}

impl FakeBmc {
    pub(super) async fn start(model: Model) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let model = Arc::new(Mutex::new(model));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&model));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, model }
    }

    pub(super) fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().expect("no handler panicked")
    }

    /// `driver_info` for this BMC with more keys on top.
    pub(super) fn driver_info(&self, more: Value) -> Map<String, Value> {
        let mut info =
            Map::from_iter([("redfish_address".to_owned(), json!(format!("http://{}", self.address)))]);
        if self.model().auth {
            info.insert("redfish_username".into(), json!(USER));
            info.insert("redfish_password".into(), json!(PASSWORD));
        }
        info.extend(more.as_object().cloned().unwrap_or_default());
        info
    }

    pub(super) fn client(&self) -> Bmc {
        self.client_with(json!({}))
    }

    /// Pauses for milliseconds where a real BMC gets seconds, and waits for what comes as long as for a real one.
    pub(super) fn client_with(&self, more: Value) -> Bmc {
        let real = Timing::default();
        let timing = Timing {
            hard_power: real.hard_power,
            soft_power: real.soft_power,
            media: real.media,
            ..real.divided_by(1000)
        };
        Bmc::with_timing("redfish", &self.driver_info(more), timing).expect("a valid driver_info")
    }

    /// Soon gives up waiting for what never comes.
    pub(super) fn impatient_client(&self) -> Bmc {
        let timing = Timing::default().divided_by(1000);
        Bmc::with_timing("redfish", &self.driver_info(json!({})), timing).expect("a valid driver_info")
    }

    pub(super) fn requests(&self, method: &Method, path: &str) -> Vec<Seen> {
        self.model().seen.iter().filter(|s| s.method == *method && s.path == path).cloned().collect()
    }

    /// The `ResetType`s asked for, in order.
    pub(super) fn resets(&self) -> Vec<String> {
        let asked = self.requests(&Method::POST, RESET);
        asked.iter().map(|s| s.body["ResetType"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

pub(super) type Reply = (u16, Vec<(&'static str, String)>, Value);

pub(super) fn ok(body: Value) -> Reply {
    (200, Vec::new(), body)
}

pub(super) fn refuse(status: u16, id: &str, text: &str) -> Reply {
    (status, Vec::new(), message(status, id, text).body)
}

async fn answer(
    State(model): State<Arc<Mutex<Model>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut model = model.lock().expect("no handler panicked");
    let parsed = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let path = uri.path().trim_end_matches('/').to_owned();
    let seen = Seen { method: method.clone(), path: path.clone(), headers, body: parsed };
    model.seen.push(seen.clone());
    let planned = model.faults.iter_mut().find(|(m, p, _)| *m == method && *p == path);
    let (status, headers, body) = match planned.and_then(|(_, _, queue)| queue.pop_front()) {
        Some(fault) => {
            if fault.effective {
                model.reply(&seen);
            }
            (fault.status, fault.headers, fault.body)
        }
        None => model.reply(&seen),
    };
    let mut response = StatusCode::from_u16(status).expect("a status").into_response();
    let empty = body.is_null();
    for (name, value) in headers {
        let value = HeaderValue::from_str(&value).expect("a header value");
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
    if !empty {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // A string stands for bytes that are no JSON.
        *response.body_mut() = body.as_str().map_or_else(|| body.to_string(), str::to_owned).into();
    }
    response
}

impl Model {
    fn reply(&mut self, seen: &Seen) -> Reply {
        if let Some(denied) = self.check_auth(seen) {
            return denied;
        }
        match (seen.method.as_str(), seen.path.as_str()) {
            ("GET", "/redfish/v1") => ok(self.root()),
            ("POST", SESSIONS) => self.log_in(seen),
            ("DELETE", path) if path.starts_with(SESSIONS) => {
                self.closed_sessions += 1;
                (204, Vec::new(), Value::Null)
            }
            ("GET", "/redfish/v1/Systems") => {
                let mut members =
                    vec![json!({"@odata.id": SYSTEM}), json!({"@odata.id": "/redfish/v1/Systems/ghost"})];
                members.extend(
                    self.extra_systems.iter().map(|(uri, _)| json!({"@odata.id": format!("{uri}/")})),
                );
                ok(json!({"Members": members}))
            }
            ("GET", SYSTEM) => self.system(),
            ("PATCH", SYSTEM | SETTINGS) => self.set_boot(seen),
            ("GET", SETTINGS) if self.settings.is_some() => ok(json!({"Boot": self.settings})),
            ("POST", RESET) => self.reset(seen),
            ("GET", "/redfish/v1/Systems/1/ResetActionInfo") if self.action_info => {
                ok(json!({"Parameters": [
                {"Name": "Other"}, {"Name": "ResetType", "AllowableValues": ["ForceOn", "ForceOff"]}]}))
            }
            ("GET", "/redfish/v1/Systems/1/EthernetInterfaces") => {
                ok(json!({"Members": [{"@odata.id": "/redfish/v1/Systems/1/EthernetInterfaces/a"}, {}]}))
            }
            ("GET", "/redfish/v1/Systems/1/EthernetInterfaces/a") => {
                ok(json!({"MACAddress": "52:54:00:AA:BB:CC", "PermanentMACAddress": null}))
            }
            ("GET", TASK) => match self.task.pop_front() {
                Some((status, body)) => (status, Vec::new(), body),
                None => refuse(404, "ResourceMissingAtURI", "the result was collected"),
            },
            ("GET", "/redfish/v1/Managers/1") => {
                ok(json!({"VirtualMedia": {"@odata.id": "/redfish/v1/Managers/1/VirtualMedia"}}))
            }
            ("GET", "/redfish/v1/Managers/1/VirtualMedia") => {
                let uri = |slot: &SlotModel| json!({"@odata.id": format!("/redfish/v1/Managers/1/VirtualMedia/{}", slot.id)});
                ok(json!({"Members": self.slots.iter().map(uri).collect::<Vec<_>>()}))
            }
            ("GET", path) if self.extra_systems.iter().any(|(uri, _)| *uri == path) => {
                let (_, body) = self.extra_systems.iter().find(|(uri, _)| *uri == path).expect("just found");
                ok(body.clone())
            }
            (_, path) => match path.strip_prefix("/redfish/v1/Managers/1/VirtualMedia/") {
                Some(rest) => self.media(seen, rest),
                None => refuse(404, "ResourceMissingAtURI", "no such resource"),
            },
        }
    }

    fn check_auth(&self, seen: &Seen) -> Option<Reply> {
        let open = seen.path == "/redfish/v1" || seen.path == SESSIONS;
        if !self.auth || open {
            return None;
        }
        let value = |name: &str| seen.headers.get(name).and_then(|v| v.to_str().ok());
        let basic = "Basic b3BlcmF0b3I6Y29ycmVjdCBob3JzZQ==";
        let known = value("x-auth-token").is_some_and(|token| self.valid_tokens.iter().any(|t| t == token))
            || (!self.sessions && value("authorization") == Some(basic));
        (!known).then(|| refuse(401, "NoValidSession", "There is no valid session"))
    }

    fn root(&self) -> Value {
        let mut root = json!({"RedfishVersion": "1.5.0", "UUID": "",
            "Systems": {"@odata.id": self.systems_link.as_deref().unwrap_or("/redfish/v1/Systems/")}});
        if self.sessions {
            root["Links"] = json!({"Sessions": {"@odata.id": SESSIONS}});
        }
        root
    }

    fn log_in(&mut self, seen: &Seen) -> Reply {
        if !self.sessions {
            return refuse(404, "ResourceMissingAtURI", "no sessions here");
        }
        if seen.body != json!({"UserName": USER, "Password": PASSWORD}) {
            let said = format!("no login with {}", seen.body["Password"]);
            return refuse(401, "ResourceAtUriUnauthorized", &said);
        }
        let token = format!("token-{}", self.seen.len());
        let place = format!("{SESSIONS}/{token}");
        self.valid_tokens.push(token.clone());
        (201, vec![("x-auth-token", token), ("location", place)], json!({}))
    }

    fn system(&mut self) -> Reply {
        if let Some((state, reads)) = self.pending.take() {
            if reads == 0 {
                self.power = state;
            } else {
                self.pending = Some((state, reads - 1));
            }
        }
        let shown = if self.pending.is_some() { self.transitional.unwrap_or(self.power) } else { self.power };
        let mut action = json!({"target": RESET});
        if let Some(types) = &self.reset_types {
            action["ResetType@Redfish.AllowableValues"] = json!(types);
        }
        if self.action_info {
            action["@Redfish.ActionInfo"] = json!("/redfish/v1/Systems/1/ResetActionInfo");
        }
        let mut body = json!({"Id": "1", "UUID": "4c4c4544-0000-2010-8020-80c04f202020", "SerialNumber": " ", "SKU": 7,
            "Manufacturer": self.manufacturer, "Model": "X1", "PowerState": shown, "SystemType": "Physical",
            "LastResetTime": "0000-00-00T00:00:00+00:00", "Boot": self.boot,
            "EthernetInterfaces": {"@odata.id": "/redfish/v1/Systems/1/EthernetInterfaces"},
            "Links": {"ManagedBy": [{"@odata.id": "/redfish/v1/Managers/1"}]},
            "Actions": {"#ComputerSystem.Reset": action}});
        if self.settings.is_some() {
            body["@Redfish.Settings"] = json!({"SettingsObject": {"@odata.id": SETTINGS}});
        }
        (200, self.tag_headers(), body)
    }

    fn tag_headers(&self) -> Vec<(&'static str, String)> {
        let tag = match self.etags {
            Etags::None | Etags::DemandedUnseen => return Vec::new(),
            Etags::WeakButStrongWanted => "W/\"v1\"",
            Etags::RefusesAll | Etags::Demanded => "\"v1\"",
        };
        vec![("etag", tag.to_owned())]
    }

    fn check_tag(&self, seen: &Seen) -> Option<Reply> {
        let given = seen.headers.get("if-match").and_then(|v| v.to_str().ok());
        let missing = || refuse(428, "PreconditionHeaderMissing", "If-Match is missing");
        let failed = || refuse(412, "PreconditionFailed", "the tag does not match");
        match (self.etags, given) {
            (Etags::WeakButStrongWanted, Some(tag)) if tag != "\"v1\"" => Some(failed()),
            (Etags::RefusesAll, Some(_)) => Some(failed()),
            (Etags::Demanded | Etags::DemandedUnseen, None) => Some(missing()),
            (Etags::Demanded, Some(tag)) if tag != "\"v1\"" => Some(failed()),
            (Etags::DemandedUnseen, Some(tag)) if tag != "*" => Some(failed()),
            _ => None,
        }
    }

    fn set_boot(&mut self, seen: &Seen) -> Reply {
        if let Some(refusal) = self.check_tag(seen) {
            return refusal;
        }
        let Some(boot) = seen.body["Boot"].as_object() else {
            return refuse(400, "MalformedJSON", "no Boot");
        };
        if seen.path == SETTINGS {
            self.settings.get_or_insert_default().extend(boot.clone());
        } else {
            self.boot.extend(boot.clone());
        }
        (204, Vec::new(), Value::Null)
    }

    fn reset(&mut self, seen: &Seen) -> Reply {
        // A tag on an action is one of the things that real BMCs trip over.
        if seen.headers.contains_key("if-match") {
            return refuse(412, "PreconditionFailed", "no tags on actions");
        }
        let to = match seen.body["ResetType"].as_str().unwrap_or_default() {
            "On" | "ForceOn" | "ForceRestart" => "On",
            "ForceOff" | "GracefulShutdown" => "Off",
            "PushPowerButton" if self.power == "Off" => "On",
            "PushPowerButton" => "Off",
            other => return refuse(400, "ActionParameterValueNotInList", other),
        };
        if !self.power_stuck {
            self.pending = Some((to, self.power_reads));
        }
        (204, Vec::new(), Value::Null)
    }

    fn media(&mut self, seen: &Seen, rest: &str) -> Reply {
        let (id, action) = rest.split_once("/Actions/").map_or((rest, ""), |(id, action)| (id, action));
        let tag = self.check_tag(seen);
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == id) else {
            return refuse(404, "ResourceMissingAtURI", "no such slot");
        };
        match (seen.method.as_str(), action) {
            ("GET", "") => slot.show(),
            ("PATCH", "") if slot.patch_only => tag.unwrap_or_else(|| {
                slot.image = seen.body["Image"].as_str().map(str::to_owned);
                (204, Vec::new(), Value::Null)
            }),
            ("POST", "VirtualMedia.InsertMedia") => slot.insert(&seen.body),
            ("POST", "VirtualMedia.EjectMedia") => slot.eject(&seen.body),
            _ => refuse(405, "ActionNotSupported", "no such method"),
        }
    }
}
