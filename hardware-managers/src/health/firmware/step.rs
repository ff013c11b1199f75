//! From the arguments to the proofs.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tacit_blockdev::Drive;
use tacit_model::{BlockDevice, ProgressUnit};

use super::super::limits::flag;
use super::super::verify::{Open, disks, halted, open};
use super::apply::apply;
use super::image::{ImageRequest, parse};
use super::plan::{Target, Verdict, plan};
use super::source::Fetch;
use crate::chain::chain;
use crate::drives::DriveKind;
use crate::drives::nvme::Activation;
use crate::machine::Machine;
use crate::managers::{RemoteFile, Route, StepContext, StepError, StepObserver};

/// What all images of a step may have together, in bytes: they are in memory before the first drive is touched.
const MOST_BYTES: usize = 256 << 20;

/// The step `update_firmware`: brings NVMe drives to the revisions that `images` names and proves by the drives' own
/// logs that they are there.
///
/// # Errors
///
/// [`StepError::InvalidParameter`] with what is wrong with the request or an image, and whatever fetching one failed
/// with, before anything is sent to any drive; [`StepError::Failed`] with every drive that failed.
pub(in super::super) fn run(machine: &Machine, context: &StepContext<'_>) -> Result<Value, StepError> {
    let request = Request {
        images: parse(context.args.get("images"))?,
        allow_downgrade: flag(context.args, "allow_downgrade")?,
        dry_run: context.dry_run()?,
    };
    let route = Route::from_context(context)?;
    let fetch = |url: &str, limit_bytes: usize| {
        context.observer.fetch(&RemoteFile { url, limit_bytes, route: &route })
    };
    let disks = disks(machine, context)?;
    update(&request, &disks, &fetch, &|disk| open(machine, disk), context.observer)
}

struct Request {
    images: Vec<ImageRequest>,
    allow_downgrade: bool,
    dry_run: bool,
}

/// A drive that answers, under the name of its first namespace.
struct Known<'a> {
    disk: &'a BlockDevice,
    drive: Box<dyn Drive>,
    target: Target,
}

/// Plans for all NVMe drives, loads all images that are needed, and then updates one drive after the other. Nothing is
/// sent before everything is known to be in order.
///
/// # Errors
///
/// [`StepError::Failed`] names every drive that failed.
fn update(
    request: &Request,
    disks: &[BlockDevice],
    fetch: Fetch<'_>,
    open: Open<'_>,
    observer: &dyn StepObserver,
) -> Result<Value, StepError> {
    let (known, mut failures) = survey(request, disks, open);
    let refused = known.iter().filter_map(|known| match &known.target.verdict {
        Verdict::Refused(reason) => Some(format!("{}: {reason}", known.disk.name)),
        _ => None,
    });
    failures.extend(refused);
    if request.dry_run {
        let plan: Vec<Value> = known.iter().map(|known| report(known, request)).collect();
        return Ok(json!({ "plan": plan, "problems": failures }));
    }
    if !failures.is_empty() {
        return Err(failed(&failures, false));
    }
    let (mut bytes, mut left) = (Vec::new(), MOST_BYTES);
    for (at, image) in request.images.iter().enumerate() {
        let needed = known.iter().any(|known| {
            known.target.image == Some(at) && matches!(known.target.verdict, Verdict::Update { .. })
        });
        let image = if needed { image.load(fetch, left)? } else { Vec::new() };
        left = left.saturating_sub(image.len());
        bytes.push(image);
    }
    let (mut reports, mut touched) = (Vec::new(), false);
    for (done, drive) in known.iter().enumerate() {
        let rest = |from: usize| known[from..].iter().map(|known| known.disk);
        if observer.cancelled() {
            return Err(halted(rest(done), "not updated", touched));
        }
        let mut report = report(drive, request);
        if let (Verdict::Update { slot }, Some(at)) = (&drive.target.verdict, drive.target.image) {
            touched = true;
            let name = &drive.disk.name;
            let length = bytes[at].len() as u64;
            let progress = |done| observer.progress("firmware", name, done, length, ProgressUnit::Bytes);
            let (controller, version) = (&drive.target.controller, &request.images[at].version);
            match apply(drive.drive.as_ref(), controller, *slot, version, &bytes[at], &progress) {
                Ok(applied) => {
                    report["action"] = json!("updated");
                    report["reset_needed"] = json!(applied.activation == Activation::AtReset);
                    report["verification"] = json!(applied.verification);
                }
                Err(error) => {
                    failures.push(format!("{name}: {}", chain(&error)));
                    // Firmware that harms one drive may harm them all.
                    failures.extend(rest(done + 1).map(|disk| format!("{}: left alone then", disk.name)));
                    break;
                }
            }
        }
        reports.push(report);
    }
    if failures.is_empty() { Ok(json!({ "devices": reports })) } else { Err(failed(&failures, touched)) }
}

/// Every NVMe drive once, and what could not be asked.
fn survey<'a>(request: &Request, disks: &'a [BlockDevice], open: Open<'_>) -> (Vec<Known<'a>>, Vec<String>) {
    let (mut known, mut failures) = (Vec::new(), Vec::new());
    // Namespaces of one drive have one firmware.
    let mut seen = BTreeSet::new();
    for disk in disks.iter().filter(|disk| DriveKind::of(&disk.name) == DriveKind::Nvme) {
        let asked = open(disk).map_err(|error| chain(&error)).and_then(|drive| {
            let target = plan(drive.as_ref(), &request.images, request.allow_downgrade);
            Ok((target.map_err(|error| chain(&error))?, drive))
        });
        match asked {
            Ok((target, drive)) => {
                let controller = &target.controller;
                let identity = (controller.model.clone(), controller.serial.clone());
                if controller.serial.is_none() || seen.insert(identity) {
                    known.push(Known { disk, drive, target });
                }
            }
            Err(reason) => failures.push(format!("{}: {reason}", disk.name)),
        }
    }
    (known, failures)
}

fn report(known: &Known<'_>, request: &Request) -> Value {
    let Target { controller, image, verdict } = &known.target;
    let (action, slot, reason) = match verdict {
        Verdict::NoImage => ("none", None, Some("no image is made for this model")),
        Verdict::UpToDate => ("none", None, Some("it runs this revision")),
        Verdict::Pending => ("none", None, Some("it runs this revision from its next reset on")),
        Verdict::Update { slot } => ("update", Some(slot), None),
        Verdict::Refused(reason) => ("refused", None, Some(reason.as_str())),
    };
    json!({
        "device": known.disk.name,
        "serial": controller.serial,
        "model": controller.model,
        "action": action,
        "reason": reason,
        "from": controller.firmware,
        "to": image.map(|at| &request.images[at].version),
        "slot": slot,
        "reset_needed": *verdict == Verdict::Pending,
    })
}

fn failed(failures: &[String], touched: bool) -> StepError {
    StepError::Failed {
        class: "FirmwareUpdateError",
        code: 500,
        message: "Firmware was not updated",
        details: failures.join("; "),
        retry: touched,
        touched,
    }
}

#[cfg(test)]
mod tests {
    use std::iter;
    use std::sync::{Arc, Mutex};

    use ring::digest::{SHA256, digest};
    use tacit_blockdev::{CommandError, Error, NvmeCommand, ScsiCommand, ScsiReply, Transfer};

    use super::*;
    use crate::drives::simulated::{
        Content, FIRMWARE_MAGIC, NvmeFault, NvmeIdentity, SimulatedClock, SimulatedNvme,
    };

    /// The same drive each time it is opened.
    struct Shared(Arc<SimulatedNvme>);

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
        let checksum: String =
            digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let mut item = json!({ "url": URL, "checksum": checksum, "model": "sim*", "version": version });
        for (key, value) in extra.as_object().unwrap() {
            item[key] = value.clone();
        }
        Request { images: parse(Some(&json!([item]))).unwrap(), allow_downgrade: false, dry_run: false }
    }

    struct Bench {
        drive: Arc<SimulatedNvme>,
        listener: Listener,
    }

    impl Bench {
        fn new(identity: NvmeIdentity) -> Self {
            let content = Content::new(1 << 30, 512);
            let drive = Arc::new(SimulatedNvme::new(content, identity, SimulatedClock::new()));
            Self { drive, listener: Listener::default() }
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
            let open = |disk: &BlockDevice| -> Result<Box<dyn Drive>, Error> {
                assert!(disk.name.starts_with("/dev/nvme"), "{} is none of ours", disk.name);
                Ok(Box::new(Shared(Arc::clone(&self.drive))))
            };
            update(request, &disks, &fetch, &open, &self.listener)
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
        let open = |disk: &BlockDevice| -> Result<Box<dyn Drive>, Error> {
            Ok(Box::new(Shared(Arc::clone(&drives[usize::from(disk.name == disks[1].name)]))))
        };
        let image = firmware("2.0");
        let fetch = |_: &str, _: usize| Ok(image.clone());
        let request = request("2.0", &image, json!({}));
        let error = update(&request, &disks, &fetch, &open, &Listener::default()).unwrap_err();
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
}
