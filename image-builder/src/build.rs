//! A whole build: from kernel package, agent and stub to a folder of boot files.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use tacit_protocol::ramdisk::{BRIDGE_CA_PATH, IRONIC_PATH, RESCUE_PROGRAM};
use x509_parser::pem::Pem;

use crate::elf;
use crate::error::ImageError;
use crate::fat;
use crate::initramfs::{self, HardwareManager, Setting};
use crate::iso;
use crate::kernel::KernelPackage;
use crate::manifest::{self, BuildManifest, FileEntry};
use crate::media::MediaTemplate;
use crate::modules::{self, Wanted};
use crate::profile::Profile;
use crate::programs;
use crate::uki::{Parts, Stub};

/// Console of the machine's screen and of its first serial port; a crash restarts the machine after half a minute.
pub const DEFAULT_COMMAND_LINE: &str = "console=tty0 console=ttyS0,115200 quiet panic=30";

/// Names of the files that a build makes.
pub const KERNEL: &str = "vmlinuz";
pub const INITRAMFS: &str = "initramfs.zst";
pub const UKI: &str = "tacit.efi";
pub const ISO: &str = "tacit.iso";

/// `COMMAND_LINE_SIZE` of x86, with its closing zero byte.
const COMMAND_LINE_LIMIT: usize = 2048;

/// What to build of what.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// Debian package of the kernel.
    pub kernel: PathBuf,
    /// Static agent program.
    pub agent: PathBuf,
    /// EFI stub, or the Debian package of it.
    pub stub: PathBuf,
    /// Folder for the results; made when missing.
    pub out: PathBuf,
    pub profile: Profile,
    pub command_line: String,
    /// Modules besides the profile's; each must exist.
    pub modules: Vec<String>,
    /// Executables for the ramdisk's hardware manager folder.
    pub hardware_managers: Vec<PathBuf>,
    /// Programs for the ramdisk besides the agent (`sbin/mdadm`), with the libraries that they need.
    pub programs: Vec<String>,
    /// Debian packages in which these are.
    pub packages: Vec<PathBuf>,
    /// Certificate of the bridge's authority, PEM, for [`Profile::Ironic`].
    pub bridge_ca: Option<PathBuf>,
    /// Executable that lets the rescue user in: it reads the hashed password from its standard input.
    pub rescue: Option<PathBuf>,
}

/// Builds all files. Equal inputs give equal bytes, wherever and whenever.
pub fn build(request: &BuildRequest) -> Result<BuildManifest, ImageError> {
    let command_line = request.command_line.trim();
    if command_line.len() >= COMMAND_LINE_LIMIT {
        return Err(ImageError::CommandLine(command_line.len()));
    }
    let stub = Stub::open(&request.stub)?;
    let agent = read(&request.agent)?;
    elf::check_static_program(&agent)
        .map_err(|source| ImageError::Agent { path: request.agent.clone(), source })?;
    let managers = request.hardware_managers.iter().map(|path| manager(path)).collect::<Result<_, _>>()?;

    let settings = settings(request)?;
    let programs = programs::choose(&request.packages, &request.programs)?;
    let kernel = KernelPackage::open(&request.kernel)?;
    let wanted = Wanted {
        profile: request.profile.modules(),
        required: request.modules.iter().map(String::as_str).collect(),
        always: request.profile.always(),
    };
    let mut selection = modules::select(&kernel, &wanted)?;
    let mut manifest = BuildManifest {
        version: 1,
        builder: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: kernel.version.clone(),
        profile: request.profile,
        command_line: command_line.to_owned(),
        modules: selection.manifest.modules.iter().map(|module| module.name.clone()).collect(),
        builtin: std::mem::take(&mut selection.builtin),
        absent: std::mem::take(&mut selection.absent),
        region_offset: 0,
        files: Vec::new(),
    };

    let initramfs = initramfs::build(agent, selection, managers, programs, settings)
        .map_err(ImageError::io("compress", Path::new(INITRAMFS)))?;
    let uki = stub.build(&Parts {
        kernel: &kernel.vmlinuz,
        kernel_path: &request.kernel,
        version: &kernel.version,
        initramfs: &initramfs,
        command_line,
        os_release: initramfs::OS_RELEASE,
    })?;
    let esp = fat::build(&uki).map_err(ImageError::io("make the EFI file system for", Path::new(ISO)))?;

    fs::create_dir_all(&request.out).map_err(ImageError::io("make", &request.out))?;
    let iso_path = request.out.join(ISO);
    iso::write(&esp, &iso_path)?;
    manifest.region_offset = MediaTemplate::open(&iso_path)?.region_offset();
    for (name, contents) in [(KERNEL, &kernel.vmlinuz), (INITRAMFS, &initramfs), (UKI, &uki)] {
        replace(&request.out.join(name), contents)?;
        manifest.files.push(FileEntry::of(name, contents));
    }
    manifest.files.push(FileEntry::of(ISO, &read(&iso_path)?));

    let mut json = serde_json::to_vec_pretty(&manifest).expect("a manifest is strings and numbers only");
    json.push(b'\n');
    replace(&request.out.join(manifest::FILE_NAME), &json)?;
    Ok(manifest)
}

/// What the agent finds in its ramdisk besides hardware managers.
fn settings(request: &BuildRequest) -> Result<Vec<Setting>, ImageError> {
    let mut settings = Vec::new();
    let mut earliest = Vec::new();
    if let Some(path) = &request.bridge_ca {
        let invalid = |reason: &str| ImageError::Invalid { path: path.clone(), reason: reason.into() };
        if request.profile != Profile::Ironic {
            return Err(invalid("a bridge's authority is for the profile ironic"));
        }
        let pem = read(path)?;
        let text = String::from_utf8_lossy(&pem);
        if text.contains("PRIVATE KEY") {
            return Err(invalid("holds a private key, which must not be in a ramdisk for all"));
        }
        let valid_from = valid_from(&pem).ok_or_else(|| invalid("holds no certificate in PEM"))?;
        earliest = format!("{valid_from}\n").into_bytes();
        settings.push(Setting { path: BRIDGE_CA_PATH, mode: 0o644, content: pem });
    }
    if request.profile == Profile::Ironic {
        settings.push(Setting { path: IRONIC_PATH, mode: 0o644, content: earliest });
    }
    if let Some(path) = &request.rescue {
        settings.push(Setting { path: RESCUE_PROGRAM, mode: 0o755, content: read(path)? });
    }
    Ok(settings)
}

/// The Unix time from which on all certificates of a PEM file are valid.
fn valid_from(pem: &[u8]) -> Option<i64> {
    let mut latest = None;
    for block in Pem::iter_from_buffer(pem) {
        let block = block.ok()?;
        let certificate = block.parse_x509().ok()?;
        latest = latest.max(Some(certificate.validity().not_before.timestamp()));
    }
    latest
}

fn manager(path: &Path) -> Result<HardwareManager, ImageError> {
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| ImageError::Invalid {
        path: path.to_owned(),
        reason: "a hardware manager's path ends in a file name".into(),
    })?;
    Ok(HardwareManager { name: name.to_owned(), program: read(path)? })
}

fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    fs::read(path).map_err(ImageError::io("read", path))
}

/// Writes a file beside its place, then renames it: a build that fails leaves the old one.
fn replace(path: &Path, contents: &[u8]) -> Result<(), ImageError> {
    let failed = || ImageError::io("write", path);
    let partial = path.with_extension("partial");
    let mut file = fs::File::create(&partial).map_err(failed())?;
    file.write_all(contents).map_err(failed())?;
    fs::rename(&partial, path).map_err(failed())
}
