//! `/v1`, for a bridge that passes it on, and what an agent in Ironic's ramdisk tells (`/v2/ipa`).

use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use tacit_protocol::v2;

use super::client::{ANSWER_LIMIT, AgentClient};
use super::error::AgentError;

impl AgentClient {
    /// One request of `/v1` and its whole answer, whatever its status. A `POST` is sent at most once: when its
    /// connection breaks, nobody knows whether the command was started.
    ///
    /// # Errors
    /// When no answer came within `limit`.
    pub async fn v1(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), AgentError> {
        if method == Method::GET {
            return self.exchange(method, path, body, limit).await;
        }
        self.exchange_once(method, path, body, limit).await
    }

    /// What an agent in Ironic's ramdisk knows; `None` when it is not in one.
    pub async fn ipa(&self) -> Result<Option<v2::Ipa>, AgentError> {
        let (status, body) = self.exchange(Method::GET, "/v2/ipa", None, ANSWER_LIMIT).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.expect(status, &body).map(Some)
    }

    /// Gives the agent the token that Ironic made for it.
    ///
    /// # Errors
    /// [`AgentError::Refused`] with status 409 when it has another one.
    pub async fn give_token(&self, token: &str) -> Result<v2::Ipa, AgentError> {
        let (status, body) = self.put("/v2/ipa", &v2::IpaToken { agent_token: token.to_owned() }).await?;
        self.expect(status, &body)
    }
}
