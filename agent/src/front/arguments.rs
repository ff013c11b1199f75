use std::path::PathBuf;

use serde_json::{Map, Value, json};

/// What `--help` says of exit codes.
const EXIT_CODES: &str = "Exit codes:
  0  done: every device named is erased and proven, or was to be left alone (a dry run: nothing is in the way)
  1  at least one device is not erased, or not proven to be; the others are. Or the output could not be written
  2  the arguments make no sense; nothing was touched
  3  refused: a device is in use, guarded or without a method, or nobody consented; nothing was touched
  4  stopped by ^C, SIGTERM or a terminal that hung up; the output says what state each device is in";

/// Arguments of `tacit-agent inventory`.
#[derive(Debug, clap::Args)]
pub(crate) struct InventoryArguments {
    /// Print what this collector finds instead; may be given several times.
    #[arg(long = "collector", value_name = "NAME")]
    pub(crate) collectors: Vec<String>,
    /// Folder with hardware managers that are programs of their own.
    #[arg(long, value_name = "DIR", default_value = tacit_protocol::ramdisk::EXTERNAL_MANAGERS)]
    pub(crate) hardware_managers: PathBuf,
}

/// Arguments of `tacit-agent steps`.
#[derive(Debug, clap::Args)]
pub(crate) struct StepsArguments {
    /// Folder with hardware managers that are programs of their own.
    #[arg(long, value_name = "DIR", default_value = tacit_protocol::ramdisk::EXTERNAL_MANAGERS)]
    pub(crate) hardware_managers: PathBuf,
}

/// Arguments of `tacit-agent erase`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct EraseArguments {
    /// Whole disks; loop devices and plain files count as disks when they are named here.
    #[arg(required = true, value_name = "DEVICE")]
    pub(crate) devices: Vec<PathBuf>,
    /// Print the plan with its reasons and touch nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// auto, purge, clear, metadata, overwrite, or the name of a method as plans show it.
    #[arg(long, value_name = "METHOD", default_value = "auto")]
    pub(crate) method: String,
    /// What has to be reached at least (NIST SP 800-88r2): clear or purge.
    #[arg(long, value_name = "STANDARD")]
    pub(crate) require: Option<String>,
    /// Passes of random data, where it is overwritten.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) passes: u32,
    /// No last pass of zeros.
    #[arg(long)]
    pub(crate) no_zeros: bool,
    /// How much of the last pass is read back: sample or full.
    #[arg(long, value_name = "EXTENT", default_value = "sample")]
    pub(crate) verify: String,
    /// Overwrite when a drive's own commands fail.
    #[arg(long)]
    pub(crate) fall_back: bool,
    /// Sectors that cannot be overwritten are listed in the proof, which then claims no standard.
    #[arg(long)]
    pub(crate) accept_bad_sectors: bool,
    /// PSID from a drive's label, by its serial number or WWN.
    #[arg(long = "psid", value_name = "SERIAL=PSID", value_parser = psid)]
    pub(crate) psids: Vec<(String, String)>,
    /// Erase file systems, too, that other machines may have mounted.
    #[arg(long)]
    pub(crate) wipe_shared_filesystems: bool,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Print one JSON document with the plan, and the proofs or the error.
    #[arg(long)]
    pub(crate) json: bool,
    /// Folder with hardware managers that are programs of their own: no disk that one of them hides is erased.
    #[arg(long, value_name = "DIR", default_value = tacit_protocol::ramdisk::EXTERNAL_MANAGERS)]
    pub(crate) hardware_managers: PathBuf,
}

fn psid(text: &str) -> Result<(String, String), String> {
    let (drive, psid) = text.split_once('=').ok_or("must be SERIAL=PSID")?;
    Ok((drive.to_owned(), psid.to_owned()))
}

impl EraseArguments {
    /// The node that a conductor would send with these wishes.
    pub(crate) fn node(&self) -> Value {
        json!({
            "driver_internal_info": {
                "agent_erase_devices_iterations": self.passes,
                "agent_erase_devices_zeroize": !self.no_zeros,
                "agent_continue_if_secure_erase_failed": self.fall_back,
                "disk_erasure_concurrency": self.devices.len(),
                "wipe_special_filesystems": self.wipe_shared_filesystems,
            },
        })
    }

    /// The step's arguments.
    pub(crate) fn step_arguments(&self, dry_run: bool) -> Map<String, Value> {
        let psids: Map<String, Value> =
            self.psids.iter().map(|(drive, psid)| (drive.clone(), json!(psid))).collect();
        let arguments = json!({
            "method": self.method,
            "require": self.require,
            "verify": self.verify,
            "bad_sectors": if self.accept_bad_sectors { "accept" } else { "fail" },
            "opal_psids": psids,
            "dry_run": dry_run,
        });
        match arguments {
            Value::Object(arguments) => arguments,
            _ => unreachable!("it is written as an object"),
        }
    }
}
