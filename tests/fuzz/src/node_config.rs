//! The per-node part of a medium, with its network data.

use tacit_protocol::medium::NodeConfig;
use tacit_protocol::network_data::NetworkData;

/// A region of a medium, or network data alone.
///
/// # Panics
///
/// When something else is read back than was read and written.
pub fn node_config(data: &[u8]) {
    if let Ok(config) = NodeConfig::from_region(data)
        && let Ok(region) = config.to_region()
    {
        let again = NodeConfig::from_region(&region).expect("what was written can be read");
        assert_eq!(config, again);
    }
    if let Ok(network) = serde_json::from_slice::<NetworkData>(data) {
        let text = serde_json::to_vec(&network).expect("what was read can be written");
        let again: NetworkData = serde_json::from_slice(&text).expect("what was written can be read");
        assert_eq!(network, again);
    }
}
