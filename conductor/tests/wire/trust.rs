use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use tacit_conductor::agents::{AgentClient, AgentError};
use tacit_conductor::pki::{Pki, PkiError};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

use crate::fake_agent::{FakeAgent, provider, roots, server_config};

pub(crate) fn new_pki() -> (TempDir, Pki) {
    let directory = tempfile::tempdir().unwrap();
    let pki = Pki::open_or_create(&directory.path().join("pki")).unwrap();
    (directory, pki)
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn accepts_as_caller(roots: &Arc<RootCertStore>, certificate: &CertificateDer<'_>) -> bool {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider()).build().unwrap();
    verifier.verify_client_cert(certificate, &[], UnixTime::now()).is_ok()
}

fn accepts_as_server(roots: &Arc<RootCertStore>, certificate: &CertificateDer<'_>, name: &str) -> bool {
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider()).build().unwrap();
    let name = ServerName::try_from(name).unwrap();
    verifier.verify_server_cert(certificate, &[], &name, &[], UnixTime::now()).is_ok()
}

#[test]
fn certificates_serve_one_purpose_each() {
    let (directory, pki) = new_pki();
    let roots = roots(&pki);
    let node = pki.issue_node(Uuid::new_v4(), "192.0.2.7".parse().unwrap()).unwrap();
    let node = certificate(&node.certificate_pem);
    let text = std::fs::read_to_string(directory.path().join("pki/conductor.crt")).unwrap();
    let conductor = certificate(&text);

    assert!(accepts_as_server(&roots, &node, "192.0.2.7"));
    assert!(!accepts_as_server(&roots, &node, "192.0.2.8"), "it is for one address");
    assert!(!accepts_as_caller(&roots, &node), "a node is no conductor");
    assert!(accepts_as_caller(&roots, &conductor));
    assert!(!accepts_as_server(&roots, &conductor, "192.0.2.7"));
    let (_other_directory, other) = new_pki();
    assert!(!accepts_as_caller(&crate::fake_agent::roots(&other), &conductor));
}

#[test]
fn a_node_certificate_names_node_and_address() {
    let (_directory, pki) = new_pki();
    let node = Uuid::new_v4();
    let identity = pki.issue_node(node, "2001:db8::7".parse().unwrap()).unwrap();
    let der = certificate(&identity.certificate_pem);
    let urn = format!("urn:uuid:{node}");
    let holds = |bytes: &[u8]| der.windows(bytes.len()).any(|window| window == bytes);
    assert!(holds(urn.as_bytes()));
    assert!(holds(&"2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets()));
    assert!(identity.private_key_pem.starts_with("-----BEGIN PRIVATE KEY-----"));
    assert!(!format!("{identity:?}").contains("PRIVATE KEY"));
    assert!(!format!("{pki:?}").contains("PRIVATE KEY"));
    let again = pki.issue_node(node, "2001:db8::7".parse().unwrap()).unwrap();
    assert_ne!(again.private_key_pem, identity.private_key_pem, "each boot has its own key");
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_authority_is_the_same_when_opened_again() {
    let (directory, pki) = new_pki();
    let path = directory.path().join("pki");
    assert_eq!(Pki::open_or_create(&path).unwrap().ca_pem(), pki.ca_pem());
    for key in ["ca.key", "conductor.key"] {
        assert_eq!(path.join(key).metadata().unwrap().permissions().mode() & 0o777, 0o600, "{key}");
    }
    let names: Vec<_> = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 4, "drafts are left behind: {names:?}");

    // A crash after the key was made.
    std::fs::remove_file(path.join("conductor.crt")).unwrap();
    assert_eq!(Pki::open_or_create(&path).unwrap().ca_pem(), pki.ca_pem());
}

#[test]
fn keys_that_others_can_read_or_that_do_not_fit_are_refused() {
    let (directory, _) = new_pki();
    let path = directory.path().join("pki");
    for mode in [0o640, 0o604] {
        set_mode(&path.join("ca.key"), mode);
        let error = Pki::open_or_create(&path).unwrap_err();
        assert!(matches!(&error, PkiError::KeyExposed { mode: found, .. } if *found == mode), "{error}");
        assert!(error.to_string().contains("ca.key"), "{error}");
    }
    set_mode(&path.join("ca.key"), 0o600);

    let (other_directory, _) = new_pki();
    let other = other_directory.path().join("pki");
    std::fs::copy(other.join("conductor.crt"), path.join("conductor.crt")).unwrap();
    std::fs::copy(other.join("conductor.key"), path.join("conductor.key")).unwrap();
    let error = Pki::open_or_create(&path).unwrap_err();
    assert!(error.to_string().contains("conductor.crt"), "another authority's: {error}");
    std::fs::copy(other.join("ca.key"), path.join("ca.key")).unwrap();
    let error = Pki::open_or_create(&path).unwrap_err();
    assert!(error.to_string().contains("ca.crt"), "key of another certificate: {error}");
}

#[test]
fn processes_that_create_it_at_once_agree() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pki");
    let open = || Pki::open_or_create(&path).unwrap().ca_pem().to_owned();
    let found: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(found.iter().all(|pem| *pem == found[0]));
}

#[tokio::test]
async fn the_expected_agent_answers() {
    let (_directory, pki) = new_pki();
    let agent = FakeAgent::start(&pki).await;
    let client = agent.client(&pki);
    assert_eq!(client.status().await.unwrap().node_uuid, agent.node.to_string());
    let clock = client.set_clock().await.unwrap();
    assert!(clock.unix_time > 1.7e9);
    assert!(client.operations().await.unwrap().is_empty());
    assert_eq!(agent.shared.handshakes.load(Ordering::SeqCst), 1, "requests share a connection");
}

#[tokio::test]
async fn another_machine_at_the_known_address_is_sent_nothing() {
    let (_directory, pki) = new_pki();
    let agent = FakeAgent::start(&pki).await;
    // Same authority, same node, same address: but the medium of another boot.
    let earlier = pki.issue_node(agent.node, agent.address.ip()).unwrap();
    let client = AgentClient::new(&pki, agent.address, &earlier.certificate_pem).unwrap();
    for error in [client.status().await.unwrap_err(), client.lend(Arc::default()).await.unwrap_err()] {
        assert!(
            matches!(&error, AgentError::WrongMachine { address: Some(at), .. } if *at == agent.address),
            "{error:?}"
        );
        assert!(error.to_string().contains("certificate"), "{error}");
        assert!(!error.is_transient());
    }
    assert_eq!(agent.shared.handshakes.load(Ordering::SeqCst), 0);
    assert_eq!(agent.shared.requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_agent_refuses_a_conductor_of_another_authority() {
    let (_directory, pki) = new_pki();
    let (_other_directory, other) = new_pki();
    let agent = FakeAgent::start(&pki).await;
    let client = AgentClient::new(&other, agent.address, &agent.identity.certificate_pem).unwrap();
    let error = client.status().await.unwrap_err();
    // The refusal may reach the conductor as an alert or as a closed socket.
    assert!(matches!(error, AgentError::CallerRefused { .. } | AgentError::Unreachable { .. }), "{error:?}");
    assert_eq!(agent.shared.requests.load(Ordering::SeqCst), 0);
}

/// Serves one connection with `first` and returns what it got.
async fn raw_server(first: &'static [u8]) -> (SocketAddr, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let got = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(first).await.unwrap();
        let mut got = Vec::new();
        // However the other end closes, what came counts.
        drop(stream.read_to_end(&mut got).await);
        got
    });
    (address, got)
}

#[tokio::test]
async fn what_speaks_no_tls_is_sent_no_http() {
    let (_directory, pki) = new_pki();
    let (address, got) = raw_server(b"SSH-2.0-OpenSSH_9.2\r\n").await;
    let identity = pki.issue_node(Uuid::new_v4(), address.ip()).unwrap();
    let client = AgentClient::new(&pki, address, &identity.certificate_pem).unwrap();
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, AgentError::WrongMachine { .. }), "{error:?}");
    let got = got.await.unwrap();
    assert!(!got.windows(5).any(|window| window == b"/v2/s" || window == b"HTTP/"), "{got:?}");
}

#[tokio::test]
async fn tls_before_1_3_is_refused() {
    let (_directory, pki) = new_pki();
    let identity = pki.issue_node(Uuid::new_v4(), [127, 0, 0, 1].into()).unwrap();
    let config = server_config(&pki, &identity, &rustls::version::TLS12);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        TlsAcceptor::from(Arc::new(config)).accept(stream).await.is_ok()
    });
    let client = AgentClient::new(&pki, address, &identity.certificate_pem).unwrap();
    let error = client.status().await.unwrap_err();
    assert!(!error.is_transient(), "{error:?}");
    assert!(!server.await.unwrap());
}

#[tokio::test]
async fn a_silent_address_may_answer_later() {
    let (_directory, pki) = new_pki();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let identity = pki.issue_node(Uuid::new_v4(), address.ip()).unwrap();
    let client = AgentClient::new(&pki, address, &identity.certificate_pem).unwrap();
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, AgentError::Unreachable { .. }) && error.is_transient(), "{error:?}");
    assert!(error.to_string().contains(&address.to_string()));
}
