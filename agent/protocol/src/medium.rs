//! The per-node part of a boot medium: what a node is told before the first packet.
//!
//! The image builder reserves a region of [`REGION_SIZE`] bytes in the medium; the conductor overlays it with
//! [`NodeConfig`] as JSON, padded with spaces. systemd-stub hands the file to the ramdisk as
//! `/.extra/credentials/tacit.cred`.

use serde::{Deserialize, Serialize};

use crate::network_data::NetworkData;

/// Size of the reserved region in bytes.
pub const REGION_SIZE: usize = 64 * 1024;

/// First bytes of an unfilled region: how the region is found in a finished medium. The rest is spaces.
pub const REGION_MARKER: &[u8; 48] = b"TACIT-NODE-CONFIG-REGION-V1 (not configured yet)";

/// Where the ramdisk finds the region.
pub const CREDENTIAL_PATH: &str = "/.extra/credentials/tacit.cred";

/// Version of [`NodeConfig`].
pub const NODE_CONFIG_VERSION: u32 = 1;

/// Who this node is, whom it may answer and how it is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeConfig {
    pub version: u32,
    pub node_uuid: String,
    /// Unix time in seconds when this was made: a floor for the clock.
    pub made_at: i64,
    /// Certificate authority of the conductor, PEM. Only callers with a client certificate of it are answered.
    pub ca_certificate: String,
    /// Server certificate made for this node and this boot, PEM.
    pub certificate: String,
    /// Its private key, PKCS#8 PEM.
    pub private_key: String,
    /// Static addresses, links and routes. Absent, the agent configures nothing: there is no DHCP, and nobody reaches
    /// the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_data: Option<NetworkData>,
    /// Port to listen on; 9999 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// What the node's operator wants of images, whatever a deployment asks for.
    #[serde(flatten)]
    pub image_policy: ImagePolicy,
}

/// What holds for every image of a node. Keys as in IPA's configuration where it has them (IPA contract §9.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImagePolicy {
    /// minisign public keys, one of which must have signed an image that comes with a signature.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_signature_keys: Vec<String>,
    /// No image without a signature by one of these keys is written.
    #[serde(skip_serializing_if = "is_false")]
    pub require_image_signature: bool,
    /// An MD5 digest may vouch for an image.
    #[serde(skip_serializing_if = "is_false")]
    pub md5_enabled: bool,
    /// Config drives become FAT file systems; they do anyway where the disk's sectors need it.
    #[serde(skip_serializing_if = "is_false")]
    pub config_drive_rebuild: bool,
    /// Seconds without a byte after which a connection is given up; 60 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_download_connection_timeout: Option<u32>,
    /// Attempts after the first that may fail in a row before the next URL is tried; 9 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_download_connection_retries: Option<u32>,
    /// Longest pause between two attempts in seconds; 10 when absent. The first pauses are shorter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_download_connection_retry_interval: Option<u32>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Why bytes are not a node configuration.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    #[error("node configuration takes {0} bytes, the region holds {REGION_SIZE}")]
    TooLarge(usize),
    #[error("the medium's region was never filled: this is the shared file, not a node's medium")]
    NotConfigured,
    #[error("node configuration is not valid JSON")]
    Json(#[source] serde_json::Error),
    #[error("node configuration has version {0}, this agent knows {NODE_CONFIG_VERSION}")]
    Version(u32),
}

impl NodeConfig {
    /// The region's bytes, exactly [`REGION_SIZE`] long.
    pub fn to_region(&self) -> Result<Vec<u8>, RegionError> {
        let mut bytes = serde_json::to_vec(self).map_err(RegionError::Json)?;
        if bytes.len() > REGION_SIZE {
            return Err(RegionError::TooLarge(bytes.len()));
        }
        bytes.resize(REGION_SIZE, b' ');
        Ok(bytes)
    }

    /// Reads a region back.
    pub fn from_region(region: &[u8]) -> Result<Self, RegionError> {
        if region.starts_with(REGION_MARKER) {
            return Err(RegionError::NotConfigured);
        }
        let text = region.trim_ascii_end();
        let config: Self = serde_json::from_slice(text).map_err(RegionError::Json)?;
        if config.version != NODE_CONFIG_VERSION {
            return Err(RegionError::Version(config.version));
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_wants_of_images_lies_beside_the_rest() {
        let text = r#"{"version": 1, "node_uuid": "u", "made_at": 1, "ca_certificate": "a", "certificate": "b",
                       "private_key": "c", "image_signature_keys": ["RWQ"], "md5_enabled": true}"#;
        let config = NodeConfig::from_region(text.as_bytes()).unwrap();
        assert_eq!(config.image_policy.image_signature_keys, ["RWQ"]);
        assert!(config.image_policy.md5_enabled && !config.image_policy.require_image_signature);
        assert_eq!(NodeConfig::from_region(&config.to_region().unwrap()).unwrap(), config);
        let plain = NodeConfig { image_policy: ImagePolicy::default(), ..config };
        let object = serde_json::to_value(&plain).unwrap();
        assert_eq!(object.as_object().unwrap().len(), 6, "{object}");
    }
}
