//! A caller: one TLS connection per request, the answer byte by byte.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WantsClientCert;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, RootCertStore, StreamOwned, SupportedCipherSuite,
    SupportedProtocolVersion,
};
use serde_json::Value;

use super::Identity;

pub(crate) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

#[derive(Clone)]
pub(crate) struct Caller {
    address: SocketAddr,
    config: Arc<ClientConfig>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("an HTTP head");
        let head = std::str::from_utf8(&bytes[..head_end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self { status, headers, body: bytes[head_end + 4..].to_vec() }
    }
}

fn trusting(
    authority: &str,
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
}

impl Caller {
    pub(crate) fn new(address: SocketAddr, authority: &str, identity: Option<&Identity>) -> Self {
        let builder = trusting(authority, default_provider(), rustls::ALL_VERSIONS);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap(),
                )
                .unwrap(),
        };
        Self { address, config: Arc::new(config) }
    }

    /// Who speaks nothing but this suite.
    pub(crate) fn with_suite(address: SocketAddr, authority: &str, suite: SupportedCipherSuite) -> Self {
        let provider = CryptoProvider { cipher_suites: vec![suite], ..default_provider() };
        let builder = trusting(authority, provider, &[suite.version()]);
        Self { address, config: Arc::new(builder.with_no_client_auth()) }
    }

    pub(crate) fn connect(&self) -> io::Result<TlsStream> {
        let name = ServerName::try_from(self.address.ip().to_string()).unwrap();
        let tcp = TcpStream::connect(self.address)?;
        tcp.set_read_timeout(Some(Duration::from_secs(60)))?;
        let connection = ClientConnection::new(self.config.clone(), name).unwrap();
        Ok(StreamOwned::new(connection, tcp))
    }

    /// All bytes of the answer, whatever they are.
    pub(crate) fn raw(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = self.connect()?;
        stream.write_all(request)?;
        stream.flush()?;
        let mut bytes = Vec::new();
        match stream.read_to_end(&mut bytes) {
            // The server does not always say goodbye.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !bytes.is_empty() => Ok(bytes),
            Err(error) => Err(error),
            Ok(_) => Ok(bytes),
        }
    }

    pub(crate) fn request(&self, method: &str, path: &str, body: Option<&[u8]>) -> Answer {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:9999\r\nConnection: close\r\n").into_bytes();
        if let Some(body) = body {
            request.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
        }
        request.extend(b"\r\n");
        request.extend(body.unwrap_or_default());
        Answer::parse(&self.raw(&request).unwrap())
    }
}
