//! IPA's options from all their sources, later ones over earlier ones: kernel command line, parameters of a virtual
//! medium, configuration files.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use tacit_hardware::Collector;
use tacit_protocol::AGENT_PORT;
use tacit_protocol::medium::ImagePolicy;

use super::conf;
use super::face::IpaFace;
use super::table::{self, Use};
use super::values;
use crate::tls::{Curve, TlsVersions};

/// An option whose value makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} has to be {wants}")]
pub struct OptionsError {
    name: &'static str,
    wants: &'static str,
}

/// Values by option name, as texts.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Options {
    values: BTreeMap<&'static str, String>,
    /// What was given and has no effect, in words.
    remarks: Vec<String>,
}

impl std::fmt::Debug for Options {
    /// Names only: there are secrets among the values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Options {
    /// Takes parameters as the kernel's command line has them: words, `key=value`. What is not IPA's is not looked at.
    pub fn add_parameters(&mut self, text: &str) {
        for word in text.split_ascii_whitespace() {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match table::by_parameter(key) {
                Some(known) => self.add(known, key, value),
                None if key.starts_with("ipa-") => {
                    self.remarks.push(format!("{key}: not known to this agent"));
                }
                None => {}
            }
        }
    }

    /// Takes the options of a configuration file.
    pub fn add_file(&mut self, text: &str) {
        for (name, value) in conf::section(text, "DEFAULT") {
            match table::by_name(&name) {
                Some(known) => self.add(known, known.name, &value),
                None => self.remarks.push(format!("{name}: not known to this agent")),
            }
        }
    }

    fn add(&mut self, known: &'static table::Known, shown: &str, value: &str) {
        match known.what {
            Use::Taken(shape) => {
                let taken = shape.take(value);
                self.remarks.extend(taken.remarks.into_iter().map(|remark| format!("{shown}: {remark}")));
                if let Some(value) = taken.value {
                    self.values.insert(known.name, value);
                }
            }
            Use::Ignored(reason) => self.remarks.push(format!("{shown}: without effect: {reason}")),
        }
    }

    /// What was given and has no effect, in words.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// Whether anything was given that only IPA has.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.remarks.is_empty()
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Of an option whose value was looked at when it was taken.
    fn flag(&self, name: &str) -> bool {
        self.text(name).and_then(values::flag).unwrap_or(false)
    }

    fn number(&self, name: &str) -> Option<u32> {
        self.text(name)?.parse().ok()
    }

    /// Of an option that keeps callers out.
    fn strict_flag(&self, name: &'static str, default: bool) -> Result<bool, OptionsError> {
        let Some(text) = self.text(name) else { return Ok(default) };
        values::flag(text).ok_or(OptionsError { name, wants: "true or false" })
    }

    /// Where to listen, if not everywhere at IPA's port.
    pub fn listen(&self) -> Result<Option<SocketAddr>, OptionsError> {
        let port = match self.text("listen_port") {
            None => AGENT_PORT,
            Some(port) => port.parse().map_err(|_| OptionsError { name: "listen_port", wants: "a port" })?,
        };
        let host = match self.text("listen_host") {
            None if self.text("listen_port").is_none() => return Ok(None),
            None => "::",
            Some(host) => host,
        };
        let host: IpAddr =
            host.parse().map_err(|_| OptionsError { name: "listen_host", wants: "an IP address" })?;
        Ok(Some((host, port).into()))
    }

    /// An address by which others reach this machine, besides those that it has.
    pub fn advertised(&self) -> Option<IpAddr> {
        self.text("advertise_host")?.parse().ok()
    }

    pub fn token(&self) -> Option<String> {
        self.text("agent_token").map(str::to_owned)
    }

    /// Whether the agent makes its own certificate where none is given.
    pub fn auto_tls(&self) -> Result<bool, OptionsError> {
        self.strict_flag("enable_auto_tls", true)
    }

    /// Whether somebody counts on TLS: to be asked where there is no certificate.
    ///
    /// # Errors
    ///
    /// When it is so: callers would send the token in clear.
    pub fn may_be_plain(&self) -> Result<(), OptionsError> {
        let wants = "false where there are no tls_cert_file and tls_key_file, and no certificate of its own";
        if self.strict_flag("listen_tls", false)? {
            return Err(OptionsError { name: "listen_tls", wants });
        }
        Ok(())
    }

    /// Paths of certificate and key.
    ///
    /// # Errors
    ///
    /// When there is but one of them.
    pub fn tls_files(&self) -> Result<Option<(&str, &str)>, OptionsError> {
        let missing = |name, wants| Err(OptionsError { name, wants });
        match (self.text("tls_cert_file"), self.text("tls_key_file")) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (Some(_), None) => missing("tls_key_file", "given where tls_cert_file is"),
            (None, Some(_)) => missing("tls_cert_file", "given where tls_key_file is"),
        }
    }

    pub fn tls_versions(&self) -> Result<TlsVersions, OptionsError> {
        match self.text("tls_min_version") {
            None | Some("1.2") => Ok(TlsVersions::From12),
            Some("1.3") => Ok(TlsVersions::From13),
            Some(_) => Err(OptionsError { name: "tls_min_version", wants: "1.2 or 1.3" }),
        }
    }

    /// P-521, which IPA can make, too, becomes P-384.
    pub fn curve(&self) -> Result<Curve, OptionsError> {
        match self.text("tls_certificate_curve") {
            Some("p256") => Ok(Curve::P256),
            None | Some("p384" | "p521") => Ok(Curve::P384),
            Some(_) => Err(OptionsError { name: "tls_certificate_curve", wants: "p256, p384 or p521" }),
        }
    }

    pub fn debug(&self) -> bool {
        self.flag("debug")
    }

    pub fn image_policy(&self) -> ImagePolicy {
        ImagePolicy {
            md5_enabled: self.flag("md5_enabled"),
            config_drive_rebuild: self.flag("config_drive_rebuild"),
            image_download_connection_timeout: self.number("image_download_connection_timeout"),
            image_download_connection_retries: self.number("image_download_connection_retries"),
            image_download_connection_retry_interval: self.number("image_download_connection_retry_interval"),
            ..ImagePolicy::default()
        }
    }

    /// What commands need; certificate and authority are for who serves.
    pub fn face(&self) -> IpaFace {
        let mut collectors = self
            .text("inspection_collectors")
            .map(|names| names.split(',').filter_map(|name| name.parse().ok()).collect::<Vec<Collector>>());
        if self.flag("collect_lldp") {
            let list = collectors.get_or_insert_with(|| vec![Collector::Default, Collector::Logs]);
            if !list.contains(&Collector::Lldp) {
                list.insert(0, Collector::Lldp);
            }
        }
        let basic = self.text("image_server_auth_strategy") == Some("http_basic");
        let credentials = self.text("image_server_user").zip(self.text("image_server_password"));
        IpaFace {
            certificate: String::new(),
            obeys_certificates: false,
            ignore_bootloader_failure: self.flag("ignore_bootloader_failure"),
            disable_bootc_deploy: self.flag("disable_bootc_deploy"),
            collectors,
            lldp_timeout: self
                .text("lldp_timeout")
                .and_then(|text| text.parse::<f64>().ok())
                .map(|s| s as u64),
            image_server: credentials
                .filter(|_| basic)
                .map(|(user, password)| (user.to_owned(), password.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parameters: &str) -> Options {
        let mut options = Options::default();
        options.add_parameters(parameters);
        options
    }

    #[test]
    fn what_ironic_puts_on_the_command_line() {
        let options = of("BOOT_IMAGE=/vmlinuz nofb nomodeset console=ttyS0 boot_method=vmedia ipa-debug=1 \
                          ipa-api-url=http://192.0.2.1:6385 ipa-agent-token=old ipa-agent-token=secret \
                          ipa-global-request-id=req-1 ipa-novelty=1 ir_pub_id=x");
        assert_eq!(options.token().as_deref(), Some("secret"));
        assert!(options.debug());
        assert_eq!(options.text("boot_method"), Some("vmedia"));
        assert_eq!(options.listen().unwrap(), None);
        let remarks = options.remarks().join("\n");
        for named in ["ipa-api-url", "ipa-global-request-id", "ipa-novelty"] {
            assert!(remarks.contains(named), "{remarks}");
        }
        assert!(!remarks.contains("192.0.2.1") && !format!("{options:?}").contains("secret"));
        assert!(of("quiet console=ttyS0").is_empty());
    }

    #[test]
    fn files_win_over_parameters() {
        let mut options = of("ipa-listen-port=1234 ipa-image-download-connection-retries=3");
        options.add_file(
            "[DEFAULT]\nlisten_port = 4321\nlisten_host = 127.0.0.1\ncafile = /etc/x\n[x]\ny = z\n",
        );
        assert_eq!(options.listen().unwrap(), Some("127.0.0.1:4321".parse().unwrap()));
        assert_eq!(options.image_policy().image_download_connection_retries, Some(3));
        assert_eq!(options.remarks().len(), 1);
    }

    #[test]
    fn where_to_listen_and_what_keeps_callers_out_must_make_sense() {
        assert!(of("ipa-listen-port=90000").listen().is_err());
        assert!(of("ipa-listen-host=somewhere").listen().is_err());
        assert!(of("ipa-tls-min-version=1.1").tls_versions().is_err());
        assert!(of("ipa-tls-certificate-curve=p1").curve().is_err());
        let file = |text: &str| {
            let mut options = Options::default();
            options.add_file(text);
            options
        };
        assert!(file("enable_auto_tls = maybe").auto_tls().is_err());
        assert!(file("listen_tls = maybe").may_be_plain().is_err());
        assert!(file("listen_tls = true").may_be_plain().is_err());
        assert!(file("listen_tls = false").may_be_plain().is_ok() && file("").may_be_plain().is_ok());
        let error = file("tls_cert_file = /c").tls_files().unwrap_err();
        assert_eq!(error.to_string(), "tls_key_file has to be given where tls_cert_file is");
        assert!(file("tls_key_file = /k").tls_files().is_err());
        assert_eq!(file("tls_cert_file = /c\ntls_key_file = /k").tls_files(), Ok(Some(("/c", "/k"))));
    }

    /// The agent would be started with the same again, for ever.
    #[test]
    fn all_other_values_that_make_no_sense_are_named_and_ignored() {
        let options = of("ipa-inspection-collectors=default,logs,extra-hardware ipa-lldp-timeout=0.5 \
                          ipa-debug=perhaps ipa-collect-lldp=2 ipa-image-download-connection-timeout=-1 \
                          ipa-image-download-connection-retries=1.5 ipa-image-server-auth-strategy=digest");
        let face = options.face();
        assert_eq!(face.collectors, Some(vec![Collector::Default, Collector::Logs]));
        assert_eq!(face.lldp_timeout, Some(1));
        assert!(!options.debug());
        let policy = options.image_policy();
        assert_eq!(policy.image_download_connection_timeout, None);
        assert_eq!(policy.image_download_connection_retries, Some(1));
        assert_eq!(options.remarks().len(), 7, "{:?}", options.remarks());
        assert!(options.remarks()[0].contains("extra-hardware"));
        assert_eq!(of("ipa-lldp-timeout=400").face().lldp_timeout, Some(300));
        assert_eq!(of("ipa-inspection-collectors=gossip").face().collectors, None);
        // What made sense before stays.
        let mut options = of("ipa-lldp-timeout=5");
        options.add_file("lldp_timeout = soon");
        assert_eq!(options.face().lldp_timeout, Some(5));
    }

    #[test]
    fn collectors_and_credentials() {
        let face = of("ipa-collect-lldp=1 ipa-lldp-timeout=5.5").face();
        assert_eq!(face.collectors, Some(vec![Collector::Lldp, Collector::Default, Collector::Logs]));
        assert_eq!(face.lldp_timeout, Some(5));
        let user = "ipa-image-server-user=u ipa-image-server-password=p";
        assert_eq!(of(user).face().image_server, None);
        let basic = format!("{user} ipa-image-server-auth-strategy=http_basic");
        assert_eq!(of(&basic).face().image_server, Some(("u".into(), "p".into())));
    }
}
