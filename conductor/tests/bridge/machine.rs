//! A machine whose agent is played: it shows what a test wants, and does nothing.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::stranger;

pub(crate) const MAC: &str = "52:54:00:00:00:01";

pub(crate) struct Machine {
    /// Paths that somebody asked for.
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

struct Shown {
    /// `status` and `ipa`.
    of_v2: Value,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Machine {
    /// An agent in Ironic's ramdisk after a network boot, with the interface [`MAC`]; `change` makes another one of it.
    pub(crate) async fn start(address: SocketAddr, change: impl FnOnce(&mut Value)) -> Self {
        let (acceptor, certificate) = stranger::acceptor();
        let status = json!({
            "version": "0", "boot_id": "b", "started_at": 1.0, "first_answer_uptime": null,
            "agent_startup_seconds": 0.0, "preparing": false, "rss_bytes": 0, "rss_peak_bytes": 0,
            "node_uuid": "", "trust": "first-contact", "running": null, "last_event": 0,
            "identity": {"system_uuid": null, "serial_number": null, "mac_addresses": [MAC]},
        });
        let asked = Arc::new(Mutex::new(Vec::new()));
        let ipa = json!({"agent_token": null, "from_medium": false, "certificate": certificate});
        let mut of_v2 = json!({"status": status, "ipa": ipa});
        change(&mut of_v2);
        let shown = Arc::new(Shown { of_v2, asked: Arc::clone(&asked) });
        let router = Router::new().fallback(answer).with_state(shown);
        let listener = TcpListener::bind(address).await.unwrap();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self { asked, task }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(shown): State<Arc<Shown>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    shown.asked.lock().unwrap().push(path.clone());
    let body = match path.as_str() {
        "/v2/status" => shown.of_v2["status"].clone(),
        "/v2/ipa" => shown.of_v2["ipa"].clone(),
        "/v2/clock" => json!({"unix_time": 1.0}),
        "/v1/commands/" => json!({"commands": []}),
        "/v2/events" => {
            // Nothing happens here.
            tokio::time::sleep(Duration::from_secs(1)).await;
            json!({"boot_id": shown.of_v2["status"]["boot_id"], "last": 0, "lost": 0, "events": []})
        }
        _ => return axum::http::StatusCode::NOT_FOUND.into_response(),
    };
    axum::Json(body).into_response()
}
