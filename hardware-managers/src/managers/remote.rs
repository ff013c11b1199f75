//! Files behind URLs that steps want: whoever runs the step brings them.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use super::error::StepError;
use super::manager::StepContext;
use super::specification::Argument;

/// Certificates that fill more than this are a mistake, in bytes.
const MOST_AUTHORITIES: u64 = 1 << 20;

/// Something small behind a URL.
#[derive(Clone, Copy, Debug)]
pub struct RemoteFile<'a> {
    pub url: &'a str,
    /// What is longer is refused, and never held in memory.
    pub limit_bytes: usize,
    pub route: &'a Route,
}

/// How a server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Route {
    /// Over a connection that the caller lent: the node opens none.
    #[default]
    Lent,
    /// The node opens a connection, because the step says that it may.
    Direct {
        /// PEM of certificate authorities that are trusted besides the public ones.
        authorities: Option<Vec<u8>>,
    },
}

pub(crate) const TRANSPORT: Argument = Argument {
    name: "transport",
    description: "How URLs are fetched: lent (default), over connections that the conductor lends, or direct, over \
                  connections that the node opens.",
    required: false,
};

pub(crate) const VERIFY_CA: Argument = Argument {
    name: "verify_ca",
    description: "With transport direct: certificate authorities that are trusted besides the public ones, as PEM or \
                  as the path of a file in the ramdisk.",
    required: false,
};

impl Route {
    /// From the arguments `transport` and `verify_ca`.
    ///
    /// # Errors
    ///
    /// [`StepError::InvalidParameter`]; a server whose certificate nobody checks is one of the things that are refused.
    pub(crate) fn from_context(context: &StepContext<'_>) -> Result<Self, StepError> {
        let authorities = authorities(context.args.get("verify_ca"))?;
        match context.args.get("transport") {
            None | Some(Value::Null) => Ok(Self::Lent),
            Some(Value::String(word)) if word == "lent" => Ok(Self::Lent),
            Some(Value::String(word)) if word == "direct" => Ok(Self::Direct { authorities }),
            Some(other) => Err(invalid("transport", format!("must be lent or direct, not {other}"))),
        }
    }
}

/// As IPA's `verify_ca` (IPA contract §5.2), but that checking cannot be switched off.
fn authorities(value: Option<&Value>) -> Result<Option<Vec<u8>>, StepError> {
    match value {
        None | Some(Value::Null | Value::Bool(true)) => Ok(None),
        Some(Value::String(text)) if text.trim_start().starts_with("-----BEGIN") => {
            Ok(Some(text.clone().into_bytes()))
        }
        Some(Value::String(text)) if text.starts_with('/') => {
            let unread = |problem: String| invalid("verify_ca", format!("{text}: {problem}"));
            let mut pem = Vec::new();
            File::open(Path::new(text))
                .and_then(|file| file.take(MOST_AUTHORITIES + 1).read_to_end(&mut pem))
                .map_err(|error| unread(error.to_string()))?;
            if pem.len() as u64 > MOST_AUTHORITIES {
                return Err(unread(format!("is larger than {MOST_AUTHORITIES} bytes")));
            }
            Ok(Some(pem))
        }
        Some(other) => {
            let text = format!(
                "must be true, PEM or the path of a file with PEM, not {other}: servers are always checked"
            );
            Err(invalid("verify_ca", text))
        }
    }
}

fn invalid(parameter: &str, problem: String) -> StepError {
    StepError::InvalidParameter { parameter: parameter.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::managers::{Silent, StepObserver as _};

    fn route(args: Value) -> Result<Route, StepError> {
        let (node, args) = (json!({}), args.as_object().unwrap().clone());
        Route::from_context(&StepContext { node: &node, ports: &json!([]), args: &args, observer: &Silent })
    }

    #[test]
    fn the_node_opens_connections_only_where_the_step_says_so() {
        for args in [json!({}), json!({"transport": null}), json!({"transport": "lent", "verify_ca": true})] {
            assert_eq!(route(args).unwrap(), Route::Lent);
        }
        assert_eq!(route(json!({"transport": "direct"})).unwrap(), Route::Direct { authorities: None });
        let pem = "-----BEGIN CERTIFICATE-----\n";
        let own = Route::Direct { authorities: Some(pem.as_bytes().to_vec()) };
        assert_eq!(route(json!({"transport": "direct", "verify_ca": pem})).unwrap(), own);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), pem).unwrap();
        assert_eq!(route(json!({"transport": "direct", "verify_ca": file.path()})).unwrap(), own);
    }

    #[test]
    fn servers_are_always_checked() {
        for args in [
            json!({"transport": "any"}),
            json!({"transport": true}),
            json!({"verify_ca": false}),
            json!({"verify_ca": "relative.pem"}),
            json!({"verify_ca": "/no/such/file"}),
            json!({"verify_ca": "/dev/zero"}),
        ] {
            assert!(matches!(route(args.clone()), Err(StepError::InvalidParameter { .. })), "{args}");
        }
    }

    #[test]
    fn who_cannot_fetch_says_so() {
        let wanted = RemoteFile { url: "http://h/f", limit_bytes: 1, route: &Route::Lent };
        let error = Silent.fetch(&wanted).unwrap_err();
        assert!(error.details().contains("http://h/f"), "{error}");
    }
}
