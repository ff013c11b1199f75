//! Everything that can be known and refused before the first write.

use std::ops::Range;
use std::sync::Arc;

use crate::bmap::Bmap;
use crate::config_drive::{check_size, fit_config_drive};
use crate::error::Failure;
use crate::partitioned::{Layout, LayoutError};
use crate::pipeline::Pipeline;
use crate::place::check_place;
use crate::progress::{Counters, Reporter};
use crate::request::{Verify, WriteMode, WriteRequest};
use crate::survey::{Content, Expected, Survey};
use crate::table::Table;
use crate::target::{Target, TargetError};
use crate::veil::MINIMUM_DISK;
use crate::vouch::Vouch;

/// What is known when the first write is due.
pub(crate) struct Prepared {
    pub(crate) pipeline: Pipeline,
    pub(crate) survey: Survey,
    pub(crate) arrangement: Arrangement,
    pub(crate) map: Option<Arc<Bmap>>,
    /// Whether the map is all that vouches for the image: then what it does not list need not be seen.
    pub(crate) map_alone: bool,
}

/// Where on the disk the image lies.
pub(crate) enum Arrangement {
    /// It is the disk, with this table.
    Whole(Table),
    /// It is the file system of one partition.
    Partition(Layout),
}

impl Arrangement {
    /// Bytes of the disk that the image may fill.
    pub(crate) fn region(&self, disk: u64) -> Range<u64> {
        match self {
            Self::Whole(_) => 0..disk,
            Self::Partition(layout) => layout.root(),
        }
    }

    /// What must not be on the disk before all is verified, beside its edges: the backup table where the image has it.
    pub(crate) fn held_back(&self, sector: u32) -> Option<Range<u64>> {
        match self {
            Self::Whole(table) => table.backup_bytes(sector),
            Self::Partition(_) => None,
        }
    }
}

pub(crate) struct Writer<'t> {
    pub(crate) target: &'t dyn Target,
    pub(crate) device: String,
    /// Logical sector size of the disk in bytes.
    pub(crate) sector: u32,
    /// Of the disk in bytes.
    pub(crate) size: u64,
    /// As it will lie on this disk.
    pub(crate) config_drive: Option<Vec<u8>>,
    pub(crate) mode: WriteMode,
    pub(crate) verify: Verify,
    pub(crate) counters: &'t Arc<Counters>,
}

impl<'t> Writer<'t> {
    pub(crate) fn new(target: &'t dyn Target, request: &WriteRequest, counters: &'t Arc<Counters>) -> Self {
        Self {
            target,
            device: target.describe(),
            sector: target.logical_sector(),
            size: target.size_bytes(),
            config_drive: None,
            mode: request.mode,
            verify: request.verify,
            counters,
        }
    }

    pub(crate) fn blocks(&self) -> u64 {
        self.size / u64::from(self.sector)
    }

    /// Gets the beginning of the image and checks all that can be known by then.
    pub(crate) fn prepare(
        &mut self,
        request: WriteRequest,
        reporter: &mut Reporter<'_>,
    ) -> Result<Prepared, Failure> {
        reporter.report();
        self.check_disk()?;
        if let Some(drive) = request.config_drive {
            let fitted = check_size(&drive)
                .and_then(|()| fit_config_drive(drive, self.sector, request.config_drive_rebuild));
            self.config_drive = Some(fitted.map_err(self.no_config_drive())?);
        }
        let drive_len = self.config_drive.as_ref().map(|drive| drive.len() as u64);
        let layout = request
            .layout
            .map(|layout| Layout::plan(&layout, drive_len, self.target))
            .transpose()
            .map_err(self.cannot_lay_out())?;
        let room = layout.as_ref().map_or(self.size, |layout| layout.root().end - layout.root().start);

        let url = request.sources.first().map(|source| source.describe()).unwrap_or_default();
        let digests = request.digests.into_iter();
        let digests = digests.map(|expected| Vouch::Digest { url: url.clone(), expected });
        let signature = request
            .signature
            .map(|signature| Vouch::Signature { url: url.clone(), signature: Box::new(signature) });
        let vouches: Vec<Vouch> = digests.chain(signature).collect();
        let map = request.bmap.map(Arc::new);
        let map_alone = vouches.is_empty();
        if map_alone && map.is_none() {
            return Err(Failure::Unvouched { url });
        }
        let expected = Expected { declared: request.disk_format, device: self.device.clone(), room };
        let pipeline = Pipeline::start(request.sources, request.retry, vouches, expected, self.counters)?;
        let survey = pipeline.survey(reporter)?;
        if let Some(map) = &map {
            self.check_map(&survey, map, room)?;
        }
        reporter.progress.source_total = survey.source_total;
        let exact = survey.size.filter(|image| image.exact).map(|image| image.bytes);
        reporter.progress.target_total = exact.or(map.as_ref().map(|map| map.image_size()));
        let arrangement = match layout {
            None => Arrangement::Whole(self.check_whole(&survey, drive_len)?),
            Some(layout) => {
                let image = survey.size.map_or(0, |image| image.bytes);
                layout.check_image(image).map_err(self.cannot_lay_out())?;
                Arrangement::Partition(layout)
            }
        };
        Ok(Prepared { pipeline, survey, arrangement, map, map_alone })
    }

    fn check_disk(&self) -> Result<(), Failure> {
        if self.sector < 512 || !self.sector.is_power_of_two() || self.sector > 64 << 10 {
            return Err(Failure::Internal("the disk has an impossible sector size"));
        }
        if self.size < MINIMUM_DISK {
            let device = self.device.clone();
            return Err(Failure::DiskTooSmall { device, bytes: self.size, minimum: MINIMUM_DISK });
        }
        Ok(())
    }

    fn check_map(&self, survey: &Survey, map: &Bmap, room: u64) -> Result<(), Failure> {
        let url = || survey.url.clone();
        if let Content::Qcow2(_) = survey.content {
            return Err(Failure::MapFormat { url: url(), format: "qcow2" });
        }
        let size = map.image_size();
        if let Some(image) = survey.size.filter(|image| image.exact && image.bytes != size) {
            return Err(Failure::MapSize { url: url(), image: image.bytes, map: size });
        }
        if size > room {
            return Err(self.too_large(&survey.url, size, true, room));
        }
        Ok(())
    }

    /// The table of a disk image, which fits this disk and has a place for the config drive.
    fn check_whole(&self, survey: &Survey, drive_len: Option<u64>) -> Result<Table, Failure> {
        if let Some(image) = survey.size.filter(|image| image.bytes > self.size) {
            return Err(self.too_large(&survey.url, image.bytes, image.exact, self.size));
        }
        let table = Table::inspect(&survey.head, self.sector, self.blocks()).map_err(|source| {
            Failure::Table { url: survey.url.clone(), device: self.device.clone(), source }
        })?;
        if let Some(len) = drive_len {
            check_place(&table, len, self.sector.into(), self.blocks()).map_err(self.no_config_drive())?;
        }
        Ok(table)
    }

    pub(crate) fn failed(&self, doing: &'static str) -> impl Fn(TargetError) -> Failure + use<> {
        let device = self.device.clone();
        move |source| Failure::Target { device: device.clone(), doing, source }
    }

    pub(crate) fn no_config_drive(&self) -> impl Fn(crate::ConfigDriveError) -> Failure + use<> {
        let device = self.device.clone();
        move |source| Failure::ConfigDrive { device: device.clone(), source }
    }

    pub(crate) fn cannot_lay_out(&self) -> impl Fn(LayoutError) -> Failure + use<> {
        let device = self.device.clone();
        move |source| Failure::Layout { device: device.clone(), source }
    }

    /// `room` is what the image may fill of the disk, in bytes.
    pub(crate) fn too_large(&self, url: &str, image: u64, exact: bool, room: u64) -> Failure {
        let (url, device) = (url.to_owned(), self.device.clone());
        Failure::TooLarge { url, image, exact, device, disk: room }
    }
}
