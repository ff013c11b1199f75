//! Arguments of `tacit`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Deploys bare metal that never calls out.
#[derive(Debug, Parser)]
#[command(name = "tacit", version)]
pub(super) struct Arguments {
    /// Address of the conductor
    #[arg(long, global = true, env = "TACIT_URL", default_value = "http://127.0.0.1:6385")]
    pub(super) url: String,
    /// Print what the API answered, as JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the conductor
    Serve(ServeArguments),
    /// Let a stock Ironic drive agents that never call
    Bridge(BridgeArguments),
    /// Carry the bytes of burnin_network between two machines that run it
    Join(JoinArguments),
    /// Enrol, deploy and look at machines
    #[command(subcommand)]
    Node(NodeCommand),
    /// Network interfaces of machines
    #[command(subcommand)]
    Port(PortCommand),
}

#[derive(Debug, Clone, Args)]
pub(super) struct JoinArguments {
    /// Address of one machine, port 9000 unless it is named
    #[arg(value_name = "ADDR[:PORT]", value_parser = super::join::address)]
    pub(super) one: SocketAddr,
    /// Address of the other
    #[arg(value_name = "ADDR[:PORT]", value_parser = super::join::address)]
    pub(super) other: SocketAddr,
    /// How long the two may take until they listen, for each half of the test
    #[arg(long, default_value = "900", value_name = "SECONDS")]
    pub(super) patience: u64,
}

/// What `tacit bridge` is told; without a command, it runs.
#[derive(Debug, Clone, Args)]
pub(super) struct BridgeArguments {
    /// The bridge's configuration
    #[arg(long, default_value = "/etc/tacit/bridge.toml", value_name = "FILE", global = true)]
    pub(super) config: PathBuf,
    #[command(subcommand)]
    pub(super) command: Option<BridgeCommand>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum BridgeCommand {
    /// Print the certificate of the bridge's authority: the ramdisk is built with it
    Ca,
    /// Check the configuration
    Check,
}

/// What `tacit serve` is told.
#[derive(Debug, Clone, Args)]
pub(super) struct ServeArguments {
    /// Directory of everything that must survive: the store, the certificate authority
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: PathBuf,
    /// Address of the API
    #[arg(long, default_value = "127.0.0.1:6385", value_name = "ADDR:PORT")]
    pub(super) listen: SocketAddr,
    /// Shared ramdisk medium that each node's own medium is made from
    #[arg(long, value_name = "FILE.iso")]
    pub(super) media: Option<PathBuf>,
    /// Address at which BMCs fetch media
    #[arg(long, value_name = "ADDR:PORT")]
    pub(super) media_listen: Option<SocketAddr>,
    /// The same address as BMCs see it, where that is another one
    #[arg(long, value_name = "URL")]
    pub(super) media_url: Option<String>,
    /// Directory whose files may be deployed as file:// images [default: images in the state directory]
    #[arg(long, value_name = "DIR")]
    pub(super) image_dir: Option<PathBuf>,
    /// How long a machine may take from power-on to its agent's first answer
    #[arg(long, default_value = "1800", value_name = "SECONDS")]
    pub(super) agent_timeout: u64,
    /// Do not clean machines that do not ask for it themselves (automated_clean)
    #[arg(long)]
    pub(super) no_automated_clean: bool,
    /// What inspections collect: default, pci-devices, numa-topology, usb-devices, dmi-decode, lldp (waits for switches)
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAME,…",
        default_value = "default,pci-devices,numa-topology"
    )]
    pub(super) inspection_collectors: Vec<String>,
    #[command(flatten)]
    pub(super) cleaning: CleaningArguments,
}

/// How machines are cleaned: Ironic's options of `[deploy]`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cleaning")]
pub(super) struct CleaningArguments {
    /// When automated cleaning erases whole devices; 0 never [default: what the agent offers, 10]
    #[arg(long, value_name = "N")]
    pub(super) erase_devices_priority: Option<u32>,
    /// When automated cleaning removes metadata; 0 never [default: what the agent offers, 99]
    #[arg(long, value_name = "N")]
    pub(super) erase_devices_metadata_priority: Option<u32>,
    /// Passes of random data where a device is overwritten
    #[arg(long, default_value = "1", value_name = "N")]
    pub(super) erase_devices_iterations: u32,
    /// Do not write zeros after the last pass
    #[arg(long)]
    pub(super) no_erase_devices_zeroize: bool,
    /// Do not let ATA drives erase themselves
    #[arg(long)]
    pub(super) no_ata_secure_erase: bool,
    /// Do not let NVMe drives erase themselves
    #[arg(long)]
    pub(super) no_nvme_secure_erase: bool,
    /// Overwrite a drive that fails to erase itself
    #[arg(long)]
    pub(super) continue_if_disk_secure_erase_fails: bool,
    /// Leave read-only devices alone instead of failing
    #[arg(long)]
    pub(super) erase_skip_read_only: bool,
    /// How many devices of a machine are erased at the same time
    #[arg(long, default_value = "4", value_name = "N")]
    pub(super) disk_erasure_concurrency: u32,
}

#[derive(Debug, Subcommand)]
pub(super) enum NodeCommand {
    /// Enrol a machine
    Create(CreateArguments),
    /// List the machines
    List {
        /// Only those in this provision state
        #[arg(long)]
        provision_state: Option<String>,
    },
    /// Show one machine
    Show { node: String },
    /// Change what is known of a machine, or what is to be deployed on it
    Set(SetArguments),
    /// Check that the BMC can be used: enroll to manageable
    Manage(VerbArguments),
    /// Boot the ramdisk and take the inventory
    Inspect(VerbArguments),
    /// Clean the machine and make it available
    Provide(VerbArguments),
    /// Write an image and start it
    Deploy(DeployArguments),
    /// Take the machine back: clean it, make it available
    Undeploy(VerbArguments),
    /// Run clean steps
    Clean {
        #[command(flatten)]
        verb: VerbArguments,
        /// INTERFACE.STEP, such as deploy.erase_devices_metadata; may be given again
        #[arg(long = "step", required = true, value_name = "INTERFACE.STEP")]
        steps: Vec<String>,
        /// Argument of all these steps, such as dry_run=true; may be given again
        #[arg(long = "arg", value_name = "KEY=VALUE")]
        arguments: Vec<String>,
    },
    /// Stop the work that waits for the agent
    Abort(VerbArguments),
    /// Keep the conductor's hands off a machine, or let it again
    Maintenance {
        node: String,
        state: Switch,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Switch a machine on or off
    Power {
        node: String,
        target: Power,
        /// Wait until it is done, at most so many seconds
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "600")]
        wait: Option<u64>,
    },
    /// What happened to a machine
    History { node: String },
    /// Certificates of erasure: what was erased, and how it was proven
    Erasure(ErasureArguments),
    /// What inspection found
    Inventory { node: String },
    /// Check what a deployment needs
    Validate { node: String },
    /// Forget a machine
    Delete {
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Follow what is done on a machine now
    Watch {
        node: String,
        /// Stay when nothing is under way (any more)
        #[arg(long)]
        stay: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum PortCommand {
    /// Add a network interface to a machine
    Create { mac: String, node: String },
    /// List network interfaces
    List {
        /// Only those of this machine
        #[arg(long)]
        node: Option<String>,
    },
    /// Remove a network interface, by UUID or MAC address
    Delete {
        #[arg(required = true)]
        ports: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct CreateArguments {
    pub(super) name: String,
    /// Hardware type: redfish or manual
    #[arg(long)]
    pub(super) driver: String,
    #[command(flatten)]
    pub(super) facts: FactArguments,
    /// MAC address of a network interface; may be given again
    #[arg(long = "mac", value_name = "MAC")]
    pub(super) macs: Vec<String>,
}

/// What is known of a machine.
#[derive(Debug, Default, Args)]
pub(super) struct FactArguments {
    /// How to reach the BMC, redfish_address=https://…; may be given again
    #[arg(long = "driver-info", value_name = "KEY=VALUE")]
    pub(super) driver_info: Vec<String>,
    /// A property of the machine; may be given again
    #[arg(long = "property", value_name = "KEY=VALUE")]
    pub(super) properties: Vec<String>,
    /// Which disk takes the image, serial=…; may be given again
    #[arg(long = "root-device", value_name = "KEY=VALUE")]
    pub(super) root_device: Vec<String>,
    /// Addresses of the ramdisk, OpenStack's network_data.json
    #[arg(long, value_name = "FILE")]
    pub(super) network_data: Option<PathBuf>,
    #[arg(long)]
    pub(super) resource_class: Option<String>,
    #[arg(long)]
    pub(super) description: Option<String>,
    /// Whether provide and undeploy clean the machine
    #[arg(long, value_name = "true|false")]
    pub(super) automated_clean: Option<bool>,
}

/// What is to be written.
#[derive(Debug, Default, Args)]
pub(super) struct ImageArguments {
    /// URL of the image
    #[arg(long, value_name = "URL")]
    pub(super) image: Option<String>,
    /// sha256:HEX, sha512:HEX (also sha384, sha3-256, …), or the URL of a file of checksums
    #[arg(long, value_name = "CHECKSUM")]
    pub(super) checksum: Option<String>,
    /// Format of the image
    #[arg(long, value_name = "FORMAT")]
    pub(super) disk_format: Option<String>,
    /// Anything else of instance_info; may be given again
    #[arg(long = "instance-info", value_name = "KEY=VALUE")]
    pub(super) instance_info: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct SetArguments {
    pub(super) node: String,
    /// Another name
    #[arg(long)]
    pub(super) name: Option<String>,
    #[arg(long)]
    pub(super) driver: Option<String>,
    #[command(flatten)]
    pub(super) facts: FactArguments,
    #[command(flatten)]
    pub(super) image: ImageArguments,
    /// Path of a field to remove, such as instance_info/image_source; may be given again
    #[arg(long = "unset", value_name = "PATH")]
    pub(super) unset: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct VerbArguments {
    /// Name or UUID
    pub(super) node: String,
    /// Wait until it is done, at most so many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "7200")]
    pub(super) wait: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct ErasureArguments {
    /// Name or UUID; the UUID of a machine that is forgotten, too
    pub(super) node: String,
    /// Write them as a page to read, print and keep
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// The authority's certificate (ca.crt in the conductor's state): signatures must be by one of its conductors
    #[arg(long, value_name = "FILE")]
    pub(super) authority: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct DeployArguments {
    #[command(flatten)]
    pub(super) verb: VerbArguments,
    #[command(flatten)]
    pub(super) image: ImageArguments,
    /// Config drive: a gzipped ISO image (in base64 or not), a directory, a file NAME.json, or a URL
    #[arg(long, value_name = "FILE|DIR|URL")]
    pub(super) config_drive: Option<String>,
    /// Write again over a deployment
    #[arg(long)]
    pub(super) rebuild: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Switch {
    On,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Power {
    On,
    Off,
    SoftOff,
    Reboot,
}
