//! From arguments and files to what an agent in IPA's place is made of.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use nix::ifaddrs::getifaddrs;
use tacit_protocol::medium::ImagePolicy;

use super::{IpaFace, Options};
use crate::cli::IpaArguments;
use crate::process::boot_id;
use crate::tls::{IpaTls, OwnCertificate, Security, ipa_config};

/// Everything that differs from an agent with a node's configuration.
pub(crate) struct Start {
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) token: Option<String>,
    pub(crate) image_policy: ImagePolicy,
    pub(crate) face: IpaFace,
    pub(crate) security: Security,
}

/// # Errors
///
/// When a file cannot be read, or an option makes no sense.
pub(crate) fn start(arguments: &IpaArguments, options: &Options, state_dir: &Path) -> Result<Start> {
    for remark in options.remarks() {
        tracing::info!("{remark}");
    }
    let bridge = arguments.bridge_ca.as_deref().map(read).transpose()?;
    let mut face = options.face()?;
    let certificate = certificate(arguments, options, state_dir)?;
    let security = match &certificate {
        None => {
            tracing::warn!("no TLS: the token can be read by everybody on the network");
            Security::Plain
        }
        Some((certificate, private_key)) => {
            face.certificate.clone_from(certificate);
            face.obeys_certificates = bridge.is_some();
            let tls = ipa_config(&IpaTls {
                certificate,
                private_key,
                authority: bridge.as_deref(),
                versions: options.tls_versions()?,
            });
            Security::Tls(Arc::new(tls.context("cannot set up TLS")?))
        }
    };
    Ok(Start {
        listen: options.listen()?,
        token: arguments.agent_token.clone().or_else(|| options.token()).filter(|token| !token.is_empty()),
        image_policy: options.image_policy()?,
        face,
        security,
    })
}

/// Kernel parameters, then files.
pub(crate) fn options(arguments: &IpaArguments) -> Result<Options> {
    let mut options = Options::default();
    for path in &arguments.kernel_parameters {
        options.add_parameters(&read(path)?);
    }
    for path in &arguments.config_file {
        options.add_file(&read(path)?);
    }
    Ok(options)
}

/// Certificate and key, PEM: from files, or the agent's own where it is a machine's.
fn certificate(
    arguments: &IpaArguments,
    options: &Options,
    state_dir: &Path,
) -> Result<Option<(String, String)>> {
    let given = arguments.tls_cert.clone().zip(arguments.tls_key.clone());
    let configured = || options.tls_files().map(|(cert, key)| (PathBuf::from(cert), PathBuf::from(key)));
    if let Some((certificate, key)) = given.or_else(configured) {
        return Ok(Some((read(&certificate)?, read(&key)?)));
    }
    let boots_a_machine = !arguments.kernel_parameters.is_empty() || arguments.bridge_ca.is_some();
    if !(boots_a_machine && options.auto_tls()?) {
        return Ok(None);
    }
    let mut addresses = own_addresses();
    addresses.extend(options.advertised());
    addresses.sort();
    addresses.dedup();
    let own = OwnCertificate::of_boot(state_dir, &boot_id(), &addresses, options.curve()?)?;
    tracing::info!("own certificate for {addresses:?}");
    Ok(Some((own.certificate, own.private_key)))
}

/// Addresses by which this machine can be called.
fn own_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = getifaddrs() else { return Vec::new() };
    interfaces
        .filter_map(|interface| interface.address)
        .filter_map(|address| {
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
        })
        .filter(|address| match address {
            IpAddr::V4(address) => !address.is_link_local(),
            IpAddr::V6(address) => !address.is_unicast_link_local(),
        })
        .collect()
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
