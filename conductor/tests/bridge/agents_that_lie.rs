//! Whoever is at a node's address that is not its agent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::site::{Mode, Site, until};
use crate::stranger;

/// A TLS server with a key of its own that says the same whatever it is asked.
struct Liar {
    asked: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

/// `stay`: it keeps its connections open.
async fn liar(address: SocketAddr, answer: Vec<u8>, stay: bool) -> Liar {
    let (acceptor, _) = stranger::acceptor();
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, answer, count) = (acceptor.clone(), answer.clone(), Arc::clone(&count));
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = [0; 4096];
                if stream.read(&mut request).await.is_ok_and(|length| length > 0) {
                    count.fetch_add(1, Ordering::SeqCst);
                    drop(stream.write_all(&answer).await);
                    if stay {
                        std::future::pending::<()>().await;
                    }
                }
            });
        }
    });
    Liar { asked, task }
}

fn json(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_never_told_to_ironic_and_the_agent_that_comes_then_is() {
    let mut site = Site::without_agent(Mode::Relay, "clean wait").await;
    let address = site.agent_address();
    let endless = b"HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n".to_vec();
    let huge = json(&format!("{{\"version\": \"{}\"}}", "x".repeat(70 << 20)));
    let cases = [json("{"), json("null"), b"SSH-2.0-OpenSSH\r\n".to_vec(), huge, endless];
    for (number, answer) in cases.into_iter().enumerate() {
        let liar = liar(address, answer, number == 4).await;
        until("an attempt", || liar.asked.load(Ordering::SeqCst) > 0).await;
        liar.task.abort();
        assert!(site.bridge.runs());
    }
    assert_eq!(site.ironic.look(|node| (node.lookups, node.heartbeats.len())), (0, 0));
    let (directory, ca) = (site.directory.path().join("agent"), site.ca());
    until("the address", || std::net::TcpListener::bind(address).is_ok()).await;
    site.agent = Some(crate::agent::Agent::start(address, &directory, &ca, None));
    site.ironic.first_heartbeat().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_certificate_is_refused_and_told() {
    let mut site = Site::start(Mode::Proxy, "clean wait", Some(&"m".repeat(43))).await;
    site.ironic.first_heartbeat().await;
    let token = site.ironic.token();
    site.agent().stop();
    let address = site.agent_address();
    // It claims to know the agent's own token as little as its certificate.
    let impostor = liar(address, json("{}"), false).await;
    site.until_counted("certificates_refused_total{reason=\"session\"}").await;
    let told = site.ironic.heartbeats();
    until("its word", || site.bridge.log().contains("it shows certificate")).await;
    assert_eq!(site.ironic.heartbeats(), told);
    impostor.task.abort();
    until("the address", || std::net::TcpListener::bind(address).is_ok()).await;
    site.agent().restart();
    let beat = site.ironic.next_heartbeat().await;
    assert_eq!(beat["agent_token"], token.as_str());
    assert_eq!(site.ironic.look(|node| node.refused), 0);
}
