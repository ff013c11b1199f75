//! What the image builder leaves in the ramdisk for the agent as PID 1.

use serde::{Deserialize, Serialize};

/// Where the module manifest lies in the ramdisk.
pub const MODULE_MANIFEST_PATH: &str = "/lib/tacit/modules.json";

/// Folder with hardware managers that are programs of their own.
pub const EXTERNAL_MANAGERS: &str = "/usr/lib/tacit/hardware-managers";

/// There in a ramdisk that stock Ironic boots: the agent does IPA's part, with a bridge before it. With a bridge's
/// authority it holds the Unix time, in decimal seconds, from which on certificates of that authority are valid: it
/// is later than that, whatever the machine's clock says.
pub const IRONIC_PATH: &str = "/etc/tacit/ironic";

/// The certificate of the bridge's authority in such a ramdisk, PEM.
pub const BRIDGE_CA_PATH: &str = "/etc/tacit/bridge-ca.pem";

/// Lets the rescue user in, where the ramdisk has such a program: started with the hashed password on its standard input.
pub const RESCUE_PROGRAM: &str = "/usr/lib/tacit/rescue";

/// The kernel modules of this ramdisk. Files are uncompressed `.ko`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModuleManifest {
    pub kernel: String,
    pub modules: Vec<Module>,
    /// Loaded at once, in this order (dependencies first), before any modalias is looked at.
    pub always: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Module {
    /// Name with underscores, `virtio_net`.
    pub name: String,
    /// Path in the ramdisk.
    pub path: String,
    /// Names of modules that must be loaded first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends: Vec<String>,
    /// Modalias patterns with the wildcards `*`, `?` and `[…]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
}
