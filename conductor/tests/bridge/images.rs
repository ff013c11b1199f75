//! An image, and a server that can stop in the middle of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) const IMAGE_SIZE: usize = 8 << 20;
const PAUSE_AT: usize = IMAGE_SIZE / 2;

pub(crate) struct Images {
    pub(crate) address: SocketAddr,
    pub(crate) image: Bytes,
    served: Arc<Served>,
    go_on: watch::Sender<bool>,
}

struct Served {
    image: Bytes,
    requests: AtomicUsize,
    go_on: watch::Receiver<bool>,
}

impl Images {
    /// Sends no more than half of the image until it is told to.
    pub(crate) async fn start() -> Self {
        let image = Bytes::from(image());
        let (go_on, wait) = watch::channel(false);
        let served = Arc::new(Served { image: image.clone(), requests: AtomicUsize::new(0), go_on: wait });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/image.raw", get(serve)).with_state(Arc::clone(&served));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, image, served, go_on }
    }

    pub(crate) fn go_on(&self) {
        self.go_on.send(true).unwrap();
    }

    pub(crate) fn requests(&self) -> usize {
        self.served.requests.load(Ordering::SeqCst)
    }

    /// The step that Ironic's `direct` interface makes of it.
    pub(crate) fn step(&self) -> Value {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.image);
        let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        json!({"interface": "deploy", "step": "write_image", "priority": 80, "args": {
            "image_info": {
                "id": "image.raw", "urls": [format!("http://{}/image.raw", self.address)], "disk_format": "raw",
                "container_format": "bare", "stream_raw_images": true, "os_hash_algo": "sha256",
                "os_hash_value": digest, "node_uuid": crate::site::NODE,
            },
            "configdrive": null,
        }})
    }
}

/// An MBR with one partition, and bytes that do not repeat.
fn image() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..IMAGE_SIZE as u64 / 8)
        .flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect();
    bytes[..512].fill(0);
    bytes[446..462].copy_from_slice(&[0, 0, 2, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0]);
    bytes[510..512].copy_from_slice(&[0x55, 0xAA]);
    bytes
}

async fn serve(State(served): State<Arc<Served>>, headers: HeaderMap) -> Response<Body> {
    served.requests.fetch_add(1, Ordering::SeqCst);
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok()?.strip_prefix("bytes="));
    let (start, end) = range.map_or((0, IMAGE_SIZE), |range| {
        let (start, end) = range.split_once('-').unwrap();
        (start.parse().unwrap(), end.parse::<usize>().map_or(IMAGE_SIZE, |end| end + 1))
    });
    let (image, go_on) = (served.image.clone(), served.go_on.clone());
    let half = PAUSE_AT.clamp(start, end);
    let (first, second) = (image.slice(start..half), image.slice(half..end));
    let parts = futures_util::stream::unfold(0, move |part| {
        let (first, second, mut go_on) = (first.clone(), second.clone(), go_on.clone());
        async move {
            match part {
                0 => Some((Ok::<_, std::io::Error>(first), 1)),
                1 => {
                    go_on.wait_for(|go| *go).await.ok()?;
                    Some((Ok(second), 2))
                }
                _ => None,
            }
        }
    });
    let mut response =
        Response::builder().header(header::ETAG, "\"1\"").header(header::ACCEPT_RANGES, "bytes");
    if range.is_some() {
        let shown = format!("bytes {start}-{}/{IMAGE_SIZE}", end - 1);
        response = response.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, shown);
    }
    response.header(header::CONTENT_LENGTH, end - start).body(Body::from_stream(parts)).unwrap()
}
