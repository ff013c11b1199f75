//! From arguments and files to what an agent in IPA's place is made of.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
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
    let mut face = options.face();
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
        image_policy: options.image_policy(),
        face,
        security,
    })
}

/// Kernel parameters, then files.
pub(crate) fn options(arguments: &IpaArguments) -> Result<Options> {
    let mut options = Options::default();
    for path in &arguments.kernel_parameters {
        options.add_parameters(&read_whatever(path)?);
    }
    for path in &arguments.config_file {
        options.add_file(&read_whatever(path)?);
    }
    Ok(options)
}

/// Certificate and key, PEM: from files, or the agent's own where it is a machine's.
fn certificate(
    arguments: &IpaArguments,
    options: &Options,
    state_dir: &Path,
) -> Result<Option<(String, String)>> {
    let given = arguments.tls_cert.as_deref().zip(arguments.tls_key.as_deref());
    let configured = options.tls_files()?.map(|(certificate, key)| (Path::new(certificate), Path::new(key)));
    if let Some((certificate, key)) = given.or(configured) {
        return Ok(Some((read(certificate)?, read(key)?)));
    }
    let boots_a_machine = !arguments.kernel_parameters.is_empty() || arguments.bridge_ca.is_some();
    if !(boots_a_machine && options.auto_tls()?) {
        options.may_be_plain()?;
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

/// A boot's texts are not always UTF-8; what is not is in no value of ours.
fn read_whatever(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::OptionsError;
    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        ipa: IpaArguments,
    }

    /// What becomes of the certificate with this configuration file and these arguments.
    fn certificate_with(file: &str, more: &[&str]) -> Result<bool> {
        let work = tempfile::tempdir().unwrap();
        let path = work.path().join("ironic.conf");
        fs::write(&path, file).unwrap();
        let words = ["serve", "--ipa", "--config-file", path.to_str().unwrap()];
        let arguments = Command::parse_from(words.iter().chain(more)).ipa;
        let given = options(&arguments)?;
        certificate(&arguments, &given, work.path()).map(|certificate| certificate.is_some())
    }

    #[test]
    fn who_counts_on_tls_never_gets_plain_http() {
        let forgotten = "listen_tls = true\nenable_auto_tls = false\n";
        for (file, word) in [
            (forgotten.to_owned(), "listen_tls"),
            (format!("{forgotten}tls_cert_file = /c\n"), "tls_key_file"),
            ("enable_auto_tls = false\ntls_key_file = /k\n".to_owned(), "tls_cert_file"),
        ] {
            let error = certificate_with(&file, &["--kernel-parameters", "/dev/null"]).unwrap_err();
            assert!(error.downcast_ref::<OptionsError>().is_some(), "{error}");
            assert!(error.to_string().starts_with(word), "{error}");
        }
        assert!(certificate_with("listen_tls = true", &["--kernel-parameters", "/dev/null"]).unwrap());
        assert!(certificate_with("listen_tls = true", &[]).is_err());
        assert!(!certificate_with("enable_auto_tls = false", &["--kernel-parameters", "/dev/null"]).unwrap());
    }

    #[test]
    fn a_boots_text_may_be_of_any_bytes() {
        let work = tempfile::tempdir().unwrap();
        let path = work.path().join("cmdline");
        fs::write(&path, b"name=M\xfcller ipa-agent-token=secret").unwrap();
        let arguments =
            Command::parse_from(["serve", "--ipa", "--kernel-parameters", path.to_str().unwrap()]);
        assert_eq!(options(&arguments.ipa).unwrap().token().as_deref(), Some("secret"));
    }
}
