use std::iter;
use std::sync::{Arc, Mutex};

use ring::digest::{SHA256, digest};
use tacit_blockdev::{CommandError, Error, NvmeCommand, ScsiCommand, ScsiReply, Transfer};

use super::*;
use crate::drives::simulated::{
    Content, FIRMWARE_MAGIC, NvmeFault, NvmeIdentity, SimulatedClock, SimulatedNvme,
};

/// The same drive each time it is opened. It commits while the gate is open.
struct Shared(Arc<SimulatedNvme>, Arc<Mutex<()>>);

impl Drive for Shared {
    fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }

    fn logical_sector(&self) -> u32 {
        self.0.logical_sector()
    }

    fn is_read_only(&self) -> bool {
        self.0.is_read_only()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        self.0.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), Error> {
        self.0.write_at(offset, buf)
    }

    fn discard(&self, offset: u64, len: u64) -> Result<(), Error> {
        self.0.discard(offset, len)
    }

    fn flush(&self) -> Result<(), Error> {
        self.0.flush()
    }

    fn nvme(&self, command: &NvmeCommand, data: Transfer<'_>) -> Result<u32, CommandError> {
        if command.opcode == COMMIT {
            drop(self.1.lock());
        }
        self.0.nvme(command, data)
    }

    fn nvme_namespace(&self) -> Result<u32, CommandError> {
        self.0.nvme_namespace()
    }

    fn scsi(&self, command: &ScsiCommand<'_>, data: Transfer<'_>) -> Result<ScsiReply, CommandError> {
        self.0.scsi(command, data)
    }

    fn opal_revert_by_psid(&self, psid: &str) -> Result<(), CommandError> {
        self.0.opal_revert_by_psid(psid)
    }
}

#[derive(Default)]
struct Listener {
    heard: Mutex<Vec<(u64, u64)>>,
}

impl StepObserver for Listener {
    fn progress(&self, _: &str, _: &str, done: u64, total: u64, _: ProgressUnit) {
        self.heard.lock().unwrap().push((done, total));
    }

    fn cancelled(&self) -> bool {
        false
    }
}

/// An image of several pieces, the last one short.
fn firmware(revision: &str) -> Vec<u8> {
    let mut image = FIRMWARE_MAGIC.to_vec();
    image.extend(format!("{revision:8}").bytes());
    image.extend(iter::repeat_n(0x5a, 100 * 1024 + 12));
    image
}

fn request(version: &str, bytes: &[u8], extra: Value) -> Request {
    let checksum: String = digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut item = json!({ "url": URL, "checksum": checksum, "model": "sim*", "version": version });
    for (key, value) in extra.as_object().unwrap() {
        item[key] = value.clone();
    }
    Request { images: parse(Some(&json!([item]))).unwrap(), allow_downgrade: false, dry_run: false }
}

/// What stands against changing the drive.
type Guard = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

struct Bench {
    drive: Arc<SimulatedNvme>,
    guard: Guard,
    gate: Arc<Mutex<()>>,
    silence: Duration,
    listener: Listener,
}

impl Bench {
    fn new(identity: NvmeIdentity) -> Self {
        let content = Content::new(1 << 30, 512);
        let drive = Arc::new(SimulatedNvme::new(content, identity, SimulatedClock::new()));
        Self {
            drive,
            guard: Arc::new(Vec::new),
            gate: Arc::default(),
            silence: SILENCE,
            listener: Listener::default(),
        }
    }

    /// One drive with two namespaces, and a disk of another kind.
    fn update(&self, request: &Request, bytes: &[u8]) -> Result<Value, StepError> {
        let disks: Vec<_> = ["/dev/nvme0n1", "/dev/nvme0n2", "/dev/sda"]
            .map(|name| BlockDevice { name: name.to_owned(), ..BlockDevice::default() })
            .into();
        let fetch = |url: &str, limit: usize| {
            assert!(limit > bytes.len());
            let problem = "not found".to_owned();
            let missing = StepError::InvalidParameter { parameter: url.to_owned(), problem };
            if url == URL { Ok(bytes.to_vec()) } else { Err(missing) }
        };
        let (drive, guard, gate) = (self.drive.clone(), self.guard.clone(), self.gate.clone());
        let open: Open = Arc::new(move |disk| {
            assert!(disk.name.starts_with("/dev/nvme"), "{} is none of ours", disk.name);
            Ok(Box::new(Shared(drive.clone(), gate.clone())))
        });
        let against = Arc::new(move |_: &BlockDevice| guard());
        update(request, &disks, &fetch, &Reach { open, against, silence: self.silence }, &self.listener)
    }

    fn commands(&self, opcode: u8) -> usize {
        self.drive.opcodes().iter().filter(|sent| **sent == opcode).count()
    }
}

const URL: &str = "https://images.example.org/fw.bin";
const DOWNLOAD: u8 = 0x11;
const COMMIT: u8 = 0x10;

#[test]
fn new_firmware_runs_and_is_read_back() {
    let bench = Bench::new(NvmeIdentity::default());
    let image = firmware("1.0.10");
    let request = request("1.0.10", &image, json!({}));
    let result = bench.update(&request, &image).unwrap();
    let devices = result["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 1, "a drive is updated once, whatever its namespaces");
    assert_eq!(devices[0]["action"], "updated");
    assert_eq!((&devices[0]["from"], &devices[0]["to"]), (&json!("1.0.0"), &json!("1.0.10")));
    // The first slot runs: an empty one is used.
    assert_eq!((&devices[0]["slot"], &devices[0]["reset_needed"]), (&json!(2), &json!(false)));
    assert!(devices[0]["verification"][1].as_str().unwrap().contains("runs"));
    assert_eq!(bench.commands(COMMIT), 1);
    let length = image.len() as u64;
    let heard = bench.listener.heard.lock().unwrap().clone();
    assert!(heard.len() > 2 && heard.last() == Some(&(length, length)), "{heard:?}");
    // Once more: nothing to do.
    let result = bench.update(&request, &image).unwrap();
    assert_eq!(result["devices"][0]["action"], "none");
    assert_eq!(bench.commands(COMMIT), 1);
}

#[test]
fn a_reset_that_is_needed_is_said() {
    let slow = NvmeIdentity { firmware_updates: 3 << 1, ..NvmeIdentity::default() };
    for (identity, fault) in
        [(slow, NvmeFault::None), (NvmeIdentity::default(), NvmeFault::ActivationNeedsReset)]
    {
        let bench = Bench::new(identity);
        bench.drive.set_fault(fault);
        let image = firmware("2.0");
        let request = request("2.0", &image, json!({}));
        let result = bench.update(&request, &image).unwrap();
        assert_eq!(result["devices"][0]["action"], "updated");
        assert_eq!(result["devices"][0]["reset_needed"], true);
        let result = bench.update(&request, &image).unwrap();
        assert_eq!(result["devices"][0]["action"], "none");
        assert_eq!(result["devices"][0]["reset_needed"], true);
        assert_eq!(bench.commands(COMMIT), 1);
    }
}

#[test]
fn a_dry_run_touches_nothing() {
    let bench = Bench::new(NvmeIdentity::default());
    let image = firmware("2.0");
    let request = Request { dry_run: true, ..request("2.0", &image, json!({})) };
    let result = bench.update(&request, &image).unwrap();
    assert_eq!(result["plan"][0]["action"], "update");
    assert_eq!(result["plan"][0]["slot"], 2);
    assert_eq!(bench.commands(DOWNLOAD) + bench.commands(COMMIT), 0);
}

#[test]
fn older_firmware_is_refused_unless_it_is_wanted() {
    let bench = Bench::new(NvmeIdentity::default());
    bench.drive.set_firmware(2, "1.10");
    let image = firmware("1.9");
    let mut request = request("1.9", &image, json!({}));
    let error = bench.update(&request, &image).unwrap_err();
    assert!(error.details().contains("does not come after 1.10"), "{error}");
    assert!(!error.disk_touched());
    assert_eq!(bench.commands(DOWNLOAD), 0);
    request.allow_downgrade = true;
    bench.update(&request, &image).unwrap();
}

#[test]
fn the_wanted_slot_is_used_and_a_read_only_one_is_not() {
    let identity = || NvmeIdentity { firmware_updates: 2 << 1 | 1, ..NvmeIdentity::default() };
    let image = firmware("2.0");
    let bench = Bench::new(identity());
    bench.drive.set_firmware(2, "1.5");
    let result = bench.update(&request("2.0", &image, json!({})), &image).unwrap();
    assert_eq!(result["devices"][0]["slot"], 2, "the only one that can be written to");
    for slot in [1, 3] {
        let bench = Bench::new(identity());
        let error = bench.update(&request("2.0", &image, json!({ "slot": slot })), &image).unwrap_err();
        assert!(error.details().contains(&format!("slot {slot}")), "{error}");
        assert_eq!(bench.commands(DOWNLOAD), 0);
    }
}

#[test]
fn an_image_that_is_not_the_one_reaches_no_drive() {
    let bench = Bench::new(NvmeIdentity::default());
    let image = firmware("2.0");
    let mut forged = image.clone();
    forged[50] ^= 1;
    let error = bench.update(&request("2.0", &image, json!({})), &forged).unwrap_err();
    assert!(error.details().contains("checksum"), "{error}");
    assert_eq!(bench.commands(DOWNLOAD), 0);
}

#[test]
fn files_of_the_ramdisk_need_nobody_who_fetches() {
    let image = firmware("2.0");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &image).unwrap();
    let bench = Bench::new(NvmeIdentity::default());
    let path = file.path().to_str().unwrap();
    bench.update(&request("2.0", &image, json!({ "url": path })), &[]).unwrap();
    let bench = Bench::new(NvmeIdentity::default());
    for url in ["/no/such/file", "/dev/zero", "/", "https://images.example.org/other.bin"] {
        let error = bench.update(&request("2.0", &image, json!({ "url": url })), &[]).unwrap_err();
        assert!(
            matches!(&error, StepError::InvalidParameter { parameter, .. } if parameter == url),
            "{error}"
        );
    }
    assert_eq!(bench.commands(DOWNLOAD), 0);
}

#[test]
fn what_the_drive_does_not_show_is_not_updated() {
    // It takes the image and keeps nothing.
    let bench = Bench::new(NvmeIdentity::default());
    bench.drive.set_fault(NvmeFault::FirmwareLost);
    let image = firmware("2.0");
    let error = bench.update(&request("2.0", &image, json!({})), &image).unwrap_err();
    assert!(error.details().contains("slot 2 holds \"\""), "{error}");
    assert!(error.disk_touched());
    // The image brings another revision than was said.
    let bench = Bench::new(NvmeIdentity::default());
    let error = bench.update(&request("3.0", &image, json!({})), &image).unwrap_err();
    assert!(error.details().contains("\"2.0\""), "{error}");
}

#[test]
fn no_other_drive_is_tried_when_one_has_failed() {
    let drives = ["A", "B"].map(|serial| {
        let identity = NvmeIdentity { serial: serial.to_owned(), ..NvmeIdentity::default() };
        Bench::new(identity).drive
    });
    drives[0].set_fault(NvmeFault::FirmwareLost);
    let disks = ["/dev/nvme0n1", "/dev/nvme1n1"]
        .map(|name| BlockDevice { name: name.to_owned(), ..BlockDevice::default() });
    let played = drives.clone();
    let open: Open = Arc::new(move |disk| {
        let drive = played[usize::from(disk.name == "/dev/nvme1n1")].clone();
        Ok(Box::new(Shared(drive, Arc::default())))
    });
    let reach = Reach { open, against: Arc::new(|_| Vec::new()), silence: SILENCE };
    let image = firmware("2.0");
    let fetch = |_: &str, _: usize| Ok(image.clone());
    let request = request("2.0", &image, json!({}));
    let error = update(&request, &disks, &fetch, &reach, &Listener::default()).unwrap_err();
    assert!(error.details().ends_with("/dev/nvme1n1: left alone then"), "{error}");
    assert!(error.disk_touched());
    assert!(!drives[1].opcodes().contains(&DOWNLOAD));
}

#[test]
fn what_is_no_image_is_refused_by_the_drive() {
    let bench = Bench::new(NvmeIdentity::default());
    let image = vec![7; 4096];
    let error = bench.update(&request("2.0", &image, json!({})), &image).unwrap_err();
    assert!(error.details().contains("0x1/0x07"), "{error}");
    // Not even sent: no whole dwords.
    let odd = vec![7; 4098];
    assert!(bench.update(&request("2.0", &odd, json!({})), &odd).is_err());
    assert_eq!(bench.commands(COMMIT), 1);
}

#[test]
fn pieces_are_what_the_drive_takes() {
    for (granularity, transfer) in [(0xff, 0), (0, 1), (4, 2), (16, 5), (3, 9)] {
        let identity = NvmeIdentity {
            firmware_granularity: granularity,
            largest_transfer: transfer,
            ..NvmeIdentity::default()
        };
        let bench = Bench::new(identity);
        let image = firmware("2.0");
        bench.update(&request("2.0", &image, json!({})), &image).unwrap();
    }
}

#[test]
fn other_models_are_left_alone() {
    let bench = Bench::new(NvmeIdentity { model: "Other".to_owned(), ..NvmeIdentity::default() });
    let image = firmware("2.0");
    let result = bench.update(&request("2.0", &image, json!({})), &image).unwrap();
    assert_eq!(result["devices"][0]["action"], "none");
    assert_eq!(bench.commands(DOWNLOAD), 0);
}

#[test]
fn a_drive_that_somebody_uses_or_keeps_out_gets_nothing() {
    let image = firmware("2.0");
    let mut request = request("2.0", &image, json!({}));
    let mut bench = Bench::new(NvmeIdentity::default());
    let reason = "/dev/nvme0n2, which is a part of it, is named by skip_block_devices";
    bench.guard = Arc::new(move || vec![reason.to_owned()]);
    let error = bench.update(&request, &image).unwrap_err();
    assert_eq!(error.details(), format!("/dev/nvme0n1: {reason}"));
    assert!(!error.disk_touched());
    request.dry_run = true;
    let plan = bench.update(&request, &image).unwrap();
    assert_eq!((&plan["plan"][0]["action"], &plan["plan"][0]["reason"]), (&json!("refused"), &json!(reason)));
    // Mounted while the image was on its way.
    request.dry_run = false;
    let asked = std::sync::atomic::AtomicUsize::new(0);
    // Both namespaces are asked about before.
    let late = move || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= 2;
    bench.guard = Arc::new(move || if late() { vec!["mounted at /srv".to_owned()] } else { Vec::new() });
    let error = bench.update(&request, &image).unwrap_err();
    assert_eq!(error.details(), "/dev/nvme0n1: not begun: mounted at /srv");
    assert!(!error.disk_touched());
    assert_eq!(bench.commands(DOWNLOAD), 0);
}

#[test]
fn a_drive_that_hangs_in_the_update_is_given_up() {
    let image = firmware("2.0");
    let bench = Bench { silence: Duration::from_millis(500), ..Bench::new(NvmeIdentity::default()) };
    let closed = bench.gate.lock().unwrap();
    let error = bench.update(&request("2.0", &image, json!({})), &image).unwrap_err();
    assert!(error.details().starts_with("/dev/nvme0n1: nothing was heard of it for "), "{error}");
    assert!(error.disk_touched());
    drop(closed);
}
