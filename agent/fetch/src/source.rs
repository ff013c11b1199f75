//! An image's URL as a source of imaging.

use tacit_imaging::{Opened, Source, SourceError};

use crate::{FetchKind, Fetcher, Url};

/// One URL; opened anew at any offset, over whatever the fetcher's connector gives.
#[derive(Debug)]
pub struct HttpSource {
    fetcher: Fetcher,
    url: Url,
}

impl HttpSource {
    pub fn new(fetcher: Fetcher, url: Url) -> Self {
        Self { fetcher, url }
    }
}

impl Source for HttpSource {
    fn describe(&self) -> String {
        self.url.redacted()
    }

    fn open(&mut self, offset: u64, len: Option<u64>, etag: Option<&str>) -> Result<Opened, SourceError> {
        let got = self.fetcher.open(&self.url, offset, len, etag).map_err(|error| match error.kind {
            FetchKind::Retryable | FetchKind::TimedOut => {
                SourceError::Retryable { reason: error.what, source: None }
            }
            FetchKind::Changed => SourceError::Changed { reason: error.what },
            FetchKind::Fatal | FetchKind::Cancelled => {
                SourceError::Fatal { reason: error.what, source: None }
            }
        })?;
        if let (Some(before), Some(now)) = (etag, got.etag.as_deref())
            && before != now
        {
            return Err(SourceError::Changed { reason: format!("its entity tag was {before} and is {now}") });
        }
        Ok(Opened { reader: Box::new(got.reader), total: got.total, etag: got.etag, offset: got.offset })
    }
}
