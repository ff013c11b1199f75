//! What of `driver_info` says that a node's agent is IPA, and how to reach it.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value};

use crate::secret::Secret;

const DIALECT: &str = "agent_dialect";
const TOKEN: &str = "agent_token";
const CERTIFICATE: &str = "agent_certificate";
const SCHEME: &str = "agent_scheme";
/// What the API shows in place of a secret.
const MASK: &str = "******";
/// Shorter ones are guessed, and could not be told from other text when they are removed from what an agent says.
const SHORTEST_TOKEN: usize = 16;

/// How to speak with the IPA of a node. `Debug` shows no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpaSettings {
    pub(super) token: Secret,
    /// The only certificate that is believed; `None` for plain HTTP.
    pub(super) certificate: Option<CertificateDer<'static>>,
}

/// A key of `driver_info` that is wrong or missing. Shows no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("driver_info.{key} {reason}")]
pub struct SettingsError {
    key: &'static str,
    reason: &'static str,
}

fn bad(key: &'static str, reason: &'static str) -> SettingsError {
    SettingsError { key, reason }
}

/// The keys as they are given.
struct Given {
    is_ipa: bool,
    plain: bool,
    token: Option<Secret>,
    certificate: Option<CertificateDer<'static>>,
}

impl IpaSettings {
    /// The keys of `driver_info` that are read here.
    pub const KEYS: [&'static str; 4] = [DIALECT, TOKEN, CERTIFICATE, SCHEME];

    /// The settings of a node whose `driver_info` says `agent_dialect: ipa`; `None` where Tacit's own agent answers.
    ///
    /// # Errors
    /// Names the key that is wrong or missing.
    pub fn of(driver_info: &Map<String, Value>) -> Result<Option<Self>, SettingsError> {
        let given = Given::read(driver_info)?;
        if !given.is_ipa {
            return Ok(None);
        }
        let token =
            given.token.ok_or_else(|| bad(TOKEN, "is missing: IPA does nothing without its token"))?;
        if given.certificate.is_none() && !given.plain {
            let reason = "is missing: the certificate that IPA serves, as PEM (or set agent_scheme to http, which shows \
                          the token to anybody on the way)";
            return Err(bad(CERTIFICATE, reason));
        }
        Ok(Some(Self { token, certificate: given.certificate }))
    }

    /// Whether what is given has the right form; what is missing may still come.
    ///
    /// # Errors
    /// Names the key that is wrong.
    pub fn check_form(driver_info: &Map<String, Value>) -> Result<(), SettingsError> {
        Given::read(driver_info).map(drop)
    }

    /// `https`, or `http` where the operator said so.
    pub fn scheme(&self) -> &'static str {
        if self.certificate.is_some() { "https" } else { "http" }
    }
}

impl Given {
    fn read(info: &Map<String, Value>) -> Result<Self, SettingsError> {
        let is_ipa = match text(info, DIALECT)? {
            None | Some("tacit") => false,
            Some("ipa") => true,
            Some(_) => return Err(bad(DIALECT, "is neither tacit nor ipa")),
        };
        let plain = match text(info, SCHEME)? {
            None | Some("https") => false,
            Some("http") => true,
            Some(_) => return Err(bad(SCHEME, "is neither https nor http")),
        };
        let token = text(info, TOKEN)?.map(token).transpose()?;
        let certificate = text(info, CERTIFICATE)?.map(certificate).transpose()?;
        if plain && certificate.is_some() {
            return Err(bad(SCHEME, "says http, and agent_certificate is set: nothing would check it"));
        }
        Ok(Self { is_ipa, plain, token, certificate })
    }
}

fn token(text: &str) -> Result<Secret, SettingsError> {
    if text == MASK {
        return Err(bad(TOKEN, "is the mask that stands for a token, not a token"));
    }
    if text.len() < SHORTEST_TOKEN {
        return Err(bad(TOKEN, "is too short: 16 characters at least"));
    }
    // JSON writes these two in another way, and what an agent repeats of its token would not be recognised.
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')) {
        let reason = "has other characters than letters, digits and signs of ASCII (and neither \" nor \\)";
        return Err(bad(TOKEN, reason));
    }
    Ok(Secret::new(text))
}

fn certificate(text: &str) -> Result<CertificateDer<'static>, SettingsError> {
    let mut all = CertificateDer::pem_slice_iter(text.as_bytes());
    match (all.next(), all.next()) {
        (Some(Ok(one)), None) if x509_parser::parse_x509_certificate(&one).is_ok() => Ok(one),
        (Some(Ok(_)), Some(_)) => {
            Err(bad(CERTIFICATE, "holds more than one certificate: which is IPA's own?"))
        }
        _ => Err(bad(CERTIFICATE, "is not a certificate as PEM")),
    }
}

/// Null and the empty text count as absent.
fn text<'i>(info: &'i Map<String, Value>, key: &'static str) -> Result<Option<&'i str>, SettingsError> {
    match info.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
        Some(_) => Err(bad(key, "is not a text")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn pem() -> String {
        rcgen::generate_simple_self_signed(["192.0.2.7".to_owned()]).unwrap().cert.pem()
    }

    fn of(info: &Value) -> Result<Option<IpaSettings>, String> {
        IpaSettings::of(info.as_object().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn tacit_is_the_default_and_ipa_needs_token_and_certificate() {
        assert_eq!(of(&json!({})).unwrap(), None);
        assert_eq!(of(&json!({"agent_dialect": "tacit", "agent_token": null})).unwrap(), None);
        let tls = of(&json!({"agent_dialect": "ipa", "agent_token": TOKEN, "agent_certificate": pem()}));
        assert_eq!(tls.unwrap().unwrap().scheme(), "https");
        let plain = of(&json!({"agent_dialect": "ipa", "agent_token": TOKEN, "agent_scheme": "http"}));
        assert_eq!(plain.unwrap().unwrap().scheme(), "http");
        for (info, key) in [
            (json!({"agent_dialect": "ipa"}), "agent_token"),
            (json!({"agent_dialect": "ipa", "agent_token": TOKEN}), "agent_certificate"),
            (
                json!({"agent_dialect": "ipa", "agent_token": TOKEN, "agent_scheme": "https"}),
                "agent_certificate",
            ),
        ] {
            let error = of(&info).unwrap_err();
            assert!(error.starts_with(&format!("driver_info.{key} is missing")), "{error}");
            IpaSettings::check_form(info.as_object().unwrap()).unwrap();
        }
    }

    #[test]
    fn wrong_forms_are_named_and_tokens_are_not_shown() {
        let two = format!("{}{}", pem(), pem());
        for (info, key) in [
            (json!({"agent_dialect": "IPA"}), "agent_dialect"),
            (json!({"agent_dialect": 1}), "agent_dialect"),
            (json!({"agent_scheme": "ftp"}), "agent_scheme"),
            (json!({"agent_scheme": "http", "agent_certificate": pem()}), "agent_scheme"),
            (json!({"agent_token": "hunter2"}), "agent_token"),
            (json!({"agent_token": "******"}), "agent_token"),
            (json!({"agent_token": "hunter2 hunter2 hunter2"}), "agent_token"),
            (json!({"agent_token": "hunter2\"hunter2hunter2"}), "agent_token"),
            (json!({"agent_token": ["hunter2hunter2hunter2"]}), "agent_token"),
            (json!({"agent_certificate": "nonsense"}), "agent_certificate"),
            (json!({"agent_certificate": two}), "agent_certificate"),
            (
                json!({"agent_certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}),
                "agent_certificate",
            ),
        ] {
            let error = IpaSettings::check_form(info.as_object().unwrap()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("driver_info.{key} ")), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let settings = of(&json!({"agent_dialect": "ipa", "agent_token": TOKEN, "agent_scheme": "http"}));
        assert!(!format!("{settings:?}").contains(TOKEN));
    }
}
