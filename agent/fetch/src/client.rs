//! The one HTTP client: ranges, redirects, and what an answer means for the fetch.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::runtime::Handle;

use crate::direct::Direct;
use crate::lent::{LendPool, Sender};
use crate::reader::{BodyReader, Waited, wait};
use crate::{FetchError, FetchKind, Interest, Url};

/// Longest silence, of a server or of the lender.
const STALL: Duration = Duration::from_secs(60);
const REDIRECTS: usize = 5;
/// Pauses between tries for a small document.
const DOCUMENT_PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];
/// An idle connection may have been closed a moment ago: so many are tried before that is an error.
const STALE_CONNECTIONS: usize = 3;

/// How connections come about.
#[derive(Clone, Debug)]
pub(super) enum Connector {
    Lent(Arc<LendPool>),
    Direct(Direct),
}

/// Fetches for one operation.
#[derive(Clone)]
pub struct Fetcher {
    runtime: Handle,
    connector: Connector,
    interest: Arc<dyn Interest>,
    /// Value of the `Authorization` header, shown to the first URL's own origin only.
    authorization: Option<HeaderValue>,
    stall: Duration,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").field("connector", &self.connector).finish_non_exhaustive()
    }
}

/// An opened answer.
#[derive(Debug)]
pub struct Got {
    pub reader: BodyReader,
    /// Offset of the reader's first byte; 0 although more was asked for when the server sends all of it anew.
    pub offset: u64,
    /// Size of the whole in bytes, where the server tells it.
    pub total: Option<u64>,
    /// Strong entity tag.
    pub etag: Option<String>,
}

impl Fetcher {
    /// Over lent connections: dials nothing.
    pub fn lent(runtime: Handle, pool: Arc<LendPool>, interest: Arc<dyn Interest>) -> Self {
        Self { runtime, connector: Connector::Lent(pool), interest, authorization: None, stall: STALL }
    }

    /// Dials each URL's host.
    pub fn direct(
        runtime: Handle,
        interest: Arc<dyn Interest>,
        authorization: Option<HeaderValue>,
    ) -> Result<Self, rustls::Error> {
        let connector = Connector::Direct(Direct::new()?);
        Ok(Self { runtime, connector, interest, authorization, stall: STALL })
    }

    /// Opens `url` at `offset`. With `etag`, the rest comes only if the thing is still the same.
    pub fn open(&self, url: &Url, offset: u64, etag: Option<&str>) -> Result<Got, FetchError> {
        let (response, sender, last) = self
            .runtime
            .block_on(self.follow(url, offset, etag))
            .map_err(|(kind, what)| FetchError { kind, url: url.redacted(), what })?;
        let fail = |what: String| FetchError { kind: FetchKind::Fatal, url: last.redacted(), what };
        let headers = response.headers();
        let etag = header_text(headers, header::ETAG).filter(|etag| etag.starts_with('"')).map(str::to_owned);
        let (offset, total) = if response.status() == StatusCode::PARTIAL_CONTENT {
            let range = header_text(headers, header::CONTENT_RANGE)
                .and_then(parse_content_range)
                .ok_or_else(|| fail("206 without a Content-Range that makes sense".into()))?;
            if range.0 != offset {
                return Err(fail(format!("asked for byte {offset}, was sent byte {}", range.0)));
            }
            range
        } else {
            let total = header_text(headers, header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
            (0, total)
        };
        let pool = match &self.connector {
            Connector::Lent(pool) => Some(pool.clone()),
            Connector::Direct(_) => None,
        };
        let reader = BodyReader {
            runtime: self.runtime.clone(),
            interest: self.interest.clone(),
            stall: self.stall,
            body: response.into_body(),
            chunk: Bytes::new(),
            connection: Some((sender, pool)),
            ended: false,
        };
        Ok(Got { reader, offset, total, etag })
    }

    /// A small document as a whole, tried a few times; more than `limit` bytes are refused.
    pub fn document(&self, url: &Url, limit: u64) -> Result<Vec<u8>, FetchError> {
        for pause in DOCUMENT_PAUSES {
            match self.document_once(url, limit) {
                Err(error) if matches!(error.kind, FetchKind::Retryable | FetchKind::TimedOut) => {
                    tracing::warn!("{error}; trying again");
                    // Ends early when nobody wants the document any more, which the next try then finds.
                    self.runtime.block_on(async {
                        wait(&*self.interest, pause, std::future::pending::<()>()).await;
                    });
                }
                outcome => return outcome,
            }
        }
        self.document_once(url, limit)
    }

    fn document_once(&self, url: &Url, limit: u64) -> Result<Vec<u8>, FetchError> {
        let got = self.open(url, 0, None)?;
        let fail = |kind, what: String| FetchError { kind, url: url.redacted(), what };
        let mut bytes = Vec::new();
        got.reader
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| fail(FetchKind::Retryable, error.to_string()))?;
        if bytes.len() as u64 > limit {
            return Err(fail(FetchKind::Fatal, format!("is larger than {limit} bytes")));
        }
        Ok(bytes)
    }

    async fn follow(
        &self,
        url: &Url,
        offset: u64,
        etag: Option<&str>,
    ) -> Result<(Response<Incoming>, Sender, Url), (FetchKind, String)> {
        let mut here = url.clone();
        for _ in 0..=REDIRECTS {
            let credentials = self.authorization.as_ref().filter(|_| here.same_origin(url));
            let (response, sender) = self.send(&here, offset, etag, credentials).await?;
            let status = response.status();
            match status {
                StatusCode::OK => return Ok((response, sender, here)),
                StatusCode::PARTIAL_CONTENT if offset > 0 => return Ok((response, sender, here)),
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {
                    let location = header_text(response.headers(), header::LOCATION)
                        .ok_or_else(|| (FetchKind::Fatal, format!("{status} without Location")))?;
                    here = here
                        .join(location)
                        .map_err(|error| (FetchKind::Fatal, format!("the redirect {error}")))?;
                    tracing::info!("redirected to {}", here.redacted());
                }
                _ if status.is_server_error() => {
                    return Err((FetchKind::Retryable, format!("the server answered {status}")));
                }
                _ => return Err((FetchKind::Fatal, format!("the server answered {status}"))),
            }
        }
        Err((FetchKind::Fatal, format!("more than {REDIRECTS} redirects")))
    }

    async fn send(
        &self,
        url: &Url,
        offset: u64,
        etag: Option<&str>,
        credentials: Option<&HeaderValue>,
    ) -> Result<(Response<Incoming>, Sender), (FetchKind, String)> {
        let mut stale = 0;
        loop {
            let mut sender = self.connect(url).await?;
            let request = self.request(url, offset, etag, credentials)?;
            match wait(&*self.interest, self.stall, sender.send_request(request)).await {
                Waited::Done(Ok(response)) => return Ok((response, sender)),
                Waited::Done(Err(error)) if (error.is_canceled() || error.is_closed()) => {
                    stale += 1;
                    if stale == STALE_CONNECTIONS {
                        return Err((FetchKind::Retryable, error.to_string()));
                    }
                }
                Waited::Done(Err(error)) => return Err((FetchKind::Retryable, error.to_string())),
                Waited::TimedOut => {
                    return Err((FetchKind::TimedOut, format!("no answer in {} s", self.stall.as_secs())));
                }
                Waited::Cancelled => return Err((FetchKind::Cancelled, "cancelled".into())),
            }
        }
    }

    async fn connect(&self, url: &Url) -> Result<Sender, (FetchKind, String)> {
        match &self.connector {
            Connector::Lent(pool) => {
                let take = pool.take(|| self.interest.lend_wanted());
                match wait(&*self.interest, self.stall, take).await {
                    Waited::Done(sender) => Ok(sender),
                    Waited::TimedOut => {
                        let seconds = self.stall.as_secs();
                        Err((FetchKind::TimedOut, format!("nobody lent a connection for {seconds} s")))
                    }
                    Waited::Cancelled => Err((FetchKind::Cancelled, "cancelled".into())),
                }
            }
            Connector::Direct(direct) => match wait(&*self.interest, self.stall, direct.connect(url)).await {
                Waited::Done(Ok(sender)) => Ok(sender),
                Waited::Done(Err(what)) => Err((FetchKind::Retryable, what)),
                Waited::TimedOut => Err((FetchKind::TimedOut, "no connection came about".into())),
                Waited::Cancelled => Err((FetchKind::Cancelled, "cancelled".into())),
            },
        }
    }

    fn request(
        &self,
        url: &Url,
        offset: u64,
        etag: Option<&str>,
        credentials: Option<&HeaderValue>,
    ) -> Result<Request<Empty<Bytes>>, (FetchKind, String)> {
        let uri = match &self.connector {
            Connector::Lent(_) => url.absolute_form(),
            Connector::Direct(_) => url.origin_form(),
        };
        let mut request = Request::get(uri)
            .header(header::HOST, url.host())
            .header(header::USER_AGENT, concat!("tacit-agent/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "*/*");
        if offset > 0 {
            request = request.header(header::RANGE, format!("bytes={offset}-"));
            if let Some(etag) = etag {
                request = request.header(header::IF_RANGE, etag);
            }
        }
        if let Some(credentials) = credentials {
            request = request.header(header::AUTHORIZATION, credentials);
        }
        request.body(Empty::new()).map_err(|error| (FetchKind::Fatal, error.to_string()))
    }
}

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// First byte and size of the whole of `bytes 5-9/10`.
fn parse_content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let first = range.split_once('-')?.0.parse().ok()?;
    Some((first, if total == "*" { None } else { Some(total.parse().ok()?) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        assert_eq!(parse_content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(parse_content_range("bytes 5-9/*"), Some((5, None)));
        for bad in ["", "bytes */10", "items 1-2/3", "bytes 5-9/x"] {
            assert_eq!(parse_content_range(bad), None, "{bad}");
        }
    }
}
