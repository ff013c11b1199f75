//! The guest's disks: as what they appear, how they fail, and what is left on them.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

const SECTOR: usize = 512;
/// Begins everything that a former owner left.
const LEFT: &[u8; 8] = b"left-by-";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// A controller with one namespace.
    Nvme,
    /// A namespace of this number on the controller named; the first one brings the controller.
    Namespace(&'static str, u32),
    Scsi,
    Virtio,
}

/// Input or output that fails with EIO wherever it touches a sector of 512 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Read(u64),
    Write(u64),
    /// As [`Fault::Write`], for commands that write zeros without data.
    Zero(u64),
}

impl Fault {
    fn rule(self) -> Value {
        let (operation, sector) = match self {
            Self::Read(sector) => ("read", sector),
            Self::Write(sector) => ("write", sector),
            Self::Zero(sector) => ("write-zeroes", sector),
        };
        json!({"event": "none", "iotype": operation, "errno": 5, "sector": sector})
    }
}

/// A disk on a file. Its name is its serial number, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    name: String,
    path: PathBuf,
    kind: Kind,
    faults: Vec<Fault>,
    options: String,
    read_only: bool,
    /// Bytes that it takes in a second at most.
    rate: Option<u64>,
}

impl Disk {
    fn new(folder: &Path, name: &str, size: u64, kind: Kind) -> Result<Self> {
        let path = folder.join(name);
        File::create(&path)?.set_len(size)?;
        Ok(Self {
            name: name.to_owned(),
            path,
            kind,
            faults: Vec::new(),
            options: String::new(),
            read_only: false,
            rate: None,
        })
    }

    /// # Errors
    ///
    /// Those of making the file; so for all kinds.
    pub fn nvme(folder: &Path, name: &str, size: u64) -> Result<Self> {
        Self::new(folder, name, size, Kind::Nvme)
    }

    /// The namespace `number` of a controller, whose name is its serial number.
    ///
    /// # Errors
    ///
    /// As [`Self::nvme`].
    pub fn namespace(
        folder: &Path,
        name: &str,
        size: u64,
        controller: &'static str,
        number: u32,
    ) -> Result<Self> {
        Self::new(folder, name, size, Kind::Namespace(controller, number))
    }

    /// # Errors
    ///
    /// As [`Self::nvme`].
    pub fn scsi(folder: &Path, name: &str, size: u64) -> Result<Self> {
        Self::new(folder, name, size, Kind::Scsi)
    }

    /// # Errors
    ///
    /// As [`Self::nvme`].
    pub fn virtio(folder: &Path, name: &str, size: u64) -> Result<Self> {
        Self::new(folder, name, size, Kind::Virtio)
    }

    /// Fills every sector with what a former owner left.
    ///
    /// # Errors
    ///
    /// Those of writing the file.
    pub fn used(self) -> Result<Self> {
        let sectors = fs::metadata(&self.path)?.len() / SECTOR as u64;
        let mut file = BufWriter::with_capacity(1 << 20, File::options().write(true).open(&self.path)?);
        for sector in 0..sectors {
            let mark = [*LEFT, sector.to_le_bytes()].concat();
            for _ in 0..SECTOR / mark.len() {
                file.write_all(&mark)?;
            }
        }
        file.flush()?;
        Ok(self)
    }

    /// What fails on it.
    #[must_use]
    pub fn failing(mut self, faults: &[Fault]) -> Self {
        self.faults.extend(faults);
        self
    }

    /// QEMU's options of the device, `logical_block_size=4096`.
    #[must_use]
    pub fn with(mut self, options: &str) -> Self {
        self.options.push(',');
        self.options.push_str(options);
        self
    }

    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// It takes so many bytes in a second at most: what is to be met in the middle has one.
    #[must_use]
    pub fn slow(mut self, bytes_per_second: u64) -> Self {
        self.rate = Some(bytes_per_second);
        self
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Offsets of the sectors that still hold something of what [`Self::used`] wrote.
    ///
    /// # Errors
    ///
    /// Those of reading the file.
    pub fn left(&self) -> Result<Vec<u64>> {
        let holds = |sector: &[u8]| sector.windows(LEFT.len()).any(|bytes| bytes == LEFT);
        self.find(0..fs::metadata(&self.path)?.len(), holds)
    }

    /// Whether the sector at this offset is no longer what [`Self::used`] made it.
    ///
    /// # Errors
    ///
    /// As [`Self::left`].
    pub fn is_changed(&self, offset: u64) -> Result<bool> {
        let range = offset..offset + SECTOR as u64;
        Ok(!self.find(range, |sector| !sector.starts_with(LEFT))?.is_empty())
    }

    /// Offsets of the sectors within the range that are anything but zeros.
    ///
    /// # Errors
    ///
    /// As [`Self::left`].
    pub fn not_zero(&self, range: Range<u64>) -> Result<Vec<u64>> {
        self.find(range, |sector| sector.iter().any(|byte| *byte != 0))
    }

    fn find(&self, range: Range<u64>, is_it: impl Fn(&[u8]) -> bool) -> Result<Vec<u64>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(range.start))?;
        let mut content = Vec::new();
        file.take(range.end - range.start).read_to_end(&mut content)?;
        let sectors = (range.start..).step_by(SECTOR).zip(content.chunks(SECTOR));
        Ok(sectors.filter(|(_, sector)| is_it(sector)).map(|(offset, _)| offset).collect())
    }

    /// As QEMU is told of it.
    pub(super) fn arguments(&self) -> Result<Vec<String>> {
        let path = self.path.to_str().context("a path that is text")?;
        let mut node = json!({
            "driver": "file", "filename": path, "read-only": self.read_only, "discard": "unmap",
            "cache": {"direct": false, "no-flush": true},
        });
        let mut arguments = Vec::new();
        if !self.faults.is_empty() {
            let rules: Vec<Value> = self.faults.iter().map(|fault| fault.rule()).collect();
            node = json!({"driver": "blkdebug", "image": node, "inject-error": rules});
        }
        if let Some(rate) = self.rate {
            let group = format!("{}-rate", self.name);
            let limits = json!({"qom-type": "throttle-group", "id": group, "limits": {"bps-write": rate}});
            arguments.extend(["-object".to_owned(), limits.to_string()]);
            node = json!({"driver": "throttle", "throttle-group": group, "file": node, "discard": "unmap"});
        }
        let node = json!({
            "driver": "raw", "node-name": self.name, "file": node, "discard": "unmap",
            "read-only": self.read_only,
        });
        arguments.extend(["-blockdev".to_owned(), node.to_string()]);
        let (name, options) = (&self.name, &self.options);
        let device = match self.kind {
            Kind::Nvme => format!("nvme,drive={name},serial={name}"),
            Kind::Namespace(controller, number) => {
                if number == 1 {
                    arguments
                        .extend(["-device".to_owned(), format!("nvme,id={controller},serial={controller}")]);
                }
                format!("nvme-ns,bus={controller},nsid={number},drive={name}")
            }
            Kind::Scsi => format!("scsi-hd,bus=scsi.0,drive={name},serial={name},id={name}"),
            Kind::Virtio => format!("virtio-blk-pci,drive={name},serial={name},id={name}"),
        };
        arguments.extend(["-device".to_owned(), device + options]);
        Ok(arguments)
    }
}
