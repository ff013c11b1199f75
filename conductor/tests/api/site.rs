//! A small site to ask questions of.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tacit_conductor::api::{ApiState, router};
use tacit_conductor::store::Store;
use tower::ServiceExt;

use crate::engine::FakeEngine;

pub(crate) struct Site {
    app: Router,
    pub(crate) store: Arc<Store>,
    pub(crate) engine: Arc<FakeEngine>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    pub(crate) length: usize,
}

impl Answer {
    /// Status and the sentence of an error.
    pub(crate) fn fault(&self) -> (u16, String) {
        let text = self.body["error_message"].as_str().unwrap_or_else(|| panic!("no error: {self:?}"));
        let inner: Value = serde_json::from_str(text).unwrap();
        let said = inner.get("faultstring").or(inner.get("description")).unwrap();
        (self.status.as_u16(), said.as_str().unwrap().to_owned())
    }

    pub(crate) fn ok(self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        self.body
    }
}

impl Site {
    pub(crate) fn new() -> Self {
        let store = Arc::new(Store::in_memory().unwrap());
        let engine = Arc::new(FakeEngine::new(Arc::clone(&store)));
        let state = ApiState { store: Arc::clone(&store), engine: engine.clone(), public_url: None };
        Self { app: router(state), store, engine }
    }

    pub(crate) fn app(&self) -> Router {
        self.app.clone()
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, version: Option<&str>, body: Body) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:6385");
        if let Some(version) = version {
            request = request.header("X-OpenStack-Ironic-API-Version", version);
        }
        let response = self.app().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Answer { status: parts.status, headers: parts.headers, body, length: bytes.len() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, Some("1.115"), Body::empty()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, Some("1.115"), Body::empty()).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: Value) -> Answer {
        self.ask(method, path, Some("1.115"), Body::from(body.to_string())).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, body).await
    }

    /// A node by name, its record as answered.
    pub(crate) async fn node(&self, name: &str) -> Value {
        let info = json!({"redfish_address": "https://bmc", "redfish_password": "secret"});
        self.post("/v1/nodes", json!({"name": name, "driver": "redfish", "driver_info": info})).await.ok()
    }
}
