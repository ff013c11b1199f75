//! What a request is made of: the image's places, and the documents that say what it must be.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tacit_fetch::{Authorities, Fetcher, HttpSource, Interest, Url};
use tacit_imaging::{
    Bmap, ExpectedDigest, FileSource, MAX_CONFIG_DRIVE_BYTES, MAX_SIGNATURE_BYTES, Md5, RetryPolicy,
    Signature, Source, Verify, WriteMode, WriteRequest, decode_served_config_drive,
};

use super::arguments::WriteArguments;
use super::error::WriteError;

/// Largest file of authorities in bytes.
const AUTHORITIES: u64 = 4 << 20;
/// Base64 and its line ends take a third more.
const CONFIG_DRIVE: u64 = MAX_CONFIG_DRIVE_BYTES / 2 * 3;

/// The person at the keyboard.
#[derive(Debug)]
pub(super) struct Keyboard(pub(super) Arc<AtomicBool>);

impl Interest for Keyboard {
    fn cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Nobody lends here.
    fn lend_wanted(&self) {}
}

/// Fetches and checks everything but the image.
pub(super) fn request(
    arguments: &WriteArguments,
    cancelled: &Arc<AtomicBool>,
) -> Result<WriteRequest, WriteError> {
    let digest = |option, text: &str| {
        ExpectedDigest::parse(None, text, Md5::Refused)
            .map_err(|source| WriteError::Digest { option, source })
    };
    let digests =
        arguments.verify.iter().map(|text| digest("--verify", text)).collect::<Result<Vec<_>, _>>()?;
    let bmap_digest =
        arguments.bmap_digest.as_deref().map(|text| digest("--bmap-digest", text)).transpose()?;
    if digests.is_empty() && arguments.bmap.is_none() && arguments.signature.is_none() {
        return Err(WriteError::Unvouched);
    }
    let fetcher = fetcher(arguments, cancelled)?;
    let places = std::iter::once(&arguments.image).chain(&arguments.mirror);
    let sources = places.map(|place| source(place, &fetcher)).collect::<Result<Vec<_>, _>>()?;
    let bmap = match (&arguments.bmap, bmap_digest) {
        (Some(place), Some(expected)) => Some(bmap(place, &expected, &fetcher)?),
        _ => None,
    };
    let signature = match &arguments.signature {
        Some(place) => Some(signature(place, &arguments.minisign_key, &fetcher)?),
        None => None,
    };
    let config_drive = arguments.config_drive.as_deref().map(config_drive).transpose()?;
    let retry = RetryPolicy { stall: Duration::from_secs(arguments.stall), ..RetryPolicy::default() };
    Ok(WriteRequest {
        digests,
        signature,
        bmap,
        config_drive,
        mode: if arguments.changed { WriteMode::Changed } else { WriteMode::All },
        verify: if arguments.full_verify { Verify::Full } else { Verify::Revealed },
        retry,
        ..WriteRequest::new(sources)
    })
}

fn fetcher(arguments: &WriteArguments, cancelled: &Arc<AtomicBool>) -> Result<Fetcher, WriteError> {
    let mut authorities = Authorities::public();
    if let Some(path) = &arguments.cacert {
        authorities = authorities
            .with_pem(&read(path, AUTHORITIES)?)
            .map_err(|source| WriteError::Authorities { path: path.clone(), source })?;
    }
    let keyboard = Arc::new(Keyboard(cancelled.clone()));
    let fetcher = Fetcher::direct(authorities, keyboard).map_err(WriteError::Tls)?;
    Ok(fetcher.with_stall(Duration::from_secs(arguments.stall)))
}

/// The URL that a place is, if it is one.
fn url(place: &str) -> Result<Option<Url>, WriteError> {
    let scheme = place.split_once("://").map(|(scheme, _)| scheme);
    if !scheme.is_some_and(|scheme| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
        return Ok(None);
    }
    Url::parse(place).map(Some).map_err(|source| {
        let shown = place.split(['?', '#']).next().unwrap_or_default().to_owned();
        WriteError::Url { shown, source }
    })
}

fn source(place: &str, fetcher: &Fetcher) -> Result<Box<dyn Source>, WriteError> {
    Ok(match url(place)? {
        Some(url) => Box::new(HttpSource::new(fetcher.clone(), url)),
        None => Box::new(FileSource::new(place)),
    })
}

/// A place as messages have it, and what is there.
fn document(place: &str, limit: u64, fetcher: &Fetcher) -> Result<(String, Vec<u8>), WriteError> {
    match url(place)? {
        Some(url) => Ok((url.redacted(), fetcher.document(&url, limit)?)),
        None => Ok((place.to_owned(), read(Path::new(place), limit)?)),
    }
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, WriteError> {
    let failed = |source| WriteError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(WriteError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

fn bmap(place: &str, expected: &ExpectedDigest, fetcher: &Fetcher) -> Result<Bmap, WriteError> {
    let (place, bytes) = document(place, Bmap::MAX_BYTES as u64, fetcher)?;
    if !expected.is_of(&bytes) {
        let ExpectedDigest { algorithm, hex } = expected.clone();
        return Err(WriteError::Forged { place, algorithm, expected: hex });
    }
    Bmap::parse(&bytes).map_err(|source| WriteError::Bmap { place, source })
}

fn signature(place: &str, keys: &[String], fetcher: &Fetcher) -> Result<Signature, WriteError> {
    let text = |place: String, bytes| String::from_utf8(bytes).map_err(|_| WriteError::NoText { place });
    let key = |given: &String| {
        let path = PathBuf::from(given);
        if path.is_file() {
            text(given.clone(), read(&path, MAX_SIGNATURE_BYTES as u64)?)
        } else {
            Ok(given.clone())
        }
    };
    let keys = keys.iter().map(key).collect::<Result<Vec<_>, _>>()?;
    let (place, bytes) = document(place, MAX_SIGNATURE_BYTES as u64, fetcher)?;
    Signature::new(&keys, &text(place, bytes)?).map_err(WriteError::Signature)
}

fn config_drive(path: &Path) -> Result<Vec<u8>, WriteError> {
    let bytes = read(path, CONFIG_DRIVE)?;
    decode_served_config_drive(bytes)
        .map_err(|source| WriteError::ConfigDrive { path: path.to_owned(), source })
}
