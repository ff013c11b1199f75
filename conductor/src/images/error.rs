//! Why an origin cannot be used.

use std::path::PathBuf;

use reqwest::Url;

use crate::media::BoxError;

#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("{0}: not an absolute http or https URL")]
    Url(String),
    #[error("{url}: image server not reachable")]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{url}: image server answers {status}")]
    Status { url: String, status: u16 },
    #[error("{path}: image file cannot be read")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("no HTTP client can be made")]
    Client(#[source] BoxError),
}

impl ImageError {
    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => *status >= 500 || matches!(status, 408 | 429),
            Self::Url(_) | Self::File { .. } | Self::Client(_) => false,
        }
    }
}

/// A URL for logs and errors: without user, password, query and fragment, where secrets travel.
pub(super) fn shown(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else {
        return "(no URL)".to_owned();
    };
    url.set_query(None);
    url.set_fragment(None);
    // Both fail only for URLs that cannot have a user, which then have none.
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        url.set_path("");
    }
    url.into()
}

#[cfg(test)]
mod tests {
    #[test]
    fn secrets_in_urls_are_not_shown() {
        assert_eq!(super::shown("https://u:p@h:8443/a/b?sig=1#f"), "https://h:8443/a/b");
        assert_eq!(super::shown("nonsense"), "(no URL)");
    }
}
