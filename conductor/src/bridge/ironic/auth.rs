//! How the bridge shows Ironic who it is.

use std::path::Path;

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::super::config::AuthConfig;
use super::super::credential;
use super::client::{IronicError, read, unreachable};

pub(super) enum Auth {
    None,
    Basic { username: String, password: String },
    Keystone { url: String, request: Value, token: Mutex<Option<String>> },
}

impl Auth {
    pub(super) fn new(config: &AuthConfig) -> Result<Self, IronicError> {
        Ok(match config {
            AuthConfig::None => Self::None,
            AuthConfig::HttpBasic { username, password_file } => {
                Self::Basic { username: username.clone(), password: password(password_file)? }
            }
            AuthConfig::Keystone {
                auth_url,
                username,
                password_file,
                project,
                user_domain,
                project_domain,
            } => {
                let base = auth_url.trim_end_matches('/');
                let base = base.strip_suffix("/v3").unwrap_or(base);
                let user = json!({
                    "name": username,
                    "domain": {"name": user_domain},
                    "password": password(password_file)?,
                });
                let request = json!({"auth": {
                    "identity": {"methods": ["password"], "password": {"user": user}},
                    "scope": {"project": {"name": project, "domain": {"name": project_domain}}},
                }});
                Self::Keystone { url: format!("{base}/v3/auth/tokens"), request, token: Mutex::default() }
            }
        })
    }

    /// Shows who the bridge is; with which token, where it is one that Keystone gives anew. Never with `refused`: whoever
    /// comes first asks for another one, and all others wait for that.
    pub(super) async fn sign(
        &self,
        http: &reqwest::Client,
        request: RequestBuilder,
        refused: Option<&str>,
    ) -> Result<(RequestBuilder, Option<String>), IronicError> {
        Ok(match self {
            Self::None => (request, None),
            Self::Basic { username, password } => (request.basic_auth(username, Some(password)), None),
            Self::Keystone { url, request: body, token } => {
                let mut known = token.lock().await;
                let value = match known.take().filter(|known| Some(known.as_str()) != refused) {
                    Some(value) => value,
                    None => ask(http, url, body).await?,
                };
                *known = Some(value.clone());
                (request.header("X-Auth-Token", &value), Some(value))
            }
        })
    }
}

async fn ask(http: &reqwest::Client, url: &str, body: &Value) -> Result<String, IronicError> {
    let response = http.post(url).json(body).send().await.map_err(unreachable)?;
    let token = response.headers().get("X-Subject-Token").and_then(|value| value.to_str().ok());
    let token = token.map(str::to_owned);
    let (status, _) = read(response).await?;
    if !status.is_success() {
        let fault = "Keystone gives no token".to_owned();
        return Err(IronicError::Refused { status: status.as_u16(), fault });
    }
    token.ok_or_else(|| IronicError::Malformed("Keystone's answer holds no token".to_owned()))
}

fn password(path: &Path) -> Result<String, IronicError> {
    let path = credential::find(path);
    std::fs::read_to_string(&path)
        .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
        .map_err(|source| IronicError::File { path, source: source.into() })
}
