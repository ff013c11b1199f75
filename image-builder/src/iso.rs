//! The bootable medium: an ISO 9660 image whose El Torito entry, and whose GPT, name the EFI system partition.
//!
//! As a CD (a BMC's virtual media) firmware finds the partition by El Torito, as a USB stick by the GPT.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use crate::error::ImageError;

/// Every date in the medium, in seconds since 1970.
const EPOCH: u64 = 1_699_920_000;

/// An El Torito entry counts 512-byte sectors in 16 bits.
pub const ESP_LIMIT: u64 = 65_536 * 512;

const README: &str = "Tacit deploy medium. Firmware starts EFI/BOOT/BOOTX64.EFI of the EFI system partition,\r\n\
    which a computer shows when this image is written to a USB stick.\r\n";

/// Writes the medium to `out`, replacing what is there only when it is complete.
///
/// # Errors
/// [`ImageError::EspTooLarge`], and all that comes of running `xorriso`.
pub fn write(esp: &[u8], out: &Path) -> Result<(), ImageError> {
    let size = esp.len() as u64;
    if size >= ESP_LIMIT {
        return Err(ImageError::EspTooLarge { size, limit: ESP_LIMIT });
    }
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let work = tempfile::Builder::new()
        .prefix(".tacit-iso-")
        .tempdir_in(folder)
        .map_err(ImageError::io("make a temporary folder in", folder))?;
    let esp_path = work.path().join("efi.img");
    let tree = work.path().join("tree");
    let readme = tree.join("README.TXT");
    let iso = work.path().join("out.iso");

    fs::write(&esp_path, esp).map_err(ImageError::io("write", &esp_path))?;
    fs::create_dir(&tree).map_err(ImageError::io("make", &tree))?;
    fs::write(&readme, README).map_err(ImageError::io("write", &readme))?;
    for path in [&readme, &tree] {
        let opened =
            File::open(path).and_then(|file| file.set_modified(UNIX_EPOCH + Duration::from_secs(EPOCH)));
        opened.map_err(ImageError::io("set the time of", path))?;
    }

    let mut command = Command::new("xorriso");
    command.args(["-no_rc", "-report_about", "WARNING", "-as", "mkisofs", "-quiet"]);
    command.args(["-V", "TACIT", "-publisher", "TACIT", "-p", "TACIT", "-A", "TACIT", "-o"]).arg(&iso);
    command.args(["-append_partition", "2", "0xef"]).arg(&esp_path).arg("-appended_part_as_gpt");
    command.args(["-e", "--interval:appended_partition_2:all::", "-no-emul-boot"]).arg(&tree);
    // xorriso derives volume dates and all GUIDs from this.
    command.env("SOURCE_DATE_EPOCH", EPOCH.to_string()).env("TZ", "UTC").env("LC_ALL", "C");
    run(command)?;
    fs::rename(&iso, out).map_err(ImageError::io("write", out))
}

fn run(mut command: Command) -> Result<(), ImageError> {
    let output = match command.output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ImageError::ToolMissing { program: "xorriso", package: "xorriso" });
        }
        output => output.map_err(ImageError::io("run", Path::new("xorriso")))?,
    };
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(ImageError::Tool { program: "xorriso", status: output.status, message })
}
