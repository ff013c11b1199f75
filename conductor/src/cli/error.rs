//! Why a command did not do as asked, and the exit status that says so.

/// An error of the command line.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error("no conductor answers at {url} (is `tacit serve` running? --url or TACIT_URL names another)")]
    NoConductor { url: String, source: reqwest::Error },
    #[error("the conductor at {url} does not answer as it should")]
    Answer { url: String, source: reqwest::Error },
    #[error("the conductor at {url} did not answer with JSON")]
    NotJson { url: String, source: serde_json::Error },
    /// The API said no.
    #[error("{text}")]
    Refused { status: u16, text: String },
    /// The work was done and ended badly.
    #[error("{0}")]
    Failed(String),
    #[error(
        "{node} is still {state} after {seconds} s; the work goes on, `tacit node watch {node}` follows it"
    )]
    TimedOut { node: String, state: String, seconds: u64 },
    #[error("interrupted; the work goes on, `tacit node watch {0}` follows it")]
    Interrupted(String),
    /// Arguments that cannot be right.
    #[error("{0}")]
    Usage(String),
    #[error("cannot read {path}")]
    File { path: std::path::PathBuf, source: std::io::Error },
    #[error("{what}")]
    Local { what: String, source: anyhow::Error },
}

impl CliError {
    /// 1 failed, 2 wrong usage, 130 interrupted.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::File { .. } => 2,
            Self::Interrupted(_) => 130,
            _ => 1,
        }
    }
}
