use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use tacit_fetch::{AuthoritiesError, FetchError, FetchKind, UrlError};
use tacit_imaging::{
    BmapError, ConfigDriveError, DigestAlgorithm, DigestError, DiskLeft, Failure, ImagingError,
    SignatureError,
};

/// Failed, and the disk is not bootable.
const FAILED: u8 = 1;
const USAGE: u8 = 2;
/// The disk is as it was.
const UNTOUCHED: u8 = 3;
/// As shells have it for `SIGINT`.
const CANCELLED: u8 = 130;

/// Why no image was written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("nothing says what the image must be: give --verify, --bmap or --signature")]
    Unvouched,
    #[error("{option}")]
    Digest { option: &'static str, source: DigestError },
    #[error("{shown}")]
    Url { shown: String, source: UrlError },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} has more than {limit} bytes", path.display())]
    TooLarge { path: PathBuf, limit: u64 },
    #[error("{}", path.display())]
    Authorities { path: PathBuf, source: AuthoritiesError },
    #[error("TLS cannot be set up")]
    Tls(#[source] AuthoritiesError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("{place}: the {algorithm} digest of the block map is not {expected}")]
    Forged { place: String, algorithm: DigestAlgorithm, expected: String },
    #[error("{place}")]
    Bmap { place: String, source: BmapError },
    #[error("{place} is no text")]
    NoText { place: String },
    #[error("the image's signature cannot be used")]
    Signature(#[source] SignatureError),
    #[error("{}", path.display())]
    ConfigDrive { path: PathBuf, source: ConfigDriveError },
    #[error("{device} is in use: {users}")]
    InUse { device: String, users: String },
    #[error("{device} cannot be written to: it is read-only")]
    ReadOnly { device: String },
    #[error(transparent)]
    Device(#[from] tacit_blockdev::Error),
    #[error("{device} would be erased, and there is no terminal to ask on: say --yes")]
    NobodyToAsk { device: String },
    #[error("{device} was left as it is")]
    Declined { device: String },
    #[error("the terminal cannot be used")]
    Terminal(#[source] io::Error),
    #[error(transparent)]
    Imaging(#[from] ImagingError),
}

impl WriteError {
    pub(super) fn exit_code(&self) -> ExitCode {
        let code = match self {
            Self::Unvouched | Self::Digest { .. } | Self::Url { .. } => USAGE,
            Self::Fetch(error) if error.kind == FetchKind::Cancelled => CANCELLED,
            Self::Imaging(error) if matches!(error.failure(), Failure::Cancelled { .. }) => CANCELLED,
            Self::Imaging(error) if error.disk() != DiskLeft::Untouched => FAILED,
            _ => UNTOUCHED,
        };
        code.into()
    }

    /// What is on the disk now, for programs.
    pub(super) fn disk(&self) -> &'static str {
        match self {
            Self::Imaging(error) => match error.disk() {
                DiskLeft::Untouched => "untouched",
                DiskLeft::NotBootable => "not-bootable",
                DiskLeft::Verified => "verified",
            },
            _ => "untouched",
        }
    }

    pub(super) fn retry(&self) -> bool {
        match self {
            Self::Imaging(error) => error.retry(),
            Self::Fetch(error) => matches!(error.kind, FetchKind::Retryable | FetchKind::TimedOut),
            _ => false,
        }
    }

    /// The error with all its causes.
    pub(super) fn chain(&self) -> String {
        let error: &dyn std::error::Error = self;
        let causes = std::iter::successors(error.source(), |&cause| cause.source());
        causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
    }
}
