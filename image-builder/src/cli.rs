//! The command line of `tacit-image`.

use std::fmt::Display;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use tacit_protocol::medium::NodeConfig;

use crate::build::{self, BuildRequest, DEFAULT_COMMAND_LINE};
use crate::error::ImageError;
use crate::info::Info;
use crate::media::MediaTemplate;
use crate::profile::Profile;
use crate::uki::DEFAULT_STUB;

/// Builds, describes and configures Tacit's boot media; writes disk images.
#[derive(Debug, Parser)]
#[command(name = "tacit-image", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build kernel, ramdisk, UKI and ISO from a kernel package and the agent.
    Build {
        /// Debian package of the kernel (linux-image-VERSION-amd64; -cloud-amd64 for virtual machines only).
        #[arg(long, value_name = "KERNEL.deb")]
        kernel: PathBuf,
        /// The agent, a static program.
        #[arg(long, value_name = "FILE")]
        agent: PathBuf,
        /// Folder for the results.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Machines to carry drivers for.
        #[arg(long, value_enum, default_value_t = Profile::Virtual)]
        profile: Profile,
        /// Kernel command line.
        #[arg(long, default_value = DEFAULT_COMMAND_LINE)]
        cmdline: String,
        /// A further module, with all that it depends on; may be repeated.
        #[arg(long = "module", value_name = "NAME")]
        modules: Vec<String>,
        /// An external hardware manager (an executable) for the ramdisk; may be repeated.
        #[arg(long = "hardware-manager", value_name = "FILE")]
        hardware_managers: Vec<PathBuf>,
        /// A program for the ramdisk, by its path in one of the packages (`sbin/mdadm`), with the libraries that it
        /// needs; may be repeated.
        #[arg(long = "program", value_name = "PATH", requires = "packages")]
        programs: Vec<String>,
        /// A Debian package in which programs or their libraries are; may be repeated.
        #[arg(long = "package", value_name = "FILE.deb")]
        packages: Vec<PathBuf>,
        /// Certificate of the bridge's authority (PEM) for the profile ironic: who shows a certificate of it needs no token.
        #[arg(long, value_name = "FILE")]
        bridge_ca: Option<PathBuf>,
        /// An executable that lets the rescue user in: it gets the hashed password on its standard input.
        #[arg(long, value_name = "FILE")]
        rescue: Option<PathBuf>,
        /// systemd's EFI stub, or the Debian package systemd-boot-efi.
        #[arg(long, value_name = "FILE", default_value = DEFAULT_STUB)]
        stub: PathBuf,
    },
    /// Describe an ISO, an EFI program, the folder of a build, a disk image or a block map.
    Info {
        path: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write one node's medium, for a USB stick or a BMC that is fed by hand. It holds the node's private key.
    Configure {
        /// The shared ISO.
        #[arg(long, value_name = "FILE")]
        iso: PathBuf,
        /// The node's configuration.
        #[arg(long, value_name = "node.json")]
        config: PathBuf,
        /// The new ISO; must not exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Make the block map of a raw disk image: which parts of it hold data, each with its sha256.
    #[cfg(feature = "disks")]
    Bmap(crate::disk_image::MapArguments),
    /// Write a disk image onto a disk, verified, and not bootable before that.
    #[cfg(feature = "disks")]
    Write(Box<crate::write::WriteArguments>),
}

/// Does what the arguments say and prints the result.
///
/// # Errors
///
/// What failed; `write` tells its failures itself, and by its exit code.
pub fn run(arguments: Arguments) -> Result<ExitCode, ImageError> {
    match arguments.command {
        Command::Build {
            kernel,
            agent,
            out,
            profile,
            cmdline,
            modules,
            hardware_managers,
            programs,
            packages,
            bridge_ca,
            rescue,
            stub,
        } => {
            let request = BuildRequest {
                kernel,
                agent,
                stub,
                out,
                profile,
                command_line: cmdline,
                modules,
                hardware_managers,
                programs,
                packages,
                bridge_ca,
                rescue,
            };
            tell(&Info::Build(build::build(&request)?))?;
        }
        Command::Info { path, json } => {
            let info = Info::of(&path)?;
            if json {
                tell(&format!("{:#}", serde_json::to_value(&info).expect("strings and numbers only")))?;
            } else {
                tell(&info)?;
            }
        }
        Command::Configure { iso, config, out } => {
            let json = fs::read(&config).map_err(ImageError::io("read", &config))?;
            let config: NodeConfig =
                serde_json::from_slice(&json).map_err(|source| ImageError::Json { path: config, source })?;
            let medium = Arc::new(MediaTemplate::open(&iso)?).medium(&config)?;
            medium.write_to(&out)?;
            let (path, bytes) = (out.display(), medium.len());
            tell(&format!("{path}: medium of node {}, {bytes} bytes", config.node_uuid))?;
        }
        #[cfg(feature = "disks")]
        Command::Bmap(arguments) => tell(&crate::disk_image::make_map(&arguments)?)?,
        #[cfg(feature = "disks")]
        Command::Write(arguments) => return Ok(crate::write::run(&arguments)),
    }
    Ok(ExitCode::SUCCESS)
}

/// On standard output. A reader who had enough (`| head`) has what they wanted.
fn tell(what: &dyn Display) -> Result<(), ImageError> {
    match writeln!(io::stdout(), "{what}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(ImageError::io("write", Path::new("standard output"))),
    }
}
