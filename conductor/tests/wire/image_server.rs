//! Image servers that behave as told, and a plain HTTP client.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use tacit_conductor::media::{Body, full};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct ImageServer {
    pub(crate) address: SocketAddr,
    /// Each request's target and headers.
    pub(crate) seen: Arc<Mutex<Vec<(String, HeaderMap)>>>,
}

impl ImageServer {
    pub(crate) async fn start(
        answer: impl Fn(&Request<Incoming>) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let server = Self { address, seen: Arc::clone(&seen) };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                let service = service_fn(move |request: Request<Incoming>| {
                    seen.lock().unwrap().push((request.uri().to_string(), request.headers().clone()));
                    let response = answer(&request);
                    async move { Ok::<_, Infallible>(response) }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

/// Answers like a plain file server with the tag `"v1"`; breaks off after `cut` bytes of a body where given.
pub(crate) fn file(request: &Request<Incoming>, data: &Bytes, cut: Option<usize>) -> Response<Body> {
    let range = request.headers().get(header::RANGE).map(|value| value.to_str().unwrap().to_owned());
    let (status, start, end) = match range.as_deref().and_then(|text| text.strip_prefix("bytes=")) {
        Some(spec) => {
            let (first, last) = spec.split_once('-').unwrap();
            let end = if last.is_empty() { data.len() } else { last.parse::<usize>().unwrap() + 1 };
            (206, first.parse::<usize>().unwrap(), end)
        }
        None => (200, 0, data.len()),
    };
    let part = data.slice(start..end);
    let mut response = Response::builder()
        .status(status)
        .header(header::ETAG, "\"v1\"")
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CONTENT_LENGTH, part.len());
    if status == 206 {
        let range = format!("bytes {start}-{}/{}", end - 1, data.len());
        response = response.header(header::CONTENT_RANGE, range);
    }
    let body = match cut.filter(|cut| *cut < part.len()) {
        _ if request.method() == Method::HEAD => full(""),
        None => full(part),
        Some(cut) => {
            let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
            let frames = [Ok(Frame::data(part.slice(..cut))), Err(broken.into())];
            // The pause lets what came before reach the other end.
            let paced = stream::unfold(frames.into_iter(), |mut frames| async move {
                for _ in 0..1000 {
                    tokio::task::yield_now().await;
                }
                frames.next().map(|frame| (frame, frames))
            });
            StreamBody::new(paced).boxed_unsync()
        }
    };
    response.body(body).unwrap()
}

/// Bytes that no two places share.
pub(crate) fn pattern(length: usize) -> Bytes {
    (0..length.div_ceil(8) as u64)
        .flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .take(length)
        .collect::<Vec<u8>>()
        .into()
}

/// One request over a connection of its own.
pub(crate) async fn ask(
    address: SocketAddr,
    method: Method,
    target: &str,
    headers: &[(header::HeaderName, &str)],
) -> Response<Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(target).header(header::HOST, "test");
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}
