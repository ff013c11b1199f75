//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use tacit_protocol::ramdisk::EXTERNAL_MANAGERS;

use crate::clock::uptime;
use crate::front::{self, EraseArguments, InventoryArguments, StepsArguments};
use crate::{init, serve};

/// The deployment agent of a ramdisk: it answers the conductor and never calls.
#[derive(Debug, Parser)]
#[command(name = "tacit-agent", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Be the first process of a ramdisk: mount, load modules, configure the network, keep `serve` running.
    Init,
    /// Serve the API as a plain process.
    Serve(ServeArguments),
    /// Print what is known of this machine, as JSON.
    Inventory(InventoryArguments),
    /// Print the steps that hardware managers offer here, as JSON.
    Steps(StepsArguments),
    /// Erase whole disks: print the plan, ask, erase, print the proof.
    Erase(EraseArguments),
}

/// Arguments of `tacit-agent serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArguments {
    /// The node's configuration, JSON, as on its medium.
    #[arg(long, value_name = "FILE", required_unless_present = "ipa", conflicts_with = "ipa")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) ipa: IpaArguments,
    /// Where to listen; all addresses at the configured port when not given.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Only these disks exist for the agent. Plain files and loop devices are disks only when named here.
    #[arg(long = "disk", value_name = "DEVICE")]
    pub(crate) disks: Vec<PathBuf>,
    /// Folder with hardware managers that are programs of their own.
    #[arg(long, value_name = "DIR", default_value = EXTERNAL_MANAGERS)]
    pub(crate) hardware_managers: PathBuf,
    /// Where the journal of operations is kept.
    #[arg(long, value_name = "DIR", default_value = "/run/tacit")]
    pub(crate) state_dir: PathBuf,
    /// Neither set the clock nor leave the machine: only note that it was asked for.
    #[arg(long)]
    pub(crate) no_power: bool,
    /// Where a rescue user is made, instead of in `/`: for tests.
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) rescue_root: Option<PathBuf>,
}

/// How the agent stands in IPA's place. Without TLS files it speaks plain HTTP, unless it boots a machine.
#[derive(Debug, clap::Args)]
pub(crate) struct IpaArguments {
    /// Be what ironic-python-agent is to stock Ironic.
    #[arg(long)]
    pub(crate) ipa: bool,
    /// What callers have to know.
    #[arg(long, value_name = "TOKEN", requires = "ipa", env = "TACIT_AGENT_TOKEN", hide_env_values = true)]
    pub(crate) agent_token: Option<String>,
    /// Certificate to show, PEM.
    #[arg(long, value_name = "FILE", requires = "ipa", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, value_name = "FILE", requires = "ipa", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Callers with a client certificate of this authority, PEM, need no token, and may use `/v2`.
    #[arg(long, value_name = "FILE", requires = "ipa")]
    pub(crate) bridge_ca: Option<PathBuf>,
    /// IPA's parameters as on the kernel's command line (`/proc/cmdline`). The agent makes its own certificate then.
    #[arg(long, value_name = "FILE", requires = "ipa")]
    pub(crate) kernel_parameters: Vec<PathBuf>,
    /// IPA's configuration files; later ones win.
    #[arg(long, value_name = "FILE", requires = "ipa")]
    pub(crate) config_file: Vec<PathBuf>,
}

/// Runs the program.
///
/// # Errors
///
/// When the agent cannot begin to serve, or a command has no result. As the first process it never returns.
pub fn run() -> Result<ExitCode> {
    let process_start = uptime();
    let called_init = std::env::args_os()
        .next()
        .is_some_and(|name| std::path::Path::new(&name).file_name().is_some_and(|name| name == "init"));
    if called_init || std::process::id() == 1 {
        init::run(process_start);
    }
    match Cli::parse().command {
        Command::Init => init::run(process_start),
        Command::Serve(arguments) => {
            serve::run(arguments, process_start)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Inventory(arguments) => Ok(front::inventory(arguments)?.into()),
        Command::Steps(arguments) => Ok(front::steps(arguments)?.into()),
        Command::Erase(arguments) => Ok(front::erase(arguments)?.into()),
    }
}
