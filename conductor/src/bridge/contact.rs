//! From an address to an agent that may be led.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tacit_protocol::v2;

use crate::agents::{AgentClient, AgentError, ExpectedIdentity, see};
use crate::pki::fingerprint;

use super::config::{Node, is_mac};
use super::session::Life;
use super::shared::Shared;

/// How long an agent may be silent before the bridge stops waiting for a single answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest name that an agent may give to anything, in bytes: UUIDs and addresses are a third of it. What comes from
/// the node is kept on disk.
pub(super) const LONGEST_NAME: usize = 128;
/// As for Ironic's own tokens.
const LONGEST_TOKEN: usize = 512;
/// More network interfaces than any machine has.
const MOST_INTERFACES: usize = 512;

/// An agent that has shown who it is.
pub(super) struct Contact {
    pub(super) client: AgentClient,
    pub(super) life: Life,
    /// What it knows as an agent in Ironic's ramdisk.
    pub(super) ipa: Option<v2::Ipa>,
    /// Where neither the configuration nor the medium says which machine this is: the network addresses that it shows.
    /// Ironic must know the node by them.
    pub(super) unproven: Option<Vec<String>>,
    /// A command would wait for drivers or hardware managers.
    pub(super) preparing: bool,
}

impl Contact {
    /// The token with which Ironic may call the agent, from its boot medium or from a bridge.
    pub(super) fn token(&self) -> Option<&str> {
        self.ipa.as_ref()?.agent_token.as_deref()
    }

    /// The token that Ironic put on the boot medium: only this one tells which machine it is.
    pub(super) fn medium_token(&self) -> Option<&str> {
        self.ipa.as_ref().filter(|ipa| ipa.from_medium)?.agent_token.as_deref()
    }
}

/// Dials the node's agent. `pinned` is the certificate of its present life, if that is known; without it and without
/// one in the configuration, the first that is shown is taken.
///
/// # Errors
/// [`AgentError::WrongMachine`] when it is another one, or the machine is not the node's.
pub(super) async fn contact(
    shared: &Shared,
    node: &Node,
    pinned: Option<&str>,
) -> Result<Contact, AgentError> {
    let address = node.address;
    let certificate = match node.certificate.as_deref().or(pinned) {
        Some(pem) => CertificateDer::from_pem_slice(pem.as_bytes()).map_err(crate::pki::PkiError::Pinned)?,
        None => see(&shared.pki, address).await?,
    };
    let client = AgentClient::pinning(&shared.pki, address, &certificate)?.with_patience(PATIENCE);
    let status = client.status().await?;
    let ipa = client.ipa().await?;
    if let Some(what) = oversized(&status, ipa.as_ref()) {
        let detail = format!("its {what} is longer than any");
        return Err(AgentError::Protocol { address, detail });
    }
    let unproven = check(node, &status, &client)?;
    if let Some(ipa) = &ipa {
        let told = CertificateDer::from_pem_slice(ipa.certificate.as_bytes());
        if !told.is_ok_and(|told| told == certificate) {
            let detail = format!(
                "it says that its certificate is another one than {}, which it shows",
                fingerprint(&certificate)
            );
            return Err(AgentError::WrongMachine { address: Some(address), detail });
        }
    }
    let life =
        Life { boot_id: status.boot_id, started_at: status.started_at, certificate: to_pem(&certificate) };
    Ok(Contact { client, life, ipa, unproven, preparing: status.preparing })
}

/// What of the agent's words is too long to be kept.
fn oversized(status: &v2::Status, ipa: Option<&v2::Ipa>) -> Option<&'static str> {
    let identity = &status.identity;
    let long = |text: &str| text.len() > LONGEST_NAME;
    let token = ipa.and_then(|ipa| ipa.agent_token.as_deref());
    let found = [
        ("boot id", long(&status.boot_id)),
        ("node UUID", long(&status.node_uuid)),
        ("system UUID", identity.system_uuid.as_deref().is_some_and(long)),
        ("list of network interfaces", identity.mac_addresses.len() > MOST_INTERFACES),
        ("network address", identity.mac_addresses.iter().any(|mac| long(mac))),
        ("token", token.is_some_and(|token| token.len() > LONGEST_TOKEN)),
    ];
    found.into_iter().find_map(|(what, is)| is.then_some(what))
}

/// Compares with what the configuration knows of the machine. Where it knows nothing, only Ironic can: the network
/// addresses to ask it for.
fn check(node: &Node, status: &v2::Status, client: &AgentClient) -> Result<Option<Vec<String>>, AgentError> {
    let said = status.node_uuid.parse::<uuid::Uuid>().ok();
    let expected = ExpectedIdentity {
        // Unknown until the first lookup, where nodes are named by MAC.
        node_uuid: node.uuid.or(said).unwrap_or_default(),
        system_uuid: node.system_uuid.clone(),
        macs: node.macs.clone(),
    };
    let known = expected.system_uuid.is_some() || !expected.macs.is_empty();
    if !known && status.trust == v2::Trust::FirstContact {
        let shown = status.identity.mac_addresses.iter().map(|mac| mac.to_ascii_lowercase());
        return Ok(Some(shown.filter(|mac| is_mac(mac)).collect()));
    }
    match crate::agents::check_identity(&expected, status) {
        Ok(()) => Ok(None),
        Err(AgentError::WrongMachine { detail, .. }) => {
            Err(AgentError::WrongMachine { address: Some(client.address()), detail })
        }
        Err(other) => Err(other),
    }
}

fn to_pem(certificate: &CertificateDer<'_>) -> String {
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    let encoded = STANDARD.encode(certificate);
    for start in (0..encoded.len()).step_by(64) {
        text.push_str(&encoded[start..encoded.len().min(start + 64)]);
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_survive_their_pem() {
        for length in [1, 47, 48, 49, 700] {
            let certificate = CertificateDer::from(vec![7; length]);
            let pem = to_pem(&certificate);
            assert_eq!(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap(), certificate);
            assert!(pem.lines().all(|line| line.len() <= 64));
        }
    }
}
