//! What of IPA's configuration the commands need.

use tacit_hardware::Collector;

/// An agent that stands in IPA's place.
#[derive(Clone, Debug, Default)]
pub struct IpaFace {
    /// The certificate that it shows, PEM; empty without TLS.
    pub certificate: String,
    /// Whether holders of a certificate are obeyed, too.
    pub obeys_certificates: bool,
    /// `ignore_bootloader_failure`.
    pub ignore_bootloader_failure: bool,
    /// `disable_bootc_deploy`.
    pub disable_bootc_deploy: bool,
    /// `inspection_collectors`.
    pub collectors: Option<Vec<Collector>>,
    /// `lldp_timeout` in seconds.
    pub lldp_timeout: Option<u64>,
    /// `image_server_user` and `image_server_password`, where `image_server_auth_strategy` is `http_basic`.
    pub image_server: Option<(String, String)>,
}
