//! `image_info`, the argument of `write_image` (IPA contract §2.2), with one key of our own.

use serde::{Deserialize, Serialize};

/// What to write and how to know that it is right. Unknown keys are ignored, as IPA does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageInfo {
    pub id: String,
    /// Tried in order.
    pub urls: Vec<String>,
    #[serde(default)]
    pub disk_format: Option<String>,
    #[serde(default)]
    pub checksum: Option<String>,
    #[serde(default)]
    pub os_hash_algo: Option<String>,
    #[serde(default)]
    pub os_hash_value: Option<String>,
    #[serde(default)]
    pub image_type: Option<String>,
    #[serde(default)]
    pub node_uuid: Option<String>,
    #[serde(default)]
    pub configdrive: Option<String>,
    /// Raw `Authorization` header value, base64. Used on direct connections only, for the host of the URL alone.
    #[serde(default)]
    pub image_request_authorization: Option<String>,
    /// How the URLs are reached: over lent connections, or dialled as IPA does.
    #[serde(default)]
    pub transport: Transport,
}

/// Which connector fetches an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// The agent dials the URL, as stock Ironic expects.
    #[default]
    Direct,
    /// Over a connection that the conductor lent (`POST /v2/lend`): the agent dials nothing.
    Lent,
}
