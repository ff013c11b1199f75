//! IPA's options (IPA contract §9.1), each with its kernel parameter and what becomes of it here.

use super::values::Shape;

/// What an option is to this agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Taken, as far as its value makes sense.
    Taken(Shape),
    /// Accepted and without effect, for this reason.
    Ignored(&'static str),
}

/// An option of IPA.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: &'static str,
    /// Empty where the kernel command line has none.
    pub(super) parameter: &'static str,
    pub(super) what: Use,
}

const NEVER_CALLS: Use = Use::Ignored("this agent never calls: Ironic's side comes from a bridge");
const CLOCK: Use = Use::Ignored("the clock is delivered by who calls; there is no NTP");
const DISKS: Use = Use::Ignored("commands wait for the drivers of all devices that are there");
const ALWAYS: Use = Use::Ignored("always done; it cannot be switched off");
const KNOBS: Use = Use::Ignored("asked for by the node's driver_internal_info, not by its ramdisk");

/// With a value of any kind: the readers of these refuse what makes no sense.
const fn taken(name: &'static str, parameter: &'static str) -> Known {
    taken_as(Shape::Text, name, parameter)
}

const fn taken_as(shape: Shape, name: &'static str, parameter: &'static str) -> Known {
    Known { name, parameter, what: Use::Taken(shape) }
}

const fn ignored(name: &'static str, parameter: &'static str, what: Use) -> Known {
    Known { name, parameter, what }
}

pub(super) const OPTIONS: &[Known] = &[
    ignored("api_url", "ipa-api-url", NEVER_CALLS),
    ignored("global_request_id", "ipa-global-request-id", NEVER_CALLS),
    taken("listen_host", "ipa-listen-host"),
    taken("listen_port", "ipa-listen-port"),
    taken("listen_tls", ""),
    taken("tls_cert_file", ""),
    taken("tls_key_file", ""),
    taken("enable_auto_tls", ""),
    ignored("auto_tls_allowed_clock_skew", "", Use::Ignored("an hour, always")),
    taken("tls_min_version", "ipa-tls-min-version"),
    ignored(
        "tls_cipher_suites",
        "ipa-tls-cipher-suites",
        Use::Ignored("the four of TLS 1.2 that IPA has as its default, and all of TLS 1.3"),
    ),
    taken("tls_certificate_curve", "ipa-tls-certificate-curve"),
    taken("advertise_host", "ipa-advertise-host"),
    ignored("advertise_port", "ipa-advertise-port", NEVER_CALLS),
    ignored("advertise_protocol", "ipa-advertise-protocol", NEVER_CALLS),
    ignored("ip_lookup_attempts", "ipa-ip-lookup-attempts", NEVER_CALLS),
    ignored("ip_lookup_sleep", "ipa-ip-lookup-timeout", NEVER_CALLS),
    ignored("network_interface", "ipa-network-interface", NEVER_CALLS),
    ignored("lookup_timeout", "ipa-lookup-timeout", NEVER_CALLS),
    ignored("lookup_interval", "ipa-lookup-interval", NEVER_CALLS),
    taken_as(Shape::LldpSeconds, "lldp_timeout", "ipa-lldp-timeout"),
    taken_as(Shape::Flag, "collect_lldp", "ipa-collect-lldp"),
    ignored("inspection_callback_url", "ipa-inspection-callback-url", NEVER_CALLS),
    taken_as(Shape::Collectors, "inspection_collectors", "ipa-inspection-collectors"),
    ignored("inspection_dhcp_wait_timeout", "ipa-inspection-dhcp-wait-timeout", NEVER_CALLS),
    ignored("inspection_dhcp_all_interfaces", "ipa-inspection-dhcp-all-interfaces", NEVER_CALLS),
    ignored(
        "inspection_benchmarks",
        "ipa-inspection-benchmarks",
        Use::Ignored("burn-in steps measure the machine"),
    ),
    ignored("hardware_initialization_delay", "ipa-hardware-initialization-delay", DISKS),
    ignored("disk_wait_attempts", "ipa-disk-wait-attempts", DISKS),
    ignored("disk_wait_delay", "ipa-disk-wait-delay", DISKS),
    ignored("insecure", "ipa-insecure", Use::Ignored("certificates of image servers are always checked")),
    ignored("cafile", "", NEVER_CALLS),
    ignored("certfile", "", NEVER_CALLS),
    ignored("keyfile", "", NEVER_CALLS),
    ignored("introspection_daemon", "", NEVER_CALLS),
    ignored("introspection_daemon_post_interval", "", NEVER_CALLS),
    ignored("ntp_server", "ipa-ntp-server", CLOCK),
    ignored("fail_if_clock_not_set", "", CLOCK),
    taken("agent_token", "ipa-agent-token"),
    taken("image_server_user", "ipa-image-server-user"),
    taken("image_server_password", "ipa-image-server-password"),
    taken_as(Shape::Authentication, "image_server_auth_strategy", "ipa-image-server-auth-strategy"),
    taken_as(Shape::Count, "image_download_connection_timeout", "ipa-image-download-connection-timeout"),
    taken_as(Shape::Count, "image_download_connection_retries", "ipa-image-download-connection-retries"),
    taken_as(
        Shape::Count,
        "image_download_connection_retry_interval",
        "ipa-image-download-connection-retry-interval",
    ),
    ignored(
        "image_download_max_duration",
        "ipa-image-download-max-duration",
        Use::Ignored("a download ends when it is silent for too long, not when it is long"),
    ),
    ignored("ironic_api_version", "ipa-ironic-api-version", NEVER_CALLS),
    ignored(
        "enable_vlan_interfaces",
        "ipa-enable-vlan-interfaces",
        Use::Ignored("VLANs come from network_data"),
    ),
    taken_as(Shape::Flag, "ignore_bootloader_failure", "ipa-ignore-bootloader-failure"),
    ignored("inject_files_priority", "ipa-inject-files-priority", KNOBS),
    ignored("guard_special_filesystems", "ipa-guard-special-filesystems", ALWAYS),
    ignored("enable_discard_erase", "ipa-enable-discard-erase", KNOBS),
    taken_as(Shape::Flag, "md5_enabled", ""),
    ignored("http_request_timeout", "ipa-http-request-timeout", NEVER_CALLS),
    taken_as(Shape::Flag, "config_drive_rebuild", ""),
    ignored("disable_deep_image_inspection", "", ALWAYS),
    ignored(
        "permitted_image_formats",
        "",
        Use::Ignored("raw and qcow2, compressed or not; all others are refused"),
    ),
    taken_as(Shape::Flag, "disable_bootc_deploy", ""),
    ignored(
        "enable_bios_bootloader_install",
        "",
        Use::Ignored("nothing of an image is ever run (CVE-2026-43003)"),
    ),
    taken_as(Shape::Flag, "debug", "ipa-debug"),
    ignored("use_mdns", "ipa-use-mdns", NEVER_CALLS),
    // Of the ramdisk's kernel, not of IPA; read by who boots.
    taken("bootif", "BOOTIF"),
    taken("boot_method", "boot_method"),
    taken("ir_pub_id", "ir_pub_id"),
];

/// The option behind a kernel parameter.
pub(super) fn by_parameter(parameter: &str) -> Option<&'static Known> {
    OPTIONS.iter().find(|option| option.parameter == parameter && !parameter.is_empty())
}

/// The option of this name in configuration files.
pub(super) fn by_name(name: &str) -> Option<&'static Known> {
    OPTIONS.iter().find(|option| option.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_once() {
        for (at, option) in OPTIONS.iter().enumerate() {
            let again = OPTIONS[at + 1..].iter().any(|other| {
                other.name == option.name
                    || (!option.parameter.is_empty() && other.parameter == option.parameter)
            });
            assert!(!again, "{}", option.name);
        }
    }

    /// IPA contract §9.1: every kernel parameter there is.
    #[test]
    fn all_kernel_parameters_are_known() {
        let all = "api-url global-request-id listen-host listen-port tls-min-version tls-cipher-suites \
                   tls-certificate-curve advertise-host advertise-port advertise-protocol ip-lookup-attempts \
                   ip-lookup-timeout network-interface lookup-timeout lookup-interval lldp-timeout collect-lldp \
                   inspection-callback-url inspection-collectors inspection-dhcp-wait-timeout \
                   inspection-dhcp-all-interfaces hardware-initialization-delay disk-wait-attempts disk-wait-delay \
                   insecure ntp-server agent-token image-download-connection-timeout \
                   image-download-connection-retries image-download-connection-retry-interval \
                   image-download-max-duration ironic-api-version enable-vlan-interfaces \
                   ignore-bootloader-failure inject-files-priority guard-special-filesystems \
                   enable-discard-erase http-request-timeout debug inspection-benchmarks use-mdns";
        for name in all.split_ascii_whitespace() {
            assert!(by_parameter(&format!("ipa-{name}")).is_some(), "{name}");
        }
    }
}
