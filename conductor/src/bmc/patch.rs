//! PATCH with the entity tags that some BMCs demand, some cannot match and some must not see.

use reqwest::Method;
use serde_json::Value;

use super::client::{Client, demands_precondition};
use super::errors::BmcError;
use super::exchange::{Answer, Call};

impl Client {
    /// PATCHes a resource with the entity tag of a fresh read: as given, then in its strong form, then without. Where
    /// the BMC demands a tag and shows none, `*` serves.
    pub(super) async fn patch(&self, uri: &str, body: &Value) -> Result<Answer, BmcError> {
        let tag = self.get(uri).await?.etag().map(str::to_owned);
        let strong = tag.as_deref().and_then(|tag| tag.strip_prefix("W/"));
        for form in [tag.as_deref(), strong].into_iter().flatten() {
            match self.patch_if_match(uri, body, Some(form)).await {
                Err(error) if error.status() == Some(412) => {}
                result => return result,
            }
        }
        match self.patch_if_match(uri, body, None).await {
            Err(error) if demands_precondition(&error) => self.patch_with_some_tag(uri, body).await,
            result => result,
        }
    }

    /// For a BMC that refused for want of a tag: the current one, else any.
    async fn patch_with_some_tag(&self, uri: &str, body: &Value) -> Result<Answer, BmcError> {
        let current = self.get(uri).await?.etag().map(str::to_owned);
        let result = self.patch_if_match(uri, body, Some(current.as_deref().unwrap_or("*"))).await;
        match (result, current) {
            (Err(error), Some(_)) if error.status() == Some(412) => {
                self.patch_if_match(uri, body, Some("*")).await
            }
            (result, _) => result,
        }
    }

    async fn patch_if_match(
        &self,
        uri: &str,
        body: &Value,
        if_match: Option<&str>,
    ) -> Result<Answer, BmcError> {
        let call =
            Call { body: Some(body), if_match, ..Call::new(Method::PATCH, uri, self.timing().request) };
        self.send(&call).await
    }
}
