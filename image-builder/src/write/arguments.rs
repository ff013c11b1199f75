use std::path::PathBuf;

use clap::Args;

/// What the exit codes say, for `--help`.
const EXIT_CODES: &str = "Exit codes: 0 written and verified; 1 failed, the disk is not bootable; 2 usage; 3 refused or \
failed before the first write, the disk is as it was; 130 cancelled.";

/// Arguments of `tacit-image write`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct WriteArguments {
    /// What the image as served must be, as ALGORITHM:HEX (sha256, sha384, sha512, sha3-256, ...); may be repeated.
    #[arg(long, value_name = "DIGEST")]
    pub(super) verify: Vec<String>,
    /// Block map of the image: only what it maps is fetched and written, each range checked.
    #[arg(long, value_name = "FILE|URL", requires = "bmap_digest")]
    pub(super) bmap: Option<String>,
    /// What the block map must be, as ALGORITHM:HEX.
    #[arg(long, value_name = "DIGEST", requires = "bmap")]
    pub(super) bmap_digest: Option<String>,
    /// Read the disk first and write only what differs.
    #[arg(long)]
    pub(super) changed: bool,
    /// Read everything back before the disk becomes bootable.
    #[arg(long)]
    pub(super) full_verify: bool,
    /// ISO image or gzip of one, also in base64, for a partition called config-2.
    #[arg(long, value_name = "FILE")]
    pub(super) config_drive: Option<PathBuf>,
    /// Minisign public key, or a file with one, that must have signed the image; may be repeated.
    #[arg(long, value_name = "KEY", requires = "signature")]
    pub(super) minisign_key: Vec<String>,
    /// The image's minisign signature.
    #[arg(long, value_name = "FILE|URL", requires = "minisign_key")]
    pub(super) signature: Option<String>,
    /// Further certificate authorities for https, in PEM.
    #[arg(long, value_name = "FILE")]
    pub(super) cacert: Option<PathBuf>,
    /// Longest silence of a server, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(super) stall: u64,
    /// Do not ask: the disk is erased.
    #[arg(long)]
    pub(super) yes: bool,
    /// Tell progress and outcome as JSON, one object a line, on standard error.
    #[arg(long)]
    pub(super) json: bool,
    /// The image: raw (also packed as gzip, xz or zstd) or qcow2. Further places of the same image may be given with
    /// `--mirror`.
    #[arg(value_name = "URL|FILE")]
    pub(super) image: String,
    /// Another place of the same image, tried when those before it fail; may be repeated.
    #[arg(long, value_name = "URL|FILE")]
    pub(super) mirror: Vec<String>,
    /// The disk that is erased, or a file in its place.
    #[arg(value_name = "DEVICE")]
    pub(super) device: PathBuf,
}
