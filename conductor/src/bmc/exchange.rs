//! One request and its answer: headers, redirects, size limit, and the retries that are safe for any request.

use std::time::Duration;

use reqwest::header::{
    ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_MATCH, LOCATION,
    RETRY_AFTER,
};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;
use tracing::debug;

use super::auth::Grant;
use super::client::Client;
use super::errors::{BmcError, BmcErrorKind, is_busy};
use super::messages::ErrorBody;
use super::tls;

/// Largest answer that is read; the largest resources seen are BIOS registries of some MiB.
const BODY_LIMIT_BYTES: usize = 16 << 20;
const REDIRECTS: usize = 5;

/// A request, ready to be sent any number of times.
#[derive(Clone, Debug)]
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) uri: &'a str,
    pub(super) body: Option<&'a Value>,
    pub(super) if_match: Option<&'a str>,
    pub(super) timeout: Duration,
}

impl<'a> Call<'a> {
    pub(super) fn new(method: Method, uri: &'a str, timeout: Duration) -> Self {
        Self { method, uri, body: None, if_match: None, timeout }
    }

    /// For messages; without the query, where task monitors carry tokens.
    pub(super) fn describe(&self) -> String {
        format!("{} {}", self.method, self.uri.split('?').next().unwrap_or_default())
    }
}

/// An answer with a success status.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// Null when there was none.
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The `ETag` header, else the body's `@odata.etag`.
    pub(super) fn etag(&self) -> Option<&str> {
        self.header(&ETAG).or_else(|| self.body.get("@odata.etag")?.as_str().filter(|tag| !tag.is_empty()))
    }

    /// Whether the resource lists this method in `Allow`.
    pub(super) fn allows(&self, method: &Method) -> bool {
        self.header(&ALLOW)
            .is_some_and(|list| list.split(',').any(|m| m.trim().eq_ignore_ascii_case(method.as_str())))
    }

    pub(super) fn location(&self) -> Option<&str> {
        self.header(&LOCATION)
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers)
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}

/// The form in seconds; the form with a date would need a clock that agrees with the BMC's.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    header(headers, &RETRY_AFTER)?.parse().ok().map(Duration::from_secs)
}

impl Client {
    /// Sends with credentials, and again where a repetition is safe and may help.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Answer, BmcError> {
        self.repeat(call, false).await
    }

    /// [`Client::send`] without credentials.
    pub(super) async fn send_anonymous(&self, call: &Call<'_>) -> Result<Answer, BmcError> {
        self.repeat(call, true).await
    }

    async fn repeat(&self, call: &Call<'_>, anonymous: bool) -> Result<Answer, BmcError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let result = match anonymous {
                true => self.transmit(call, &Grant::Anonymous).await,
                false => self.send_authorized(call).await,
            };
            let error = match result {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(delay) = self.delay_before_repeat(call, &error, tries) else { return Err(error) };
            debug!(%error, tries, ?delay, "trying the BMC again");
            tokio::time::sleep(delay).await;
        }
    }

    fn delay_before_repeat(&self, call: &Call<'_>, error: &BmcError, tries: u32) -> Option<Duration> {
        let policy = self.timing().reads;
        if tries >= policy.attempts {
            return None;
        }
        let read = call.method == Method::GET;
        match error.kind() {
            BmcErrorKind::Unreachable { connected, .. } => (read || !connected).then_some(policy.delay),
            BmcErrorKind::NoSession { .. } => error.retryable().then_some(policy.delay),
            BmcErrorKind::Malformed(_) => read.then_some(policy.delay),
            BmcErrorKind::Refused { status, body, retry_after } => {
                // 503 means that the request was not carried out.
                let repeat = match status {
                    408 | 429 | 503 => true,
                    500.. => read || is_busy(body),
                    400 => !read && is_busy(body) && !body.has("UnableToModifyDuringSystemPOST"),
                    _ => false,
                };
                let named = retry_after.map(|delay| delay.min(self.timing().retry_after_max));
                repeat.then_some(named.unwrap_or(policy.delay))
            }
            _ => None,
        }
    }

    /// One request with the given credentials, redirects within the BMC's origin included.
    pub(super) async fn transmit(&self, call: &Call<'_>, grant: &Grant) -> Result<Answer, BmcError> {
        let place = |error: BmcError| error.during(&call.describe());
        let mut url = self.resolve(call.uri).map_err(place)?;
        let mut plain_encoding = true;
        for _ in 0..=REDIRECTS {
            let answer = self.transmit_once(call, &url, grant, plain_encoding).await?;
            let status = answer.status;
            if matches!(status, 301 | 302 | 307 | 308) && answer.location().is_some() {
                let target = answer.location().unwrap_or_default();
                let next = url.join(target).map_or_else(|_| target.to_owned(), |url| url.to_string());
                url = self.resolve(&next).map_err(place)?;
            } else if status == 406 && call.method == Method::GET && plain_encoding {
                // Some HPE resources exist only compressed or not at all negotiable.
                plain_encoding = false;
            } else {
                return self.judge(call, answer);
            }
        }
        Err(self.error(call.describe(), BmcErrorKind::Malformed("redirects in a circle".into())))
    }

    async fn transmit_once(
        &self,
        call: &Call<'_>,
        url: &Url,
        grant: &Grant,
        plain_encoding: bool,
    ) -> Result<Answer, BmcError> {
        let mut request = self
            .inner
            .http
            .request(call.method.clone(), url.clone())
            .timeout(call.timeout)
            // Connections kept open choke some BMCs.
            .header(CONNECTION, "close")
            .header("OData-Version", "4.0");
        if plain_encoding {
            // With compression several BMCs send weak entity tags that they do not accept afterwards.
            request = request.header(ACCEPT_ENCODING, "identity");
        }
        request = grant.apply(request);
        if let Some(tag) = call.if_match {
            request = request.header(IF_MATCH, tag);
        }
        if let Some(body) = call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let failed = |source: reqwest::Error| {
            let source = source.without_url();
            let kind = if tls::is_tls_failure(&source) {
                BmcErrorKind::Tls(source)
            } else {
                BmcErrorKind::Unreachable { connected: !source.is_connect(), source }
            };
            self.error(call.describe(), kind)
        };
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let mut raw = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if raw.len() + chunk.len() > BODY_LIMIT_BYTES {
                let reason = format!("more than {BODY_LIMIT_BYTES} bytes");
                return Err(self.error(call.describe(), BmcErrorKind::Malformed(reason)));
            }
            raw.extend_from_slice(&chunk);
        }
        debug!(bmc = self.inner.address, request = call.describe(), status, "BMC answered");
        let headers = std::mem::take(response.headers_mut());
        let success = (200..300).contains(&status);
        let body = match serde_json::from_slice(&raw) {
            Ok(body) => body,
            Err(_) if raw.is_empty() => Value::Null,
            Err(error) if success && call.method == Method::GET => {
                return Err(
                    self.error(call.describe(), BmcErrorKind::Malformed(format!("not JSON: {error}")))
                );
            }
            Err(_) => Value::String(String::from_utf8_lossy(&raw).into_owned()),
        };
        Ok(Answer { status, headers, body })
    }

    /// Turns error statuses, and successes that are none, into errors.
    fn judge(&self, call: &Call<'_>, answer: Answer) -> Result<Answer, BmcError> {
        let Answer { status, headers, body } = &answer;
        let success = StatusCode::from_u16(*status).is_ok_and(|status| status.is_success());
        let disguised = success && call.method != Method::GET;
        if success && !disguised {
            return Ok(answer);
        }
        let said = self.inner.blot_out(ErrorBody::parse(body));
        if disguised && !said.is_failure_in_disguise() {
            return Ok(answer);
        }
        let status = *status;
        let kind = match status {
            401 | 403 => BmcErrorKind::Denied { status, body: said },
            _ => BmcErrorKind::Refused { status, body: said, retry_after: retry_after(headers) },
        };
        Err(self.error(call.describe(), kind))
    }
}
