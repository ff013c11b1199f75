//! The one HTTP client: ranges, redirects, and what an answer means for the fetch.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use rustls::ClientConfig;

use crate::authorities::{Authorities, AuthoritiesError};
use crate::connection::Connection;
use crate::error::Broken;
use crate::framing::Rest;
use crate::head::{ContentRange, Framing, Head};
use crate::idle::{Home, Idle};
use crate::patience::Patience;
use crate::request::{Asked, is_strong};
use crate::{BodyReader, FetchError, FetchKind, Interest, LendPool, Url, dial};

/// Longest silence, of a server or of the lender, where nothing else is said.
const STALL: Duration = Duration::from_secs(60);
const REDIRECTS: usize = 5;
/// Pauses between tries for a small document.
const DOCUMENT_PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];
/// An idle connection may have been closed a moment ago: so many are tried before that is an error.
const STALE_CONNECTIONS: usize = 3;
/// `100 Continue` and its like before one answer.
const INTERIM_ANSWERS: usize = 16;

/// How connections come about.
#[derive(Clone, Debug)]
enum Connector {
    Lent(Arc<LendPool>),
    Direct { tls: Arc<ClientConfig>, idle: Arc<Idle> },
}

/// Fetches for one operation. Clones share their connections.
#[derive(Clone)]
pub struct Fetcher {
    connector: Connector,
    interest: Arc<dyn Interest>,
    stall: Duration,
    /// Value of the `Authorization` header, and the only origin that it is shown to.
    authorization: Option<(HeaderValue, Url)>,
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
    pub fn lent(pool: Arc<LendPool>, interest: Arc<dyn Interest>) -> Self {
        Self { connector: Connector::Lent(pool), interest, stall: STALL, authorization: None }
    }

    /// Dials each URL's host.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up.
    pub fn direct(authorities: Authorities, interest: Arc<dyn Interest>) -> Result<Self, AuthoritiesError> {
        let connector = Connector::Direct { tls: authorities.client_config()?, idle: Arc::default() };
        Ok(Self { connector, interest, stall: STALL, authorization: None })
    }

    /// With another longest silence than a minute.
    #[must_use]
    pub fn with_stall(mut self, stall: Duration) -> Self {
        self.stall = stall;
        self
    }

    /// With credentials for the origin of `url`; nobody else sees them, wherever a redirect or a document leads.
    #[must_use]
    pub fn with_authorization(mut self, value: HeaderValue, url: &Url) -> Self {
        self.authorization = Some((value, url.clone()));
        self
    }

    /// Opens `url` at `offset`, for no more than `len` bytes. With `etag`, the rest comes only if the thing is still
    /// the same. An `offset` at the very end gives a reader of nothing.
    ///
    /// # Errors
    ///
    /// By what helps, see [`FetchKind`].
    pub fn open(
        &self,
        url: &Url,
        offset: u64,
        len: Option<u64>,
        etag: Option<&str>,
    ) -> Result<Got, FetchError> {
        let mut here = url.clone();
        self.follow(&mut here, Asked { offset, len, etag }).map_err(|broken| broken.at(&here.redacted()))
    }

    /// A small document as a whole, tried a few times; more than `limit` bytes are refused.
    ///
    /// # Errors
    ///
    /// By what helps, see [`FetchKind`].
    pub fn document(&self, url: &Url, limit: u64) -> Result<Vec<u8>, FetchError> {
        for pause in DOCUMENT_PAUSES {
            match self.document_once(url, limit) {
                Err(error) if matches!(error.kind, FetchKind::Retryable | FetchKind::TimedOut) => {
                    tracing::warn!("{error}; trying again");
                    self.patience().pause(pause).map_err(|broken| broken.at(&url.redacted()))?;
                }
                outcome => return outcome,
            }
        }
        self.document_once(url, limit)
    }

    fn document_once(&self, url: &Url, limit: u64) -> Result<Vec<u8>, FetchError> {
        let mut got = self.open(url, 0, None, None)?;
        let mut bytes = Vec::new();
        let mut piece = [0; 16 << 10];
        loop {
            match got.reader.read_some(&mut piece)? {
                0 => return Ok(bytes),
                read if (bytes.len() + read) as u64 > limit => {
                    return Err(Broken::fatal(format!("is larger than {limit} bytes")).at(&url.redacted()));
                }
                read => bytes.extend_from_slice(&piece[..read]),
            }
        }
    }

    fn patience(&self) -> Patience {
        Patience::new(self.interest.clone(), self.stall)
    }

    fn follow(&self, here: &mut Url, asked: Asked<'_>) -> Result<Got, Broken> {
        for _ in 0..=REDIRECTS {
            let (head, reader) = self.ask(here, asked)?;
            let status = head.status;
            match status {
                StatusCode::OK => return Ok(whole(head, reader, asked)),
                StatusCode::PARTIAL_CONTENT if asked.is_part() => return part(head, reader, asked),
                StatusCode::RANGE_NOT_SATISFIABLE if asked.is_part() => {
                    reader.finish();
                    return self.behind_the_end(&head, asked, here);
                }
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {
                    reader.finish();
                    let location =
                        head.location.ok_or_else(|| Broken::fatal(format!("{status} without Location")))?;
                    *here = here
                        .join(&location)
                        .map_err(|error| Broken::fatal(format!("the redirect {error}")))?;
                    tracing::info!("redirected to {}", here.redacted());
                }
                StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                    reader.finish();
                    return Err(Broken::retryable(format!("the server answered {status}")));
                }
                _ => {
                    reader.finish();
                    let kind = if status.is_server_error() { FetchKind::Retryable } else { FetchKind::Fatal };
                    return Err(Broken::new(kind, format!("the server answered {status}")));
                }
            }
        }
        Err(Broken::fatal(format!("more than {REDIRECTS} redirects")))
    }

    /// One request and the head of its answer.
    fn ask(&self, url: &Url, asked: Asked<'_>) -> Result<(Head, BodyReader), Broken> {
        let authorization = self.authorization.as_ref().filter(|(_, home)| url.same_origin(home));
        let lent = matches!(self.connector, Connector::Lent(_));
        let request = asked.head(url, lent, authorization.map(|(value, _)| value));
        let patience = self.patience();
        let mut stale = 0;
        loop {
            let (mut connection, home) = self.connect(url, &patience)?;
            let fresh = !lent && connection.requests == 0;
            let answer =
                connection.send(&request, &patience).and_then(|()| read_head(&mut connection, &patience));
            match answer {
                Ok(head) => {
                    let home = head.persists.then_some(home);
                    let rest = Rest::new(head.framing);
                    let reader = BodyReader::new(connection, home, rest, patience, url.redacted());
                    return Ok((head, reader));
                }
                // Closed by the other end in the very moment that it was used again.
                Err(broken)
                    if broken.kind == FetchKind::Retryable
                        && !fresh
                        && connection.buffered().is_empty()
                        && stale + 1 < STALE_CONNECTIONS =>
                {
                    tracing::debug!("an idle connection was of no use: {}", broken.what);
                    stale += 1;
                }
                Err(broken) => return Err(broken),
            }
        }
    }

    fn connect(&self, url: &Url, patience: &Patience) -> Result<(Connection, Home), Broken> {
        match &self.connector {
            Connector::Lent(pool) => Ok((pool.take(patience)?, Home::Lent(pool.clone()))),
            Connector::Direct { tls, idle } => {
                let origin = url.origin();
                let connection = match idle.take(&origin) {
                    Some(connection) => connection,
                    None => dial::dial(&origin, tls, patience)?,
                };
                Ok((connection, Home::Direct(idle.clone(), origin)))
            }
        }
    }

    /// `416`: fine where the thing ends just here, as it does when a connection broke behind its last byte.
    fn behind_the_end(&self, head: &Head, asked: Asked<'_>, url: &Url) -> Result<Got, Broken> {
        let offset = asked.offset;
        match head.content_range {
            Some(ContentRange::Outside { total: Some(total) }) if total == offset => Ok(Got {
                reader: BodyReader::nothing(self.patience(), url.redacted()),
                offset,
                total: Some(total),
                etag: strong(head),
            }),
            Some(ContentRange::Outside { total: Some(total) }) => Err(Broken::new(
                FetchKind::Changed,
                format!("has {total} bytes, byte {offset} was asked for"),
            )),
            _ => Err(Broken::new(FetchKind::Changed, format!("has no byte {offset}"))),
        }
    }
}

fn read_head(connection: &mut Connection, patience: &Patience) -> Result<Head, Broken> {
    let mut interim = 0;
    loop {
        match Head::parse(connection.buffered())? {
            Some((head, length)) => {
                connection.consume(length);
                // `100 Continue` and its like precede the answer.
                if !head.status.is_informational() {
                    return Ok(head);
                }
                interim += 1;
                if interim > INTERIM_ANSWERS {
                    return Err(Broken::fatal("the server answers, and never for good"));
                }
            }
            None if connection.fill(patience)? == 0 => {
                return Err(Broken::retryable("the connection was closed before an answer"));
            }
            None => {}
        }
    }
}

fn whole(head: Head, mut reader: BodyReader, asked: Asked<'_>) -> Got {
    if let Some(end) = asked.len.and_then(|len| asked.offset.checked_add(len)) {
        reader.limit(end);
    }
    let total = match head.framing {
        Framing::Exactly(length) => Some(length),
        Framing::Chunked | Framing::UntilClose => None,
    };
    Got { reader, offset: 0, total, etag: strong(&head) }
}

fn part(head: Head, mut reader: BodyReader, asked: Asked<'_>) -> Result<Got, Broken> {
    let Some(ContentRange::Part { first, last, total }) = head.content_range else {
        return Err(Broken::fatal("206 without a Content-Range that makes sense"));
    };
    if first != asked.offset {
        return Err(Broken::fatal(format!("asked for byte {}, was sent byte {first}", asked.offset)));
    }
    if matches!(head.framing, Framing::Exactly(length) if length != last - first + 1) {
        return Err(Broken::fatal("Content-Range and Content-Length contradict each other"));
    }
    if let Some(len) = asked.len {
        reader.limit(len);
    }
    Ok(Got { reader, offset: first, total, etag: strong(&head) })
}

fn strong(head: &Head) -> Option<String> {
    head.etag.clone().filter(|etag| is_strong(etag))
}
