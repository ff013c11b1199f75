//! A node's `driver_info` for the `redfish` driver, in Ironic's keys and forms.

use std::path::PathBuf;

use reqwest::Url;
use serde_json::{Map, Value};

use super::errors::{BmcError, BmcErrorKind};
use crate::secret::Secret;

/// Root of the service where the address has no path of its own (DSP0266, "Service root").
const DEFAULT_ROOT: &str = "/redfish/v1/";

/// How to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthType {
    Basic,
    Session,
    /// A session, or basic where the BMC offers no sessions.
    Auto,
}

/// How to verify the BMC's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyCa {
    /// Against the certificate authorities of the operating system.
    System,
    /// Against the certificates of a PEM file, or of every file of a directory.
    Path(PathBuf),
    /// Not at all; anyone on the path can read the password.
    Off,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: Secret,
}

/// Where a node's BMC is and how to talk to it. `Debug` shows no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Root of the service, with a trailing slash.
    pub(super) root: Url,
    /// Path or bare id of the system; the only one when absent.
    pub(super) system_id: Option<String>,
    /// None for a BMC that asks for no credentials.
    pub(super) credentials: Option<Credentials>,
    pub(super) verify_ca: VerifyCa,
    pub(super) auth_type: AuthType,
}

impl ConnectionInfo {
    /// Reads `redfish_address` (required), `redfish_system_id`, `redfish_username`, `redfish_password`,
    /// `redfish_verify_ca` (default true) and `redfish_auth_type` (default auto).
    ///
    /// # Errors
    /// [`BmcErrorKind::DriverInfo`] with the first key that is missing or of no use.
    pub fn from_driver_info(info: &Map<String, Value>) -> Result<Self, BmcError> {
        let root = address(info)?;
        let credentials = match (text(info, "redfish_username")?, text(info, "redfish_password")?) {
            (Some(username), Some(password)) => {
                Some(Credentials { username: username.to_owned(), password: Secret::new(password) })
            }
            (None, None) => None,
            (Some(_), None) => return Err(bad("redfish_password", "is missing, redfish_username is set")),
            (None, Some(_)) => return Err(bad("redfish_username", "is missing, redfish_password is set")),
        };
        let auth_type = match text(info, "redfish_auth_type")?.map(str::to_ascii_lowercase).as_deref() {
            None | Some("auto") => AuthType::Auto,
            Some("basic") => AuthType::Basic,
            Some("session") => AuthType::Session,
            Some(other) => {
                return Err(bad(
                    "redfish_auth_type",
                    format!("is \"{other}\", not one of basic, session, auto"),
                ));
            }
        };
        Ok(Self {
            system_id: system_id(info, &root)?,
            credentials,
            verify_ca: verify_ca(info)?,
            auth_type,
            root,
        })
    }

    /// Scheme, host and port, for messages.
    #[must_use]
    pub fn address(&self) -> String {
        self.root.origin().ascii_serialization()
    }
}

fn bad(key: &'static str, reason: impl Into<String>) -> BmcError {
    BmcError::new("", "", BmcErrorKind::DriverInfo { key, reason: reason.into() })
}

/// A string value; null and the empty string count as absent.
fn text<'a>(info: &'a Map<String, Value>, key: &'static str) -> Result<Option<&'a str>, BmcError> {
    match info.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(bad(key, "must be a string")),
    }
}

fn address(info: &Map<String, Value>) -> Result<Url, BmcError> {
    const KEY: &str = "redfish_address";
    let given = text(info, KEY)?.ok_or_else(|| bad(KEY, "is missing"))?.trim();
    let full = if given.contains("://") { given.to_owned() } else { format!("https://{given}") };
    // The text itself stays out of the messages: people do write credentials into it.
    let mut url = Url::parse(&full)
        .map_err(|error| bad(KEY, format!("is not a URL ({error}); an IPv6 address needs brackets")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad(KEY, format!("has the scheme \"{}\", not http or https", url.scheme())));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(bad(KEY, "has no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad(KEY, "holds credentials; use redfish_username and redfish_password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad(KEY, "must not have a query or fragment"));
    }
    let path = match url.path().trim_end_matches('/') {
        "" => DEFAULT_ROOT.to_owned(),
        path => format!("{path}/"),
    };
    url.set_path(&path);
    Ok(url)
}

fn system_id(info: &Map<String, Value>, root: &Url) -> Result<Option<String>, BmcError> {
    const KEY: &str = "redfish_system_id";
    let Some(given) = text(info, KEY)? else { return Ok(None) };
    if given.contains("://") || given.starts_with("//") || given.contains(['?', '#']) {
        return Err(bad(KEY, "must be a path or an id, not a URL"));
    }
    let path = given.trim_end_matches('/');
    // The root alone names no system.
    if path.is_empty() || path == "/redfish/v1" || path == root.path().trim_end_matches('/') {
        return Ok(None);
    }
    Ok(Some(path.to_owned()))
}

fn verify_ca(info: &Map<String, Value>) -> Result<VerifyCa, BmcError> {
    const KEY: &str = "redfish_verify_ca";
    let given = match info.get(KEY) {
        None | Some(Value::Null | Value::Bool(true)) => return Ok(VerifyCa::System),
        Some(Value::Bool(false)) => return Ok(VerifyCa::Off),
        Some(Value::String(given)) => given.trim(),
        Some(_) => return Err(bad(KEY, "must be a boolean or a path")),
    };
    match given.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => return Ok(VerifyCa::System),
        "false" | "f" | "no" | "n" | "off" | "0" => return Ok(VerifyCa::Off),
        "" => return Err(bad(KEY, "is empty")),
        _ => {}
    }
    let path = PathBuf::from(given);
    match std::fs::metadata(&path) {
        Ok(_) => Ok(VerifyCa::Path(path)),
        Err(error) => Err(bad(KEY, format!("is neither a boolean nor a readable path: {given}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(value: Value) -> Result<ConnectionInfo, BmcError> {
        ConnectionInfo::from_driver_info(value.as_object().expect("an object"))
    }

    fn root(address: &str) -> String {
        parse(json!({"redfish_address": address})).expect("valid").root.to_string()
    }

    #[test]
    fn addresses() {
        assert_eq!(root("bmc.example"), "https://bmc.example/redfish/v1/");
        assert_eq!(root("http://192.0.2.1:8000/"), "http://192.0.2.1:8000/redfish/v1/");
        assert_eq!(root("[2001:db8::1]:8443"), "https://[2001:db8::1]:8443/redfish/v1/");
        assert_eq!(root("https://gw.example/rack1/redfish/v1"), "https://gw.example/rack1/redfish/v1/");
    }

    #[test]
    fn errors_name_the_key_and_no_secret() {
        for (info, key) in [
            (json!({}), "redfish_address"),
            (json!({"redfish_address": 4}), "redfish_address"),
            (json!({"redfish_address": "ftp://x"}), "redfish_address"),
            (json!({"redfish_address": "2001:db8::1"}), "redfish_address"),
            (json!({"redfish_address": "https://root:hunter2@x"}), "redfish_address"),
            (json!({"redfish_address": "x", "redfish_username": "u"}), "redfish_password"),
            (json!({"redfish_address": "x", "redfish_password": "hunter2"}), "redfish_username"),
            (json!({"redfish_address": "x", "redfish_password": ["hunter2"]}), "redfish_password"),
            (json!({"redfish_address": "x", "redfish_auth_type": "digest"}), "redfish_auth_type"),
            (
                json!({"redfish_address": "x", "redfish_verify_ca": "/nonexistent/ca.pem"}),
                "redfish_verify_ca",
            ),
            (json!({"redfish_address": "x", "redfish_verify_ca": 3}), "redfish_verify_ca"),
            (json!({"redfish_address": "x", "redfish_system_id": "https://y/1"}), "redfish_system_id"),
        ] {
            let error = parse(info).expect_err(key).to_string();
            assert!(error.contains(key), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn ironic_forms() {
        let info = parse(json!({"redfish_address": "x", "redfish_username": "admin", "redfish_password": "hunter2",
            "redfish_verify_ca": "False", "redfish_auth_type": "Session", "redfish_system_id": "/redfish/v1/"}))
        .expect("valid");
        assert_eq!(
            (&info.verify_ca, info.auth_type, &info.system_id),
            (&VerifyCa::Off, AuthType::Session, &None)
        );
        assert!(!format!("{info:?}").contains("hunter2"));
        let info = parse(json!({"redfish_address": "x", "redfish_system_id": "/redfish/v1/Systems/1/"}))
            .expect("valid");
        assert_eq!(info.system_id.as_deref(), Some("/redfish/v1/Systems/1"));
        assert_eq!((info.verify_ca, info.auth_type), (VerifyCa::System, AuthType::Auto));
    }
}
