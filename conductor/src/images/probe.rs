//! Is the image there, before a disk is touched for it?

use hyper::Method;
use hyper::header::{self, HeaderMap, HeaderValue};

use super::allowance::Origin;
use super::error::{ImageError, shown};
use super::{file, relay};

/// What an origin says about an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFacts {
    /// Size in bytes of the file as served, where the origin tells.
    pub length: Option<u64>,
    pub etag: Option<String>,
}

/// Asks the origin with `HEAD`; where that is refused or tells no length (signed URLs allow one method only), with
/// `GET` for the first byte.
///
/// # Errors
/// When the image is not there, or its server cannot be reached or refuses.
pub async fn probe(origin: &Origin) -> Result<ImageFacts, ImageError> {
    match origin {
        Origin::Http { url, authorization } => probe_http(url, authorization.as_deref()).await,
        Origin::File(path) => {
            let content = file::open(path).await?;
            Ok(ImageFacts { length: Some(content.source.len()), etag: content.etag })
        }
        Origin::Bytes(bytes) => Ok(ImageFacts { length: Some(bytes.len() as u64), etag: None }),
    }
}

async fn probe_http(url: &str, authorization: Option<&str>) -> Result<ImageFacts, ImageError> {
    let head = relay::ask(url, authorization, Method::HEAD, HeaderMap::new()).await?;
    // An answer to HEAD has no body: only its header tells the length.
    let length = number(head.headers(), header::CONTENT_LENGTH);
    if head.status().is_success() && length.is_some() {
        return Ok(ImageFacts { length, etag: etag(head.headers()) });
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::RANGE, HeaderValue::from_static("bytes=0-0"));
    let get = relay::ask(url, authorization, Method::GET, headers).await?;
    let length = match get.status().as_u16() {
        // 416 is how servers answer a range of an empty file.
        206 | 416 => total(get.headers()),
        200 => number(get.headers(), header::CONTENT_LENGTH),
        status => return Err(ImageError::Status { url: shown(url), status }),
    };
    Ok(ImageFacts { length, etag: etag(get.headers()) })
}

fn number(headers: &HeaderMap, name: header::HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// The size after the slash of `Content-Range: bytes 0-0/1234`.
fn total(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_RANGE)?.to_str().ok()?.rsplit_once('/')?.1.parse().ok()
}

fn etag(headers: &HeaderMap) -> Option<String> {
    headers.get(header::ETAG)?.to_str().ok().map(str::to_owned)
}
