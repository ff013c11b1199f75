use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::{PrivateKeyDer, ServerName};
use tacit_fetch::{Authorities, FetchKind, Fetcher};

use crate::server::Asked;
use crate::{Somebody, all, content, direct, url};

/// An authority of a site's own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server of `localhost`.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Arc::new(config)
    }
}

pub(crate) fn client(socket: TcpStream, authority: &Authority) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), socket)
}

pub(crate) fn accept(mut socket: &TcpStream, authority: &Authority) -> ServerConnection {
    let mut session = ServerConnection::new(authority.server()).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut socket).unwrap();
    }
    session
}

fn serve(authority: &Authority, bytes: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = authority.server();
    thread::spawn(move || {
        for (connection, socket) in listener.incoming().enumerate() {
            let session = ServerConnection::new(config.clone()).unwrap();
            let mut reader = BufReader::new(StreamOwned::new(session, socket.unwrap()));
            let mut nth = 0;
            while let Some(asked) = Asked::read(&mut reader, connection, nth) {
                nth += 1;
                let answer = asked.answer(&bytes);
                if reader.get_mut().write_all(&answer).is_err() {
                    break;
                }
            }
        }
    });
    port
}

#[test]
fn a_sites_own_authority() {
    let authority = Authority::new();
    let bytes = content(2 << 20);
    let port = serve(&authority, bytes.clone());
    let image = url(&format!("https://localhost:{port}/image"));
    let authorities = Authorities::public().with_pem(authority.pem().as_bytes()).unwrap();
    let fetcher = Fetcher::direct(authorities, Arc::new(Somebody::default())).unwrap();
    for _ in 0..3 {
        assert!(all(fetcher.open(&image, 0, None, None).unwrap()) == bytes);
        assert!(all(fetcher.open(&image, 5, Some(100_000), None).unwrap()) == bytes[5..100_005]);
    }
}

#[test]
fn strangers_are_refused_for_good() {
    let port = serve(&Authority::new(), b"ok".to_vec());
    let image = url(&format!("https://localhost:{port}/image"));
    let error = direct().open(&image, 0, None, None).unwrap_err();
    assert_eq!(error.kind, FetchKind::Fatal, "{error}");
    assert!(error.what.contains("certificate"), "{error}");
}

#[test]
fn a_certificate_of_another_name_is_refused() {
    let authority = Authority::new();
    let port = serve(&authority, b"ok".to_vec());
    let authorities = Authorities::public().with_pem(authority.pem().as_bytes()).unwrap();
    let fetcher = Fetcher::direct(authorities, Arc::new(Somebody::default())).unwrap();
    let error = fetcher.open(&url(&format!("https://127.0.0.1:{port}/image")), 0, None, None).unwrap_err();
    assert_eq!(error.kind, FetchKind::Fatal, "{error}");
}
