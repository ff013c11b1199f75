//! The EFI system partition of the medium: a FAT image with the UKI and the reserved region beside it.

use std::io::{self, Cursor, Write};

use fatfs::{Date, DateTime, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};
use tacit_protocol::medium::{REGION_MARKER, REGION_SIZE};

/// The program that firmware starts from removable media (UEFI specification, 3.5.1.1).
pub const BOOT_PROGRAM: &str = "EFI/BOOT/BOOTX64.EFI";

/// Credentials beside the program, which systemd-stub hands to the ramdisk (systemd-stub(7)).
pub const CREDENTIAL: &str = "EFI/BOOT/BOOTX64.EFI.extra.d/tacit.cred";

const VOLUME_ID: u32 = 0x7AC1_7001;
const VOLUME_LABEL: [u8; 11] = *b"TACIT      ";
/// A CD's sector: then the region's file never shares one with another file.
const CLUSTER: u32 = 2048;
/// Below 4085 clusters a volume would be FAT12, which not all firmware reads from anything but floppies.
const LEAST: u64 = 9 * 1024 * 1024;

/// Always the same moment: files have no history, images are reproducible.
#[derive(Debug)]
struct FixedTime;

impl TimeProvider for FixedTime {
    fn get_current_date(&self) -> Date {
        Date { year: 2023, month: 11, day: 14 }
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime { date: self.get_current_date(), time: Time { hour: 0, min: 0, sec: 0, millis: 0 } }
    }
}

/// An unfilled region.
pub fn empty_region() -> Vec<u8> {
    let mut region = REGION_MARKER.to_vec();
    region.resize(REGION_SIZE, b' ');
    region
}

/// The image, as large as its contents need.
///
/// The region is written before the program into an empty volume, so its clusters follow each other; whoever uses the
/// image finds it by its marker and checks that all of it is there.
pub fn build(uki: &[u8]) -> io::Result<Vec<u8>> {
    let size = volume_size(uki.len() as u64 + REGION_SIZE as u64);
    let mut image = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    let options =
        FormatVolumeOptions::new().bytes_per_cluster(CLUSTER).volume_id(VOLUME_ID).volume_label(VOLUME_LABEL);
    fatfs::format_volume(Cursor::new(&mut image), options)?;

    let volume = FileSystem::new(Cursor::new(&mut image), FsOptions::new().time_provider(&FixedTime))?;
    {
        let root = volume.root_dir();
        for (path, contents) in [(CREDENTIAL, &empty_region()[..]), (BOOT_PROGRAM, uki)] {
            for (end, _) in path.match_indices('/') {
                root.create_dir(&path[..end])?;
            }
            let mut file = root.create_file(path)?;
            file.write_all(contents)?;
            file.flush()?;
        }
    }
    volume.unmount()?;
    Ok(image)
}

/// Room for the contents, two tables of 16-bit entries, the root folder, three more folders and the boot sector.
fn volume_size(contents: u64) -> u64 {
    let clusters = contents.div_ceil(u64::from(CLUSTER)) + 8;
    let tables = 2 * (clusters * 2).next_multiple_of(512);
    let size = clusters * u64::from(CLUSTER) + tables + 32 * 512 + 512;
    size.next_multiple_of(64 * 1024).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn files_are_read_back_and_the_region_is_in_one_piece() {
        for size in [0, 1, 9_000_001, 20_000_000] {
            let uki: Vec<u8> =
                (0..size).map(|index: u32| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            let mut image = build(&uki).unwrap();
            let region = empty_region();
            let found: Vec<_> = image
                .windows(REGION_MARKER.len())
                .enumerate()
                .filter(|(_, window)| window == REGION_MARKER)
                .collect();
            assert_eq!(found.len(), 1);
            let start = found[0].0;
            assert_eq!(image[start..start + REGION_SIZE], region);

            let volume = FileSystem::new(Cursor::new(&mut image), FsOptions::new()).unwrap();
            assert_eq!(volume.fat_type(), fatfs::FatType::Fat16);
            let mut read = Vec::new();
            volume.root_dir().open_file(BOOT_PROGRAM).unwrap().read_to_end(&mut read).unwrap();
            assert!(read == uki);
            read.clear();
            volume.root_dir().open_file(CREDENTIAL).unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, region);
        }
    }
}
