//! Which versions and suites of TLS the agent in IPA's place speaks (IPA contract §1.9), one at a time.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use rustls::crypto::ring::{ALL_CIPHER_SUITES, cipher_suite};
use rustls::{ProtocolVersion, SupportedCipherSuite};

use crate::support::{Authority, Caller, IpaAgent};

fn speaks(address: SocketAddr, certificate: &str, suite: SupportedCipherSuite) -> bool {
    let request = b"GET /v1/status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = Caller::with_suite(address, certificate, suite).raw(request);
    answer.is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200"))
}

/// All of them that it speaks.
fn spoken(address: SocketAddr, certificate: &str) -> Vec<SupportedCipherSuite> {
    ALL_CIPHER_SUITES.iter().copied().filter(|suite| speaks(address, certificate, *suite)).collect()
}

const TLS_13: [SupportedCipherSuite; 3] = [
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
];

#[test]
fn its_own_certificate_is_shown_with_two_suites_of_1_2_and_all_of_1_3() {
    let authority = Authority::new("the bridge's");
    let agent = IpaAgent::with_bridge(&authority, Some("quiet"));
    let expected = [
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ];
    let found = spoken(agent.address, &agent.certificate());
    assert_eq!(found, TLS_13.into_iter().chain(expected).collect::<Vec<_>>());
}

#[test]
fn with_a_certificate_of_rsa_it_speaks_the_other_two_of_1_2() {
    let work = tempfile::tempdir().unwrap();
    let (certificate, key) = rsa(work.path());
    let agent = IpaAgent::over_tls(&certificate, &key);
    let expected = [
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ];
    let found = spoken(agent.address, &fs::read_to_string(certificate).unwrap());
    assert_eq!(found, TLS_13.into_iter().chain(expected).collect::<Vec<_>>());
}

#[test]
fn a_least_version_of_1_3_leaves_nothing_of_1_2() {
    let authority = Authority::new("the bridge's");
    let agent = IpaAgent::with_bridge(&authority, Some("ipa-tls-min-version=1.3"));
    let found = spoken(agent.address, &agent.certificate());
    assert!(found.iter().all(|suite| suite.version().version == ProtocolVersion::TLSv1_3), "{found:?}");
    assert_eq!(found, TLS_13);
}

/// Paths of a certificate for this agent and of its key.
fn rsa(folder: &Path) -> (String, String) {
    let config = folder.join("openssl.cnf");
    let text = "[req]\ndistinguished_name = dn\nx509_extensions = ext\nprompt = no\n[dn]\nCN = agent\n\
                [ext]\nsubjectAltName = IP:127.0.0.1\nbasicConstraints = critical, CA:FALSE\n";
    fs::write(&config, text).unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("certificate.pem"), path("key.pem"));
    let mut make = Command::new("openssl");
    make.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-config"]).arg(config);
    let made = make.args(["-out", &certificate, "-keyout", &key]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (certificate, key)
}
