//! An image server with faults: it can be down, and cut the body or hold it back at a byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

/// Piece of a body that is sent at once.
const PIECE: usize = 64 << 10;
/// How often a body that is held back looks whether it may go on.
const LOOK: Duration = Duration::from_millis(5);

/// Serves one image at `/image`.
pub struct ImageServer {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    image: Bytes,
    /// Offset at which each request began.
    starts: Vec<u64>,
    sent: u64,
    down: bool,
    /// Bodies end, with a broken connection, at this offset of the image.
    cut_at: Option<usize>,
    /// Bodies go on here only when this is gone.
    hold_at: usize,
    refused: usize,
}

impl ImageServer {
    pub async fn start() -> Result<Self> {
        let shared = Shared {
            image: Bytes::new(),
            starts: Vec::new(),
            sent: 0,
            down: false,
            cut_at: None,
            hold_at: usize::MAX,
            refused: 0,
        };
        let shared = Arc::new(Mutex::new(shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new().fallback(serve).with_state(shared.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("image server: {error}");
            }
        });
        Ok(Self { address, shared, task })
    }

    pub fn url(&self) -> String {
        format!("http://{}/image", self.address)
    }

    /// What is served from now on; forgets earlier faults and counts.
    pub fn serve(&self, image: impl Into<Bytes>) {
        let mut shared = self.shared.lock().expect("no holder of the lock panics");
        shared.image = image.into();
        shared.starts.clear();
        shared.sent = 0;
        shared.down = false;
        shared.cut_at = None;
        shared.hold_at = usize::MAX;
        shared.refused = 0;
    }

    /// Cuts bodies at `offset` of the image, until told otherwise.
    pub fn cut_at(&self, offset: Option<usize>) {
        self.shared.lock().expect("no holder of the lock panics").cut_at = offset;
    }

    /// Answers nothing but 503, and cuts what is being sent.
    pub fn down(&self, down: bool) {
        self.shared.lock().expect("no holder of the lock panics").down = down;
    }

    /// Sends nothing from `offset` of the image on, until told otherwise.
    pub fn hold_at(&self, offset: Option<usize>) {
        self.shared.lock().expect("no holder of the lock panics").hold_at = offset.unwrap_or(usize::MAX);
    }

    /// How often it was asked while it was down.
    pub fn refused(&self) -> usize {
        self.shared.lock().expect("no holder of the lock panics").refused
    }

    /// Offsets at which requests with a body began.
    pub fn starts(&self) -> Vec<u64> {
        self.shared.lock().expect("no holder of the lock panics").starts.clone()
    }

    /// Bytes sent so far.
    pub fn sent(&self) -> u64 {
        self.shared.lock().expect("no holder of the lock panics").sent
    }
}

impl Drop for ImageServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    State(shared): State<Arc<Mutex<Shared>>>,
    method: axum::http::Method,
    headers: HeaderMap,
) -> Response {
    let image = {
        let mut shared = shared.lock().expect("no holder of the lock panics");
        if shared.down {
            shared.refused += 1;
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        shared.image.clone()
    };
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let start: usize = range
        .and_then(|range| range.strip_prefix("bytes="))
        .and_then(|range| range.split('-').next()?.parse().ok())
        .unwrap_or(0);
    if start >= image.len() && start > 0 {
        return StatusCode::RANGE_NOT_SATISFIABLE.into_response();
    }
    let end = range
        .and_then(|range| range.rsplit('-').next()?.parse::<usize>().ok())
        .map_or(image.len(), |last| (last + 1).min(image.len()));
    let head = method == axum::http::Method::HEAD;
    if !head {
        shared.lock().expect("no holder of the lock panics").starts.push(start as u64);
    }
    let mut response =
        Response::new(if head { Body::empty() } else { body(shared, image.clone(), start, end) });
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_LENGTH, (end - start).into());
    fields.insert(header::ACCEPT_RANGES, header::HeaderValue::from_static("bytes"));
    fields.insert(header::ETAG, header::HeaderValue::from_static("\"one\""));
    if range.is_some() {
        let text = format!("bytes {start}-{}/{}", end - 1, image.len());
        fields.insert(header::CONTENT_RANGE, text.parse().expect("digits and a slash are a header value"));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

fn body(shared: Arc<Mutex<Shared>>, image: Bytes, start: usize, end: usize) -> Body {
    Body::from_stream(stream::try_unfold(start, move |at| {
        let (shared, image) = (shared.clone(), image.clone());
        async move {
            if at >= end {
                return Ok(None);
            }
            let cut_at = loop {
                let (down, cut_at, hold_at) = {
                    let shared = shared.lock().expect("no holder of the lock panics");
                    (shared.down, shared.cut_at.unwrap_or(usize::MAX), shared.hold_at)
                };
                if down || at >= cut_at {
                    return Err(std::io::Error::other("cut on demand"));
                }
                if at < hold_at {
                    break cut_at;
                }
                tokio::time::sleep(LOOK).await;
            };
            let next = (at + PIECE).min(end).min(cut_at);
            shared.lock().expect("no holder of the lock panics").sent += (next - at) as u64;
            Ok(Some((image.slice(at..next), next)))
        }
    }))
}
