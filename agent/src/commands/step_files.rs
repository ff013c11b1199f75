//! Files that steps want from behind URLs, fetched as images are.

use std::sync::Arc;

use tacit_fetch::{Authorities, Fetcher};
use tacit_hardware::{RemoteFile, Route};

use super::image_request::{Wanted, from_fetch, parse_url, stall};
use crate::agent::Agent;
use crate::jobs::{CommandError, JobContext};

/// All bytes of the file; it is for the step to see that they are the right ones.
///
/// # Errors
///
/// What cannot be understood is `InvalidCommandParamsError`, what cannot be fetched `ImageDownloadError`.
pub(super) fn fetch(
    agent: &Agent,
    job: &Arc<JobContext>,
    wanted: &RemoteFile<'_>,
) -> Result<Vec<u8>, CommandError> {
    let url = parse_url(wanted.url)?;
    let interest = Arc::new(Wanted(job.clone()));
    let fetcher = match wanted.route {
        Route::Lent => Fetcher::lent(agent.lends.clone(), interest),
        Route::Direct { authorities } => {
            let mut trusted = Authorities::public();
            if let Some(pem) = authorities {
                trusted = trusted.with_pem(pem).map_err(|error| {
                    CommandError::invalid_params(format!("verify_ca: {}", CommandError::chain(&error)))
                })?;
            }
            Fetcher::direct(trusted, interest)
                .map_err(|error| CommandError::execution(CommandError::chain(&error)))?
        }
    };
    let limit = u64::try_from(wanted.limit_bytes).unwrap_or(u64::MAX);
    fetcher.with_stall(stall(agent)).document(&url, limit).map_err(|error| from_fetch(&error))
}
