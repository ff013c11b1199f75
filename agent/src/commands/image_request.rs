//! What `image_info` asks for, with everything that is given by address fetched: checksum and config drive.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use serde_json::Value;
use tacit_protocol::image::{ImageInfo, Transport};

use super::image_info::is_url;
use crate::agent::Agent;
use crate::jobs::{CommandError, JobContext};
use tacit_fetch::{FetchError, FetchKind, Fetcher, Interest, Url, find_checksum};

/// Largest checksum file in bytes.
const CHECKSUM_FILE: u64 = 1 << 20;
/// Largest config drive in base64: 64 MiB of it, and room for line ends.
const CONFIG_DRIVE: u64 = 90 << 20;

/// An image to be written.
pub(super) struct ImageRequest {
    pub(super) info: ImageInfo,
    pub(super) urls: Vec<Url>,
    pub(super) fetcher: Fetcher,
    /// `os_hash_algo`; without it, the length of the digest tells.
    pub(super) algorithm: Option<String>,
    /// Hexadecimal.
    pub(super) digest: String,
    /// Base64 of an ISO image or of a gzip of one.
    pub(super) config_drive: Option<String>,
}

/// The running operation as a fetch sees it.
struct Wanted(Arc<JobContext>);

impl Interest for Wanted {
    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }

    fn lend_wanted(&self) {
        self.0.lend_wanted();
    }
}

impl ImageRequest {
    /// # Errors
    ///
    /// What cannot be understood is `InvalidCommandParamsError`, what cannot be fetched `ImageDownloadError`. No disk
    /// is touched.
    pub(super) fn resolve(
        agent: &Arc<Agent>,
        job: &Arc<JobContext>,
        image_info: &Value,
        config_drive: Option<&str>,
    ) -> Result<Self, CommandError> {
        let info: ImageInfo = serde_json::from_value(image_info.clone())
            .map_err(|error| CommandError::invalid_params(format!("image_info: {error}")))?;
        if info.image_type.as_deref() == Some("partition") {
            let text = format!("image {}: partition images are not written, only whole-disk ones", info.id);
            return Err(CommandError::new("InvalidImage", text));
        }
        let urls = info.urls.iter().map(|url| parse_url(url)).collect::<Result<Vec<_>, _>>()?;
        let fetcher = fetcher(agent, job, &info)?;
        let (algorithm, digest) = checksum(&fetcher, &info, urls.first().map_or("", |url| url.file_name()))?;
        let config_drive = match config_drive.or(info.configdrive.as_deref()) {
            None | Some("") => None,
            Some(url) if is_url(url) => {
                let bytes =
                    fetcher.document(&parse_url(url)?, CONFIG_DRIVE).map_err(|error| from_fetch(&error))?;
                // Servers also have the image itself, which is no text.
                Some(String::from_utf8(bytes).unwrap_or_else(|error| STANDARD.encode(error.as_bytes())))
            }
            Some(text) => Some(text.to_owned()),
        };
        Ok(Self { urls, fetcher, algorithm, digest, config_drive, info })
    }
}

fn fetcher(agent: &Arc<Agent>, job: &Arc<JobContext>, info: &ImageInfo) -> Result<Fetcher, CommandError> {
    let interest = Arc::new(Wanted(job.clone()));
    match info.transport {
        Transport::Lent => Ok(Fetcher::lent(agent.runtime.clone(), agent.lends.clone(), interest)),
        Transport::Direct => {
            let authorization = info.image_request_authorization.as_deref().map(authorization).transpose()?;
            Fetcher::direct(agent.runtime.clone(), interest, authorization)
                .map_err(|error| CommandError::execution(format!("TLS cannot be set up: {error}")))
        }
    }
}

fn authorization(encoded: &str) -> Result<HeaderValue, CommandError> {
    let unusable =
        || CommandError::invalid_params("image_request_authorization is no base64 of a header value");
    let bytes = STANDARD.decode(encoded).map_err(|_| unusable())?;
    let mut value = HeaderValue::from_bytes(&bytes).map_err(|_| unusable())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Algorithm and digest (IPA contract §8.3).
fn checksum(
    fetcher: &Fetcher,
    info: &ImageInfo,
    file_name: &str,
) -> Result<(Option<String>, String), CommandError> {
    let (algorithm, given) = match (&info.os_hash_algo, &info.os_hash_value, &info.checksum) {
        (Some(algorithm), Some(value), _) => (Some(algorithm.clone()), value),
        (_, _, Some(checksum)) => (None, checksum),
        _ => return Err(CommandError::invalid_params("Image checksum is not available.")),
    };
    let digest = if is_url(given) {
        let url = parse_url(given)?;
        let text = fetcher.document(&url, CHECKSUM_FILE).map_err(|error| from_fetch(&error))?;
        find_checksum(&String::from_utf8_lossy(&text), file_name).ok_or_else(|| {
            CommandError::new(
                "ImageDownloadError",
                format!("{}: holds no checksum for {file_name}", url.redacted()),
            )
        })?
    } else {
        given.trim().to_owned()
    };
    Ok((algorithm, digest))
}

fn parse_url(text: &str) -> Result<Url, CommandError> {
    let shown = text.split(['?', '#']).next().unwrap_or_default();
    Url::parse(text).map_err(|error| CommandError::invalid_params(format!("{shown} {error}")))
}

pub(super) fn from_fetch(error: &FetchError) -> CommandError {
    match error.kind {
        FetchKind::Cancelled => CommandError::cancelled("cancelled by the caller"),
        FetchKind::TimedOut => {
            CommandError::new("ImageDownloadTimeoutError", error.to_string()).with_retry(true)
        }
        FetchKind::Retryable => CommandError::new("ImageDownloadError", error.to_string()).with_retry(true),
        FetchKind::Fatal => CommandError::new("ImageDownloadError", error.to_string()),
    }
}
