//! Keystone is for reading the list of nodes, and for nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tacit_ports::free_address;
use tokio::net::TcpListener;

use crate::ironic::Ironic;
use crate::machine::Machine;
use crate::site::{NODE, bridge, until};

type Logins = Arc<AtomicUsize>;

async fn login(State(logins): State<Logins>) -> (StatusCode, HeaderMap, &'static str) {
    let number = logins.fetch_add(1, Ordering::SeqCst);
    let mut headers = HeaderMap::new();
    headers.insert("X-Subject-Token", format!("token-{number}").parse().unwrap());
    (StatusCode::CREATED, headers, "{}")
}

async fn keystone() -> (SocketAddr, Logins, tokio::task::JoinHandle<()>) {
    let logins = Logins::default();
    let router = Router::new().route("/v3/auth/tokens", post(login)).with_state(Arc::clone(&logins));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, logins, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_led_without_keystone_and_a_token_is_renewed_once() {
    let directory = tempfile::tempdir().unwrap();
    let ironic = Ironic::start("clean wait").await;
    ironic.look(|node| (node.readable, node.state) = (true, "available".to_owned()));
    let (identity, logins, server) = keystone().await;
    let address = free_address();
    let _machine = Machine::start(address, |_| {}).await;
    let password = directory.path().join("password");
    std::fs::write(&password, "secret\n").unwrap();
    let config = directory.path().join("bridge.toml");
    let text = format!(
        "state_dir = {:?}\n[ironic]\nurl = 'http://{}'\n\
         auth = {{ type = 'keystone', auth_url = 'http://{identity}/v3', username = 'bridge', \
         password_file = {password:?}, project = 'service' }}\n\
         [proxy]\nlisten = '127.0.0.1:0'\npublic_url = 'https://127.0.0.1:6390'\n[defaults]\nmode = 'proxy'\n\
         [[node]]\nuuid = '{NODE}'\naddress = '{address}'\n",
        directory.path().join("state"),
        ironic.address,
    );
    std::fs::write(&config, text).unwrap();
    let _bridge = bridge(&config);
    until("the list of nodes", || ironic.look(|node| node.lists > 5)).await;
    assert_eq!(logins.load(Ordering::SeqCst), 1);
    // An old token is refused, and another one taken.
    ironic.look(|node| node.refused_tokens = vec!["token-0".to_owned()]);
    until("another login", || logins.load(Ordering::SeqCst) == 2).await;
    let lists = ironic.look(|node| node.lists);
    until("the list of nodes again", || ironic.look(|node| node.lists > lists + 5)).await;
    assert_eq!(logins.load(Ordering::SeqCst), 2);
    // Keystone is gone, the token runs out, and just then Ironic begins to wait.
    server.abort();
    ironic.look(|node| {
        node.refused_tokens.push("token-1".to_owned());
        node.state = "clean wait".to_owned();
    });
    ironic.first_heartbeat().await;
    assert_eq!(ironic.look(|node| node.signed), 0, "a ramdisk shows no token of Keystone");
}
