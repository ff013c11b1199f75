//! Media: what a node is booted from, made and served for one boot.

use uuid::Uuid;

use tacit_protocol::medium::{NODE_CONFIG_VERSION, NodeConfig};

use super::address;
use super::engine::{BOOT_DOC, Engine};
use super::events::unix_now;
use super::image;
use crate::agents::BootRecord;
use crate::chain::chain;
use crate::media;
use crate::node::Node;
use crate::store::StoreError;

impl Engine {
    /// A new attempt to boot a node's ramdisk: new key, new certificate, new path.
    pub(super) fn new_boot(&self, node: &Node) -> Result<BootRecord, String> {
        let address = address::agent_address(node)?;
        let identity = self.pki.issue_node(node.uuid, address.ip()).map_err(|error| chain(&error))?;
        Ok(BootRecord {
            node: node.uuid,
            attempt: Uuid::new_v4().to_string(),
            address,
            certificate_pem: identity.certificate_pem,
            private_key_pem: identity.private_key_pem,
            media_token: media::new_token(),
            made_at: unix_now() as i64,
        })
    }

    /// Makes the node's medium and serves it; the URL is for the BMC.
    pub(super) fn publish_medium(&self, node: &Node, boot: &BootRecord) -> Result<String, String> {
        let template =
            self.template.as_ref().ok_or("this conductor was started without --media: no ramdisk to boot")?;
        let config = NodeConfig {
            version: NODE_CONFIG_VERSION,
            node_uuid: node.uuid.to_string(),
            made_at: boot.made_at,
            ca_certificate: self.pki.ca_pem().to_owned(),
            certificate: boot.certificate_pem.clone(),
            private_key: boot.private_key_pem.clone(),
            network_data: address::network_data(node)?,
            port: Some(boot.address.port()),
            image_policy: image::policy(node)?,
        };
        let medium = template.medium(&config).map_err(|error| chain(&error))?;
        let mut published = self.published.lock().expect("no holder of the lock panics");
        // The key of an earlier boot is not for anybody to fetch any more.
        if let Some(earlier) = published.insert(node.uuid, boot.media_token.clone()) {
            self.media.unregister(&earlier);
        }
        self.media.register(&boot.media_token, medium);
        Ok(self.media.url(&boot.media_token))
    }

    pub(super) fn boot_record(&self, id: Uuid) -> Result<Option<BootRecord>, StoreError> {
        self.store.transact(|tx| tx.doc::<BootRecord>(BOOT_DOC, id))
    }

    /// Ends the serving of the node's medium, which holds the key of a boot that is over.
    pub(super) fn withdraw_medium(&self, id: Uuid) {
        let token = self.published.lock().expect("no holder of the lock panics").remove(&id);
        if let Some(token) = token {
            self.media.unregister(&token);
        }
    }

    /// How far the BMC has read the medium: the only sign of life before the agent speaks.
    pub(super) fn medium_words(&self, token: &str) -> String {
        match self.media.access(token).map_or(0, |access| access.bytes) {
            0 => "nobody fetched the medium: can the BMC reach the media URL?".into(),
            bytes => format!("{bytes} bytes of the medium were fetched"),
        }
    }
}
