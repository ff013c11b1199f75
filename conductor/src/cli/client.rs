//! The API's client side.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::error::CliError;
use crate::flows::NodeEventPage;

/// The version that this client speaks; the server is of the same program.
const VERSION: &str = "1.115";
const TIMEOUT: Duration = Duration::from_secs(60);

/// One conductor.
pub(super) struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    pub(super) fn new(url: &str) -> Result<Self, CliError> {
        let url = url.trim_end_matches('/').trim_end_matches("/v1").to_owned();
        let parsed = reqwest::Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        if parsed.is_none_or(|url| !url.has_host()) {
            return Err(CliError::Usage(format!("--url takes http://HOST:PORT, not {url}")));
        }
        let built = reqwest::Client::builder().no_proxy().build();
        let http = built.map_err(|source| CliError::Answer { url: url.clone(), source })?;
        Ok(Self { http, url })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, CliError> {
        self.call(Method::GET, path, None, TIMEOUT).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        self.call(Method::POST, path, Some(body), TIMEOUT).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        self.call(Method::PUT, path, Some(body), TIMEOUT).await
    }

    pub(super) async fn patch(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        self.call(Method::PATCH, path, Some(body), TIMEOUT).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Value, CliError> {
        self.call(Method::DELETE, path, None, TIMEOUT).await
    }

    /// Events of a node above `after`; the answer comes with the first, at the latest after `wait`.
    pub(super) async fn events(
        &self,
        node: &str,
        after: u64,
        wait: Duration,
    ) -> Result<NodeEventPage, CliError> {
        let path = format!("{}?after={after}&wait={}", node_path(node, "/events"), wait.as_secs());
        let page = self.call(Method::GET, &path, None, TIMEOUT + wait).await?;
        serde_json::from_value(page).map_err(|source| CliError::NotJson { url: self.url.clone(), source })
    }

    /// All items of a collection, page by page.
    pub(super) async fn all(&self, path: &str, plural: &str) -> Result<Vec<Value>, CliError> {
        let mut items = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let mut page = self.get(&path).await?;
            if let Some(Value::Array(more)) = page.get_mut(plural).map(Value::take) {
                items.extend(more);
            }
            // The link names the host that the server saw; only its path matters here.
            let link =
                page.get("next").and_then(Value::as_str).and_then(|link| reqwest::Url::parse(link).ok());
            next = link.map(|link| format!("{}?{}", link.path(), link.query().unwrap_or_default()));
        }
        Ok(items)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        timeout: Duration,
    ) -> Result<Value, CliError> {
        let failed = |source: reqwest::Error| {
            let url = self.url.clone();
            if source.is_connect() {
                CliError::NoConductor { url, source }
            } else {
                CliError::Answer { url, source }
            }
        };
        let mut request = self.http.request(method, format!("{}{path}", self.url)).timeout(timeout);
        request = request.header("X-OpenStack-Ironic-API-Version", VERSION);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(failed)?;
        if !status.is_success() {
            return Err(CliError::Refused { status: status.as_u16(), text: reason(status.as_u16(), &bytes) });
        }
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|source| CliError::NotJson { url: self.url.clone(), source })
    }
}

/// The sentence inside an error body: a JSON document in a string in a JSON document.
fn reason(status: u16, body: &[u8]) -> String {
    let outer: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = outer.get("error_message").and_then(Value::as_str).unwrap_or_default();
    let inner: Value = serde_json::from_str(message).unwrap_or_default();
    let said = ["faultstring", "description"].iter().find_map(|key| inner.get(key).and_then(Value::as_str));
    match said.filter(|text| !text.is_empty()) {
        Some(text) => text.to_owned(),
        None => format!("the conductor answered with status {status}"),
    }
}

/// Path of a node's resource; names are of characters that a path holds as they are.
pub(super) fn node_path(node: &str, tail: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~' | ':');
    let mut encoded = String::new();
    for c in node.chars() {
        if safe(c) {
            encoded.push(c);
        } else {
            c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| encoded.push_str(&format!("%{byte:02X}")));
        }
    }
    format!("/v1/nodes/{encoded}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_url_is_wrong_usage() {
        for url in ["foo", "127.0.0.1:6385", "ftp://h", ""] {
            assert!(matches!(Client::new(url), Err(CliError::Usage(_))), "{url}");
        }
        assert_eq!(
            Client::new("http://h:1/v1/").ok().map(|client| client.url),
            Some("http://h:1".to_owned())
        );
    }

    #[test]
    fn the_sentence_of_an_error_is_found() {
        let body = r#"{"error_message": "{\"faultcode\": \"Client\", \"faultstring\": \"No such node.\"}"}"#;
        assert_eq!(reason(404, body.as_bytes()), "No such node.");
        let body = r#"{"error_message": "{\"code\": 404, \"title\": \"Not Found\", \"description\": \"\"}"}"#;
        assert_eq!(reason(404, body.as_bytes()), "the conductor answered with status 404");
        assert_eq!(reason(502, b"<html>"), "the conductor answered with status 502");
    }

    #[test]
    fn idents_become_one_path_element() {
        assert_eq!(node_path("ns~a.b", "/states"), "/v1/nodes/ns~a.b/states");
        assert_eq!(node_path("a/b c", ""), "/v1/nodes/a%2Fb%20c");
    }
}
