//! What `image_info` asks for, with everything that is given by address fetched: checksum, block map, signature and
//! config drive.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use serde_json::Value;
use tacit_fetch::{Authorities, FetchError, FetchKind, Fetcher, Interest, Url, find_checksum};
use tacit_imaging::{
    Bmap, DigestError, ExpectedDigest, MAX_SIGNATURE_BYTES, Md5, RetryPolicy, Signature, SignatureError,
    decode_config_drive, decode_served_config_drive,
};
use tacit_protocol::image::{ImageInfo, Transport};
use tacit_protocol::medium::ImagePolicy;

use super::image_digest::Asked;
use super::image_info::is_url;
use crate::agent::Agent;
use crate::jobs::{CommandError, JobContext};

/// Largest checksum file in bytes.
const CHECKSUM_FILE: u64 = 1 << 20;
/// Largest config drive in base64: 64 MiB of it, and room for line ends.
const CONFIG_DRIVE: u64 = 90 << 20;

/// An image to be written.
pub(super) struct ImageRequest {
    pub(super) info: ImageInfo,
    pub(super) urls: Vec<Url>,
    pub(super) fetcher: Fetcher,
    pub(super) digest: Option<ExpectedDigest>,
    pub(super) signature: Option<Signature>,
    /// What its checksum says.
    pub(super) bmap: Option<Bmap>,
    /// The ISO image.
    pub(super) config_drive: Option<Vec<u8>>,
    pub(super) retry: RetryPolicy,
}

/// The running operation as a fetch sees it.
pub(super) struct Wanted(pub(super) Arc<JobContext>);

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
    /// What cannot be understood is `InvalidCommandParamsError`, what cannot be fetched `ImageDownloadError`, what is
    /// not what its checksum or key says `ImageChecksumError`. No disk is touched.
    pub(super) fn resolve(
        agent: &Arc<Agent>,
        job: &Arc<JobContext>,
        image_info: &Value,
        config_drive: Option<&str>,
    ) -> Result<Self, CommandError> {
        let policy = &agent.image_policy();
        let info: ImageInfo = serde_json::from_value(image_info.clone())
            .map_err(|error| CommandError::invalid_params(format!("image_info: {error}")))?;
        let urls = info.urls.iter().map(|url| parse_url(url)).collect::<Result<Vec<_>, _>>()?;
        let documents = Documents::new(agent, job, &info, urls.first())?;
        let file_name = urls.first().map_or("", |url| url.file_name());
        let digest = documents.digest(&info, policy, file_name)?;
        let signature = documents.signature(&info, policy)?;
        let bmap = documents.bmap(&info)?;
        if digest.is_none() && signature.is_none() && bmap.is_none() {
            return Err(CommandError::invalid_params("Image checksum is not available."));
        }
        let config_drive = documents.config_drive(config_drive.or(info.configdrive.as_deref()))?;
        let (fetcher, retry) = (documents.fetcher, retry(policy));
        Ok(Self { info, urls, fetcher, digest, signature, bmap, config_drive, retry })
    }
}

/// Fetches what is small enough for memory.
struct Documents {
    fetcher: Fetcher,
}

impl Documents {
    fn new(
        agent: &Arc<Agent>,
        job: &Arc<JobContext>,
        info: &ImageInfo,
        image: Option<&Url>,
    ) -> Result<Self, CommandError> {
        let interest = Arc::new(Wanted(job.clone()));
        let stall = stall(agent);
        let fetcher = match info.transport {
            Transport::Lent => Fetcher::lent(agent.lends.clone(), interest).with_stall(stall),
            Transport::Direct => {
                let fetcher = Fetcher::direct(Authorities::public(), interest)
                    .map_err(|error| CommandError::execution(CommandError::chain(&error)))?
                    .with_stall(stall);
                let default =
                    || agent.ipa()?.image_server.as_ref().map(|(user, password)| basic(user, password));
                match (authorization(info)?.or_else(default), image) {
                    // Shown to the image's server alone: a checksum or a config drive may lie elsewhere.
                    (Some(value), Some(image)) => fetcher.with_authorization(value, image),
                    _ => fetcher,
                }
            }
        };
        Ok(Self { fetcher })
    }

    fn get(&self, url: &str, limit: u64) -> Result<(Url, Vec<u8>), CommandError> {
        let url = parse_url(url)?;
        let bytes = self.fetcher.document(&url, limit).map_err(|error| from_fetch(&error))?;
        Ok((url, bytes))
    }

    fn digest(
        &self,
        info: &ImageInfo,
        policy: &ImagePolicy,
        file_name: &str,
    ) -> Result<Option<ExpectedDigest>, CommandError> {
        let Some(asked) = Asked::of(info, policy) else { return Ok(None) };
        let digest = if is_url(asked.value) {
            let (url, text) = self.get(asked.value, CHECKSUM_FILE)?;
            find_checksum(&String::from_utf8_lossy(&text), file_name).ok_or_else(|| {
                let text = format!("{}: holds no checksum for {file_name}", url.redacted());
                CommandError::new("ImageDownloadError", text)
            })?
        } else {
            asked.value.to_owned()
        };
        asked.expect(&digest).map(Some).map_err(|error| unusable("checksum", &error))
    }

    fn signature(&self, info: &ImageInfo, policy: &ImagePolicy) -> Result<Option<Signature>, CommandError> {
        let Some(given) = info.image_signature.as_deref() else {
            if policy.require_image_signature {
                let text = "image_signature is missing, and this node's configuration requires one";
                return Err(CommandError::invalid_params(text));
            }
            return Ok(None);
        };
        let text = if is_url(given) {
            let (_, bytes) = self.get(given, MAX_SIGNATURE_BYTES as u64)?;
            String::from_utf8_lossy(&bytes).into_owned()
        } else {
            given.to_owned()
        };
        Signature::new(&policy.image_signature_keys, &text).map(Some).map_err(|error| {
            let class = match error {
                SignatureError::NoKey | SignatureError::Key { .. } => "InvalidCommandParamsError",
                _ => "ImageChecksumError",
            };
            CommandError::new(class, format!("image {}: image_signature: {error}", info.id))
        })
    }

    fn bmap(&self, info: &ImageInfo) -> Result<Option<Bmap>, CommandError> {
        let Some(url) = info.bmap_url.as_deref() else { return Ok(None) };
        let pinned = info
            .bmap_checksum
            .as_deref()
            .ok_or_else(|| CommandError::invalid_params("bmap_url needs bmap_checksum"))?;
        // Who could forge the map could choose what of the image is checked: MD5 is never enough.
        let pinned = ExpectedDigest::parse(None, pinned, Md5::Refused)
            .map_err(|error| unusable("bmap_checksum", &error))?;
        let (url, bytes) = self.get(url, Bmap::MAX_BYTES as u64)?;
        if !pinned.is_of(&bytes) {
            let (algorithm, hex) = (pinned.algorithm, pinned.hex);
            let text = format!("{}: the block map's {algorithm} digest is not {hex}", url.redacted());
            return Err(CommandError::new("ImageChecksumError", text));
        }
        Bmap::parse(&bytes).map(Some).map_err(|error| {
            let text = format!("{}: {}", url.redacted(), CommandError::chain(&error));
            CommandError::new("InvalidImage", text)
        })
    }

    fn config_drive(&self, given: Option<&str>) -> Result<Option<Vec<u8>>, CommandError> {
        let decoded = match given {
            None | Some("") => return Ok(None),
            Some(url) if is_url(url) => decode_served_config_drive(self.get(url, CONFIG_DRIVE)?.1),
            Some(text) => decode_config_drive(text),
        };
        decoded.map(Some).map_err(|error| {
            CommandError::invalid_params(format!("configdrive: {}", CommandError::chain(&error)))
        })
    }
}

fn unusable(key: &str, error: &DigestError) -> CommandError {
    CommandError::invalid_params(format!("{key}: {error}"))
}

/// Longest silence while something is fetched.
pub(super) fn stall(agent: &Agent) -> Duration {
    retry(&agent.image_policy()).stall
}

/// How patient fetching is, as the node's configuration has it.
fn retry(policy: &ImagePolicy) -> RetryPolicy {
    let default = RetryPolicy::default();
    let seconds = |value: Option<u32>| value.map(|seconds| Duration::from_secs(seconds.into()));
    let max_delay = seconds(policy.image_download_connection_retry_interval).unwrap_or(default.max_delay);
    RetryPolicy {
        stall: seconds(policy.image_download_connection_timeout)
            .map_or(default.stall, |stall| stall.max(Duration::from_secs(1))),
        attempts: policy
            .image_download_connection_retries
            .map_or(default.attempts, |retries| retries.saturating_add(1)),
        first_delay: default.first_delay.min(max_delay),
        max_delay,
    }
}

/// The credentials for the image's server: a whole header value wins over user and password.
fn authorization(info: &ImageInfo) -> Result<Option<HeaderValue>, CommandError> {
    let value = if let Some(encoded) = &info.image_request_authorization {
        let decoded = STANDARD.decode(encoded.trim()).ok();
        decoded.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok()).ok_or_else(|| {
            CommandError::invalid_params("image_request_authorization is no base64 of a header value")
        })?
    } else {
        match info.image_server_auth_strategy.as_deref() {
            None | Some("" | "noauth") => return Ok(None),
            Some("http_basic") => {}
            Some(_) => {
                let text = "image_server_auth_strategy is neither noauth nor http_basic";
                return Err(CommandError::invalid_params(text));
            }
        }
        let (Some(user), Some(password)) = (&info.image_server_user, &info.image_server_password) else {
            let text = "http_basic needs image_server_user and image_server_password";
            return Err(CommandError::invalid_params(text));
        };
        return Ok(Some(basic(user, password)));
    };
    let mut value = value;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn basic(user: &str, password: &str) -> HeaderValue {
    let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let mut value = HeaderValue::try_from(value).expect("base64 is fit for a header");
    value.set_sensitive(true);
    value
}

pub(super) fn parse_url(text: &str) -> Result<Url, CommandError> {
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
        FetchKind::Fatal | FetchKind::Changed => CommandError::new("ImageDownloadError", error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn info(more: &Value) -> ImageInfo {
        let mut object = json!({"id": "i", "urls": ["http://h/i"]});
        for (key, value) in more.as_object().unwrap() {
            object[key] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn credentials_in_ironics_forms() {
        assert_eq!(authorization(&info(&json!({}))).unwrap(), None);
        assert_eq!(authorization(&info(&json!({"image_server_auth_strategy": "noauth"}))).unwrap(), None);
        let basic = json!({"image_server_auth_strategy": "http_basic", "image_server_user": "u",
                           "image_server_password": "p"});
        let header = authorization(&info(&basic)).unwrap().unwrap();
        assert_eq!(header, "Basic dTpw");
        assert!(header.is_sensitive());
        let mut both = basic.clone();
        both["image_request_authorization"] = "QmVhcmVyIHQ=".into();
        assert_eq!(authorization(&info(&both)).unwrap().unwrap(), "Bearer t");
        for wrong in [
            json!({"image_server_auth_strategy": "digest"}),
            json!({"image_server_auth_strategy": "http_basic", "image_server_user": "u"}),
            json!({"image_request_authorization": "Bearer t"}),
        ] {
            assert!(authorization(&info(&wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn patience_is_the_nodes() {
        assert_eq!(retry(&ImagePolicy::default()), RetryPolicy::default());
        let policy = ImagePolicy {
            image_download_connection_timeout: Some(0),
            image_download_connection_retries: Some(0),
            image_download_connection_retry_interval: Some(0),
            ..ImagePolicy::default()
        };
        let none = retry(&policy);
        assert_eq!((none.attempts, none.max_delay), (1, Duration::ZERO));
        assert!(none.stall >= Duration::from_secs(1) && none.first_delay <= none.max_delay);
    }
}
