//! Hardware types and the interfaces that fit them (API contract §4.3). Pure data.

/// Kinds of interfaces in the order of Ironic's answers.
pub const KINDS: [&str; 13] = [
    "bios",
    "boot",
    "console",
    "deploy",
    "firmware",
    "inspect",
    "management",
    "network",
    "power",
    "raid",
    "rescue",
    "storage",
    "vendor",
];

/// A way to drive a machine: for each kind of interface the implementations that fit, the default first.
pub struct HardwareType {
    pub name: &'static str,
    interfaces: &'static [(&'static str, &'static [&'static str])],
    properties: &'static [(&'static str, &'static str)],
}

/// Keys of `driver_info` that say who answers on a node, of whatever hardware type it is.
const AGENT_PROPERTIES: [(&str, &str); 6] = [
    ("agent_address", "IP address of the agent, where network_data does not say it."),
    ("agent_dialect", "tacit (the default), or ipa where stock ironic-python-agent answers."),
    ("agent_token", "Token of that IPA. Never shown."),
    ("agent_certificate", "Certificate that IPA serves, PEM: the only one that is believed."),
    ("agent_scheme", "https (the default), or http for an IPA without TLS."),
    ("deploy_iso", "URL of a medium that boots IPA. Without it the machine is to boot IPA over the network."),
];

/// All hardware types.
pub const HARDWARE_TYPES: &[HardwareType] = &[
    HardwareType {
        name: "redfish",
        interfaces: &[
            ("boot", &["redfish-virtual-media"]),
            ("management", &["redfish"]),
            ("power", &["redfish"]),
        ],
        properties: &[
            (
                "redfish_address",
                "URL of the BMC's Redfish service, https://host or http://host:port. Required.",
            ),
            (
                "redfish_system_id",
                "Path of the system, /redfish/v1/Systems/1. Needed when the BMC has several.",
            ),
            ("redfish_username", "User name at the BMC."),
            ("redfish_password", "Password at the BMC. Never shown."),
            (
                "redfish_verify_ca",
                "true, false or the path of a CA bundle that the BMC's certificate is checked with.",
            ),
            ("redfish_auth_type", "basic, session or auto."),
        ],
    },
    HardwareType {
        name: "manual",
        interfaces: &[("boot", &["manual"]), ("management", &["noop"]), ("power", &["manual"])],
        properties: &[],
    },
];

/// The hardware type of this name.
pub fn hardware_type(name: &str) -> Option<&'static HardwareType> {
    HARDWARE_TYPES.iter().find(|h| h.name == name)
}

impl HardwareType {
    /// Keys of `driver_info` and what they mean.
    pub fn properties(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.properties.iter().chain(&AGENT_PROPERTIES).copied()
    }

    /// Implementations of a kind that fit, the default first; empty for an unknown kind.
    pub fn enabled(&self, kind: &str) -> &'static [&'static str] {
        if let Some((_, names)) = self.interfaces.iter().find(|(k, _)| *k == kind) {
            return names;
        }
        match kind {
            "deploy" => &["direct"],
            "inspect" => &["agent"],
            "network" | "storage" => &["noop"],
            "bios" => &["no-bios"],
            "console" => &["no-console"],
            "firmware" => &["no-firmware"],
            "raid" => &["no-raid"],
            "rescue" => &["no-rescue"],
            "vendor" => &["no-vendor"],
            _ => &[],
        }
    }

    /// The implementation that a node gets when it names none.
    pub fn default(&self, kind: &str) -> Option<&'static str> {
        self.enabled(kind).first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_default_of_every_kind() {
        for hardware in HARDWARE_TYPES {
            for kind in KINDS {
                assert!(hardware.default(kind).is_some(), "{} has no {kind} interface", hardware.name);
            }
            assert_eq!(hardware.default("coffee"), None);
        }
    }
}
