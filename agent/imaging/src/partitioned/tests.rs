//! Whole layouts on sparse files, judged by the tools that Linux systems use.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::partition::TableKind;
use crate::target::{Target, TargetError};
use crate::veil::Veil;

const MIB: u64 = 1 << 20;

/// A disk that is a sparse file.
struct FileDisk {
    file: File,
    path: PathBuf,
    size: u64,
    sector: u32,
    _folder: tempfile::TempDir,
}

impl FileDisk {
    fn new(size: u64, sector: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len(size).unwrap();
        Self { file, path, size, sector, _folder: folder }
    }

    /// Puts the tables on the disk as the writer does in the end.
    fn reveal(&self, layout: &Layout, veil: &Veil<'_>) {
        for (offset, bytes) in layout.table().pieces() {
            veil.write(offset, &bytes).unwrap();
        }
        veil.lift().unwrap();
    }

    /// A copy of a part of the disk as a file of its own.
    fn cut(&self, part: &MadePartition) -> PathBuf {
        let name = self.path.with_file_name(format!("{:?}", part.role));
        let file = File::create(&name).unwrap();
        file.set_len(part.bytes.end - part.bytes.start).unwrap();
        for offset in part.bytes.clone().step_by(MIB as usize) {
            let mut piece = vec![0; MIB.min(part.bytes.end - offset) as usize];
            self.file.read_exact_at(&mut piece, offset).unwrap();
            if !is_zero(&piece) {
                file.write_all_at(&piece, offset - part.bytes.start).unwrap();
            }
        }
        name
    }

    fn fill(&self, offset: u64, len: u64, byte: u8) {
        self.file.write_all_at(&vec![byte; len as usize], offset).unwrap();
    }

    fn bytes(&self, offset: u64, len: u64) -> Vec<u8> {
        let mut bytes = vec![0; len as usize];
        self.file.read_exact_at(&mut bytes, offset).unwrap();
        bytes
    }
}

impl Target for FileDisk {
    fn describe(&self) -> String {
        "a file".into()
    }

    fn size_bytes(&self) -> u64 {
        self.size
    }

    fn logical_sector(&self) -> u32 {
        self.sector
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), TargetError> {
        Ok(self.file.read_exact_at(buf, offset)?)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), TargetError> {
        assert!(offset + buf.len() as u64 <= self.size);
        Ok(self.file.write_all_at(buf, offset)?)
    }

    fn zero(&self, offset: u64, len: u64) -> Result<(), TargetError> {
        assert!(offset + len <= self.size);
        for at in (offset..offset + len).step_by(MIB as usize) {
            let mut present = vec![0; MIB.min(offset + len - at) as usize];
            self.file.read_exact_at(&mut present, at)?;
            if !is_zero(&present) {
                present.fill(0);
                self.file.write_all_at(&present, at)?;
            }
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), TargetError> {
        Ok(())
    }

    fn reread_partition_table(&self) -> Result<(), TargetError> {
        Ok(())
    }
}

/// Quick without optimisation.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROS.len()).all(|chunk| *chunk == ZEROS[..chunk.len()])
}

static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// What a tool says; it must succeed.
fn tool(name: &str, args: &[&str]) -> String {
    let output = Command::new(name).args(args).output().unwrap_or_else(|error| panic!("{name}: {error}"));
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} {args:?}: {said}");
    said
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Values of `blkid -p -o export`.
fn blkid(path: &Path) -> Vec<String> {
    tool("blkid", &["-p", "-o", "export", text(path)]).lines().map(str::to_owned).collect()
}

fn request(label: TableKind, firmware: Firmware) -> PartitionRequest {
    PartitionRequest {
        label,
        firmware,
        root_mib: 80,
        swap_mib: 7,
        ephemeral_mib: 130,
        ephemeral_format: None,
        preserve_ephemeral: false,
    }
}

/// An ext4 image with these files, as `mke2fs -d` makes it.
fn root_image(folder: &Path, options: &[&str], files: &[(&str, &[u8])]) -> Vec<u8> {
    let tree = folder.join("tree");
    fs::create_dir_all(&tree).unwrap();
    for (path, content) in files {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let image = folder.join("root.img");
    let mut args = vec!["-q", "-F", "-U", "11111111-2222-4333-8444-555555555555"];
    args.extend(options);
    args.extend(["-d", text(&tree), text(&image), "64M"]);
    tool("mke2fs", &args);
    fs::read(image).unwrap()
}

fn noise(len: usize) -> Vec<u8> {
    (0..len as u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 21) as u8).collect()
}

#[test]
fn every_layout_satisfies_the_tools() {
    let drive = noise(500_000);
    for sector in [512, 4096] {
        for (label, firmware) in [
            (TableKind::Gpt, Firmware::Uefi),
            (TableKind::Gpt, Firmware::Bios),
            (TableKind::Dos, Firmware::Bios),
        ] {
            let disk = FileDisk::new(800 * MIB, sector);
            // What was there before, a sign every half MiB.
            for offset in (0..disk.size).step_by(MIB as usize / 2) {
                disk.fill(offset + 1080, 2, 0x53);
            }
            let request = request(label, firmware);
            let layout = Layout::plan(&request, Some(drive.len() as u64), &disk).unwrap();
            let veil = Veil::new(&disk, None);
            layout.furnish(&veil, Some(&drive)).unwrap();
            let image = root_image(disk._folder.path(), &["-t", "ext4"], &[("boot/efi/EFI/x", b"y")]);
            veil.write(layout.root().start, &image).unwrap();
            let made = layout.finish(&veil, image.len() as u64).unwrap();
            assert!(is_zero(&disk.bytes(0, MIB)), "nothing is revealed");
            assert!(is_zero(&disk.bytes(disk.size - MIB, MIB)), "nothing is revealed");
            disk.reveal(&layout, &veil);

            let roles: Vec<_> = made.partitions.iter().map(|part| part.role).collect();
            use PartitionRole::*;
            let first = match (label, firmware) {
                (_, Firmware::Uefi) => vec![Esp],
                (TableKind::Gpt, Firmware::Bios) => vec![BiosBoot],
                (TableKind::Dos, Firmware::Bios) => vec![],
            };
            assert_eq!(roles, [first, vec![Ephemeral, Swap, ConfigDrive, Root]].concat());
            assert_eq!(made.root_uuid, "11111111-2222-4333-8444-555555555555");
            assert_eq!(made.root_file_system, Some("ext4"));
            for pair in made.partitions.windows(2) {
                assert_eq!(pair[0].bytes.end, pair[1].bytes.start);
            }
            check_table(&disk, label, &made);
            check_contents(&disk, &made, &drive, sector);
        }
    }
}

fn check_table(disk: &FileDisk, label: TableKind, made: &PartitionsMade) {
    let mut head = disk.bytes(0, MIB);
    let read = crate::table::Table::inspect(&head, disk.sector, disk.size / u64::from(disk.sector)).unwrap();
    let partitions: Vec<_> = made.partitions.iter().map(|part| part.partition.clone()).collect();
    assert_eq!(read.partitions(), partitions);
    if label == TableKind::Gpt {
        let mut image = std::io::Cursor::new(&mut head);
        let other = gptman::GPTHeader::read_from(&mut std::io::BufReader::new({
            image.set_position(disk.sector.into());
            image
        }));
        assert!(other.is_ok());
    }
    if disk.sector == 512 && label == TableKind::Gpt {
        let said = tool("sgdisk", &["-v", text(&disk.path)]);
        assert!(said.contains("No problems found"), "{said}");
        let said = tool("sgdisk", &["-p", text(&disk.path)]);
        for part in &made.partitions {
            let code = match part.role {
                PartitionRole::Esp => "EF00  EFI system",
                PartitionRole::BiosBoot => "EF02  BIOS boot",
                PartitionRole::Swap => "8200  swap",
                PartitionRole::ConfigDrive => "8300  config-2",
                PartitionRole::Ephemeral => "8300  ephemeral",
                PartitionRole::Root => "8300  root",
            };
            assert!(said.contains(code), "{said}");
        }
    } else if label == TableKind::Dos {
        let found = blkid(&disk.path);
        assert!(found.contains(&"PTTYPE=dos".to_owned()), "{found:?}");
        let entries: Vec<(u8, u8)> = head[446..510].chunks(16).map(|entry| (entry[0], entry[4])).collect();
        assert_eq!(entries, [(0, 0x83), (0, 0x82), (0, 0x83), (0x80, 0x83)]);
    }
}

fn check_contents(disk: &FileDisk, made: &PartitionsMade, drive: &[u8], sector: u32) {
    for part in &made.partitions {
        let len = part.bytes.end - part.bytes.start;
        let cut = disk.cut(part);
        match part.role {
            PartitionRole::Esp => {
                tool("fsck.vfat", &["-n", text(&cut)]);
                let found = blkid(&cut);
                assert!(found.contains(&"VERSION=FAT32".to_owned()), "{found:?}");
                assert!(found.contains(&"LABEL=efi-part".to_owned()), "{found:?}");
                assert!(found.contains(&format!("UUID={}", made.esp_uuid.as_ref().unwrap())), "{found:?}");
                assert!(found.contains(&format!("BLOCK_SIZE={sector}")), "{found:?}");
                assert_eq!((made.esp_files, &made.esp_files_missing), (1, &None));
                assert_eq!(tool("mtype", &["-i", text(&cut), "::EFI/x"]), "y");
            }
            PartitionRole::BiosBoot => assert!(fs::read(cut).unwrap().iter().all(|byte| *byte == 0)),
            PartitionRole::Ephemeral => {
                tool("e2fsck", &["-fn", text(&cut)]);
                let found = blkid(&cut);
                assert!(found.contains(&"LABEL=ephemeral0".to_owned()), "{found:?}");
                assert!(found.contains(&"TYPE=ext4".to_owned()), "{found:?}");
            }
            PartitionRole::Swap => {
                let said = tool("swaplabel", &[text(&cut)]);
                assert!(said.contains("LABEL: swap1") && said.contains("UUID:"), "{said}");
                assert!(blkid(&cut).contains(&"TYPE=swap".to_owned()));
                // The kernel's limit: number of the last page.
                let last = &fs::read(cut).unwrap()[1028..1032];
                assert_eq!(last, ((len / 4096 - 1) as u32).to_le_bytes());
            }
            PartitionRole::ConfigDrive => {
                let content = fs::read(cut).unwrap();
                assert!(content.starts_with(drive));
                assert!(content[drive.len()..].iter().all(|byte| *byte == 0));
                assert_eq!(len, MIB);
            }
            PartitionRole::Root => {
                tool("e2fsck", &["-fn", text(&cut)]);
                assert!(is_zero(&disk.bytes(part.bytes.end - MIB, MIB)));
            }
        }
    }
}

#[test]
fn ext4_of_every_size_is_clean() {
    // Around what decides: journal, one group and two, a last group too small for its own tables, copies of the
    // descriptors, more than one block of them.
    let sizes = [
        (1, 0),
        (7, 0),
        (8, 0),
        (127, 0),
        (128, 0),
        (129, 0),
        (130, 3 * 4096 + 512),
        (131, 0),
        (256, 0),
        (257, 4096),
        (1024, 0),
        (1300, 0),
        (3333, 512),
        (9000, 0),
        (70_000, 0),
    ];
    for (mib, rest) in sizes {
        let len = mib * MIB + rest;
        let disk = FileDisk::new(len + 3 * MIB, 512);
        let veil = Veil::new(&disk, None);
        let start = if len > 2 * MIB { 2 * MIB } else { MIB };
        ext4::format(&veil, &(start..start + len), "ephemeral0", [9; 16]).unwrap();
        veil.lift().unwrap();
        let said = check_ext4(&disk, start);
        let journal = tool("dumpe2fs", &["-h", &format!("{}?offset={start}", text(&disk.path))]);
        assert_eq!(journal.contains("has_journal"), mib >= 8, "{mib} MiB: {journal}");
        assert!(said.contains("11/"), "{said}");
    }
}

fn check_ext4(disk: &FileDisk, start: u64) -> String {
    tool("e2fsck", &["-fn", &format!("{}?offset={start}", text(&disk.path))])
}

#[test]
fn the_backup_superblocks_of_ext4_are_valid() {
    let disk = FileDisk::new(1300 * MIB, 512);
    let veil = Veil::new(&disk, None);
    ext4::format(&veil, &(MIB..1299 * MIB), "ephemeral0", [9; 16]).unwrap();
    veil.lift().unwrap();
    let first = tool("dumpe2fs", &["-h", &format!("{}?offset={MIB}", text(&disk.path))]);
    for group in [1, 3, 5, 7, 9] {
        let start = MIB + (32768 * 4096 * group);
        let descriptors = |start: u64| disk.bytes(start + 4096, 4096);
        assert!(descriptors(start) == descriptors(MIB));
        let block = format!("superblock={}", 32768 * group);
        let path = format!("{}?offset={MIB}", text(&disk.path));
        // Its checksum is looked at; apart from that and its own number it says the same.
        let copy = tool("dumpe2fs", &["-h", "-o", &block, "-o", "blocksize=4096", &path]);
        let rest = |said: &str| -> Vec<String> {
            said.lines().filter(|line| !line.starts_with("Checksum:")).map(str::to_owned).collect()
        };
        assert_eq!(rest(&copy), rest(&first));
    }
}

#[test]
fn a_vfat_ephemeral_partition_has_any_size() {
    for sector in [512, 4096] {
        for mib in [3, 4, 16, 17, 64, 100, 513] {
            let mut request = request(TableKind::Gpt, Firmware::Bios);
            request.ephemeral_mib = mib;
            request.ephemeral_format = Some("vfat".into());
            request.root_mib = 8;
            let disk = FileDisk::new((mib + 32) * MIB, sector);
            let layout = Layout::plan(&request, None, &disk).unwrap();
            let veil = Veil::new(&disk, None);
            layout.furnish(&veil, None).unwrap();
            disk.reveal(&layout, &veil);
            let cut = disk.cut(layout.part(PartitionRole::Ephemeral).unwrap());
            tool("fsck.vfat", &["-n", text(&cut)]);
            assert!(blkid(&cut).contains(&"LABEL=ephemeral0".to_owned()));
        }
    }
}

#[test]
fn fat_suits_whole_mib_but_for_extremes() {
    for sector in [512, 4096] {
        let unfit: Vec<u64> = (1..700).filter(|mib| !fat::fits(mib * MIB, sector)).collect();
        assert!(unfit.is_empty(), "{sector}: {unfit:?}");
        assert!(fat::fits(1 << 40, sector));
    }
    assert!(!fat::fits(2 << 40, 512));
}

#[test]
fn what_is_impossible_is_refused_with_nothing_written() {
    let disk = FileDisk::new(1100 * MIB, 512);
    let gpt = request(TableKind::Gpt, Firmware::Uefi);
    let with = |change: &dyn Fn(&mut PartitionRequest)| {
        let mut request = gpt.clone();
        change(&mut request);
        Layout::plan(&request, None, &disk).unwrap_err()
    };
    // 1 MiB before, 16.5 KiB behind: 1098 MiB are left, of which 687 are for others.
    let fits = 1098 - 550 - 130 - 7;
    let mut exact = gpt.clone();
    exact.root_mib = fits;
    assert_eq!(Layout::plan(&exact, None, &disk).unwrap().root().end, 1099 * MIB);
    assert!(matches!(with(&|r| r.root_mib = fits + 1), LayoutError::DoesNotFit { .. }));
    assert!(matches!(with(&|r| r.root_mib = 0), LayoutError::NoRoot));
    assert!(matches!(with(&|r| r.root_mib = u64::MAX / 2), LayoutError::Overflow));
    assert!(matches!(with(&|r| r.swap_mib = u64::MAX >> 20), LayoutError::Overflow));
    assert!(matches!(with(&|r| r.ephemeral_format = Some("ntfs".into())), LayoutError::UnknownFormat { .. }));
    assert!(matches!(with(&|r| r.preserve_ephemeral = true), LayoutError::NothingToPreserve { .. }));
    let mut five = request(TableKind::Dos, Firmware::Uefi);
    five.root_mib = 10;
    let refused = Layout::plan(&five, Some(1), &disk).unwrap_err();
    assert!(matches!(refused, LayoutError::TooManyForMbr { count: 5 }));
    assert!(Layout::plan(&five, None, &disk).is_ok());

    let large = FileDisk::new(5 << 40, 512);
    let mut beyond = request(TableKind::Dos, Firmware::Bios);
    beyond.root_mib = 3 << 20;
    let refused = Layout::plan(&beyond, None, &large).unwrap_err();
    assert!(matches!(refused, LayoutError::BeyondMbr { role: PartitionRole::Root }), "{refused}");
    // The same in larger blocks is within them.
    assert!(Layout::plan(&beyond, None, &FileDisk::new(5 << 40, 4096)).is_ok());

    let layout = Layout::plan(&gpt, None, &disk).unwrap();
    assert!(layout.check_image(80 * MIB).is_ok());
    let refused = layout.check_image(80 * MIB + 1).unwrap_err();
    assert!(matches!(refused, LayoutError::ImageTooLarge { .. }));
    assert!(is_zero(&disk.bytes(0, disk.size)));
}

#[test]
fn a_kept_ephemeral_partition_stays_as_it_is() {
    for (label, firmware) in [(TableKind::Gpt, Firmware::Uefi), (TableKind::Dos, Firmware::Bios)] {
        for sector in [512, 4096] {
            let disk = FileDisk::new(800 * MIB, sector);
            let mut first = request(label, firmware);
            first.ephemeral_mib = 64;
            let layout = Layout::plan(&first, None, &disk).unwrap();
            let veil = Veil::new(&disk, None);
            layout.furnish(&veil, None).unwrap();
            disk.reveal(&layout, &veil);
            let before = layout.part(PartitionRole::Ephemeral).unwrap().clone();
            for offset in before.bytes.clone().step_by(MIB as usize) {
                disk.fill(offset, MIB, (offset >> 20) as u8 | 1);
            }
            let content = disk.bytes(before.bytes.start, 64 * MIB);

            let mut second = first.clone();
            second.preserve_ephemeral = true;
            second.swap_mib = 20;
            // A format that would be refused for a new one.
            second.ephemeral_format = None;
            let layout = Layout::plan(&second, Some(100), &disk).unwrap();
            let veil = Veil::new(&disk, None);
            layout.furnish(&veil, Some(&[1; 100])).unwrap();
            layout.finish(&veil, 0).unwrap();
            disk.reveal(&layout, &veil);
            let after = layout.part(PartitionRole::Ephemeral).unwrap();
            assert_eq!(&before, after);
            assert!(disk.bytes(after.bytes.start, 64 * MIB) == content);

            for change in [63, 65] {
                let mut moved = second.clone();
                moved.ephemeral_mib = change;
                let refused = Layout::plan(&moved, None, &disk).unwrap_err();
                assert!(matches!(refused, LayoutError::EphemeralMoved { .. }), "{refused}");
            }
        }
    }
}

#[test]
fn a_kept_ephemeral_partition_survives_an_interrupted_deployment() {
    for format in ["ext4", "vfat"] {
        let disk = FileDisk::new(800 * MIB, 512);
        let mut request = request(TableKind::Gpt, Firmware::Uefi);
        (request.ephemeral_mib, request.root_mib) = (70, 100);
        request.ephemeral_format = Some(format.into());
        let layout = Layout::plan(&request, None, &disk).unwrap();
        let veil = Veil::new(&disk, None);
        layout.furnish(&veil, None).unwrap();
        disk.reveal(&layout, &veil);
        let range = layout.part(PartitionRole::Ephemeral).unwrap().bytes.clone();
        let before = disk.bytes(range.start, 70 * MIB);
        request.preserve_ephemeral = true;
        for _ in 0..2 {
            let layout = Layout::plan(&request, None, &disk).unwrap();
            // Stops before anything is revealed.
            layout.furnish(&Veil::new(&disk, None), None).unwrap();
            assert!(is_zero(&disk.bytes(0, MIB)));
        }
        assert!(disk.bytes(range.start, 70 * MIB) == before);
        for change in [69, 71] {
            let mut moved = request.clone();
            moved.ephemeral_mib = change;
            let planned = Layout::plan(&moved, None, &disk);
            // A larger place may have been meant: ext4 leaves the end free.
            assert_eq!(planned.is_ok(), format == "ext4" && change == 71, "{format} {change}");
        }
        disk.fill(range.start + 1024 + 0x78, 1, 0);
        disk.fill(range.start + 71, 1, 0);
        disk.fill(range.start + 43, 1, 0);
        let refused = Layout::plan(&request, None, &disk).unwrap_err();
        assert!(matches!(refused, LayoutError::NothingToPreserve { .. }), "{refused}");
    }
}

#[test]
fn efi_files_are_copied_for_the_boot_manager() {
    let large = noise(3_000_001);
    for options in [&["-t", "ext4"][..], &["-t", "ext2"], &["-t", "ext4", "-b", "1024"], &["-t", "ext3"]] {
        let disk = FileDisk::new(800 * MIB, 512);
        let layout = Layout::plan(&request(TableKind::Gpt, Firmware::Uefi), None, &disk).unwrap();
        let files: [(&str, &[u8]); 4] = [
            ("boot/efi/EFI/debian/BOOTX64.CSV", b"csv"),
            ("boot/efi/EFI/debian/a long name with spaces.efi", &large),
            ("boot/efi/EFI/BOOT/BOOTX64.EFI", b""),
            ("etc/passwd", b"no"),
        ];
        let tree = disk._folder.path().join("tree/boot/efi/EFI/debian");
        fs::create_dir_all(&tree).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", tree.join("link")).unwrap();
        let image = root_image(disk._folder.path(), options, &files);
        let veil = Veil::new(&disk, None);
        layout.furnish(&veil, None).unwrap();
        veil.write(layout.root().start, &image).unwrap();
        let made = layout.finish(&veil, image.len() as u64).unwrap();
        assert_eq!((made.esp_files, made.esp_files_missing), (3, None));
        assert_eq!(made.root_file_system, Some(options[1]));
        let cut = disk.cut(layout.part(PartitionRole::Esp).unwrap());
        tool("fsck.vfat", &["-n", text(&cut)]);
        assert_eq!(tool("mtype", &["-i", text(&cut), "::EFI/debian/BOOTX64.CSV"]), "csv");
        let out = disk._folder.path().join("out");
        tool("mcopy", &["-i", text(&cut), "::EFI/debian/a long name with spaces.efi", text(&out)]);
        assert!(fs::read(out).unwrap() == large);
        let said = tool("mdir", &["-/", "-b", "-i", text(&cut)]);
        assert!(said.contains("BOOTX64.EFI") && !said.contains("link") && !said.contains("passwd"), "{said}");
    }
}

#[test]
fn images_without_efi_files_are_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let none = root_image(folder.path(), &["-t", "ext4"], &[("etc/fstab", b"")]);
    let mut encrypted = none.clone();
    encrypted[1024 + 0x62] |= 1;
    let mut swollen = none.clone();
    swollen[1024 + 0x150] = 1;
    let mut unlikely = none.clone();
    unlikely[1024 + 0x18] = 21;
    let mut xfs = vec![0; 8 << 20];
    xfs[..4].copy_from_slice(b"XFSB");
    xfs[32..48].copy_from_slice(&[0xab; 16]);
    let nothing = vec![0; 1 << 20];
    for (image, missing, uuid) in [
        (&none, None, Some("11111111-2222-4333-8444-555555555555")),
        (&encrypted, Some(""), Some("11111111-2222-4333-8444-555555555555")),
        (&swollen, Some("larger than its partition"), None),
        (&unlikely, Some("impossible sizes"), None),
        (&xfs, Some("the image holds xfs file system"), Some("abababab-abab-abab-abab-abababababab")),
        (&nothing, Some("no known file system"), None),
    ] {
        let disk = FileDisk::new(800 * MIB, 512);
        let layout = Layout::plan(&request(TableKind::Gpt, Firmware::Uefi), None, &disk).unwrap();
        let veil = Veil::new(&disk, None);
        layout.furnish(&veil, None).unwrap();
        veil.write(layout.root().start, image).unwrap();
        let made = layout.finish(&veil, image.len() as u64).unwrap();
        assert_eq!(made.esp_files, 0);
        match missing {
            None => assert_eq!(made.esp_files_missing, None),
            Some(why) => assert!(made.esp_files_missing.as_ref().unwrap().contains(why), "{made:?}"),
        }
        if let Some(uuid) = uuid {
            assert_eq!(made.root_uuid, uuid);
        }
        if std::ptr::eq(image, &nothing) {
            assert_eq!(made.root_uuid, *layout.parts.last().unwrap().partition.guid.as_ref().unwrap());
        }
    }
}

#[test]
fn names_that_fat_would_confuse_are_refused() {
    for files in
        [["EFI/debian/Grub.cfg", "EFI/debian/grub.cfg"], ["EFI/ends.", "EFI/ok"], ["EFI/a:b", "EFI/ok"]]
    {
        let disk = FileDisk::new(800 * MIB, 512);
        let layout = Layout::plan(&request(TableKind::Gpt, Firmware::Uefi), None, &disk).unwrap();
        let files = files.map(|path| (format!("boot/efi/{path}"), b"x"));
        let files = [(files[0].0.as_str(), &b"x"[..]), (files[1].0.as_str(), b"x")];
        let image = root_image(disk._folder.path(), &["-t", "ext4"], &files);
        let veil = Veil::new(&disk, None);
        layout.furnish(&veil, None).unwrap();
        veil.write(layout.root().start, &image).unwrap();
        let refused = layout.finish(&veil, image.len() as u64).unwrap_err();
        assert!(matches!(refused, LayoutError::EfiFile { .. }), "{refused}");
    }
}
