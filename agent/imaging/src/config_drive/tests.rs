use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::config_drive::rebuild::*;

fn packed(bytes: &[u8]) -> String {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    BASE64.encode(encoder.finish().unwrap())
}

#[test]
fn packed_plain_and_wrapped_drives_are_decoded() {
    let drive = b"CD001 and so on".repeat(100);
    let text = packed(&drive);
    assert_eq!(decode_config_drive(&text).unwrap(), drive);
    let wrapped: String = text.chars().flat_map(|c| [c, '\n']).collect();
    assert_eq!(decode_config_drive(&wrapped).unwrap(), drive);
    assert_eq!(decode_config_drive(&BASE64.encode(&drive)).unwrap(), drive);
}

#[test]
fn inflating_stops_at_the_limit() {
    let bomb = packed(&vec![0; MAX_CONFIG_DRIVE_BYTES as usize + 1]);
    assert!(bomb.len() < 1 << 20);
    assert!(matches!(decode_config_drive(&bomb), Err(ConfigDriveError::TooLarge)));
    let largest = packed(&vec![0; MAX_CONFIG_DRIVE_BYTES as usize]);
    assert_eq!(decode_config_drive(&largest).unwrap().len() as u64, MAX_CONFIG_DRIVE_BYTES);
}

#[test]
fn damaged_drives_are_refused() {
    assert!(matches!(decode_config_drive("*"), Err(ConfigDriveError::Base64 { .. })));
    assert!(matches!(decode_config_drive(" \n"), Err(ConfigDriveError::Empty)));
    let text = packed(&[5; 5000]);
    assert!(matches!(decode_config_drive(&text[..text.len() / 8 * 4]), Err(ConfigDriveError::Gzip { .. })));
}

#[test]
fn what_a_url_serves_is_taken_in_all_forms() {
    let folder = tempfile::tempdir().unwrap();
    let iso = iso(folder.path(), &["-J", "-R"]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&iso).unwrap();
    let gzip = encoder.finish().unwrap();
    let fat = fit_config_drive(iso.clone(), 512, true).unwrap();
    for (served, drive) in [
        (packed(&iso).into_bytes(), &iso),
        (format!("{}\n", BASE64.encode(&iso)).into_bytes(), &iso),
        (gzip, &iso),
        (iso.clone(), &iso),
        (fat.clone(), &fat),
        (BASE64.encode(&fat).into_bytes(), &fat),
    ] {
        assert!(decode_served_config_drive(served).unwrap() == *drive);
    }
    for (served, is_expected) in [
        (b"<html>404</html>".to_vec(), (|error| matches!(error, ConfigDriveError::Unknown)) as fn(_) -> bool),
        (vec![0; 100_000], |error| matches!(error, ConfigDriveError::Unknown)),
        (Vec::new(), |error| matches!(error, ConfigDriveError::Empty)),
        (vec![0; (64 << 20) + 1], |error| matches!(error, ConfigDriveError::TooLarge)),
        (b"\x1f\x8bno".to_vec(), |error| matches!(error, ConfigDriveError::Gzip { .. })),
    ] {
        assert!(is_expected(decode_served_config_drive(served).unwrap_err()));
    }
}

/// Path and content of every file; folders have none.
type Tree = std::collections::BTreeMap<String, Option<Vec<u8>>>;

fn tree_of(folder: &Path) -> Tree {
    fn add(folder: &Path, prefix: &str, tree: &mut Tree) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{prefix}{}", entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_symlink() {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                add(&entry.path(), &format!("{path}/"), tree);
                tree.insert(path, None);
            } else {
                tree.insert(path, Some(fs::read(entry.path()).unwrap()));
            }
        }
    }
    let mut tree = Tree::new();
    add(folder, "", &mut tree);
    tree
}

fn listed(iso: &[u8]) -> Tree {
    let nodes = iso9660::list(iso).unwrap();
    let tree: Tree = nodes
        .iter()
        .map(|node| (node.path.clone(), node.content.clone().map(|content| iso[content].to_vec())))
        .collect();
    assert_eq!(tree.len(), nodes.len());
    tree
}

/// What OpenStack puts on a config drive, and what makes it harder to read.
fn files(folder: &Path) -> PathBuf {
    let root = folder.join("files");
    for (path, content) in [
        ("openstack/latest/meta_data.json", &b"{\"uuid\": \"1\"}"[..]),
        ("openstack/latest/network_data.json", b"{}"),
        ("openstack/latest/vendor_data2.json", b""),
        ("openstack/latest/user_data", &[0xc3; 70_000]),
        ("openstack/2012-08-10/meta_data.json", b"older"),
        ("openstack/content/0000", &[7; 2048]),
        ("ec2/latest/meta-data.json", &[8; 2049]),
        ("a name that is a bit longer than most, and has spaces.Text", b"x"),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    root
}

fn iso_of(root: &Path, options: &[&str]) -> Vec<u8> {
    let image = root.with_extension("iso");
    let mut command = Command::new("xorriso");
    command
        .args(["-as", "mkisofs", "-quiet", "-V", "config-2"])
        .args(options)
        .arg("-o")
        .args([&image])
        .arg(root);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read(image).unwrap()
}

fn iso(folder: &Path, options: &[&str]) -> Vec<u8> {
    iso_of(&files(folder), options)
}

#[test]
fn iso_images_are_read_with_their_best_names() {
    let folder = tempfile::tempdir().unwrap();
    let root = files(folder.path());
    for options in [&["-R"][..], &["-J", "-R"], &["--norock", "-J"], &["-r", "-J", "-l", "-allow-lowercase"]]
    {
        assert_eq!(listed(&iso_of(&root, options)), tree_of(&root), "{options:?}");
    }
    // Names that no extension is needed for.
    let plain = folder.path().join("plain");
    fs::create_dir_all(plain.join("ec2/latest")).unwrap();
    fs::write(plain.join("ec2/latest/userdata"), b"1").unwrap();
    fs::write(plain.join("ec2/latest/meta.jsn"), b"2").unwrap();
    let iso = iso_of(&plain, &["--norock", "-iso-level", "1"]);
    assert!(!iso.windows(4).any(|window| window == b"RRIP"), "the plain names are read");
    assert_eq!(listed(&iso), tree_of(&plain));
}

#[test]
fn hard_cases_of_rock_ridge_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let root = files(folder.path());
    // Deeper than the standard allows; a name that goes on in another place; a link; a folder of several blocks.
    let deep = root.join("1/2/3/4/5/6/7/8/9/10");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("x"), b"deep").unwrap();
    fs::write(root.join("n".repeat(250)), b"long").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", root.join("link")).unwrap();
    fs::create_dir(root.join("many")).unwrap();
    for index in 0..300 {
        fs::write(root.join(format!("many/file {index} äöü")), index.to_string()).unwrap();
    }
    for options in [&["-R"][..], &["-R", "-D"], &["-R", "-rr_reloc_dir", "/"], &["-R", "-J"]] {
        let iso = iso_of(&root, options);
        let mut found = listed(&iso);
        found.remove("rr_moved");
        assert_eq!(found, tree_of(&root), "{options:?}");
    }
}

#[test]
fn a_rebuilt_drive_holds_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let root = files(folder.path());
    fs::create_dir(root.join("many")).unwrap();
    for index in 0..200 {
        fs::write(root.join(format!("many/a file with a long name, number {index}")), [index; 1000]).unwrap();
    }
    for sector in [512, 4096] {
        let iso = iso_of(&root, &["-R"]);
        let fat = fit_config_drive(iso.clone(), sector, true).unwrap();
        assert!(is_mountable(&fat, sector));
        let image = folder.path().join("fat");
        fs::write(&image, &fat).unwrap();
        let run = |name: &str, args: &[&str]| {
            let output = Command::new(name).args(args).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{name}: {said}{}", String::from_utf8_lossy(&output.stderr));
            said
        };
        let image = image.to_str().unwrap();
        run("fsck.vfat", &["-n", image]);
        let said = run("blkid", &["-p", "-o", "export", image]);
        assert!(
            said.contains("LABEL=CONFIG-2\n") && said.contains(&format!("BLOCK_SIZE={sector}\n")),
            "{said}"
        );
        let out = folder.path().join(format!("out{sector}"));
        fs::create_dir(&out).unwrap();
        run("mcopy", &["-s", "-m", "-i", image, "::/", out.to_str().unwrap()]);
        assert_eq!(tree_of(&out), tree_of(&root));
        assert!(fat.len() < iso.len() * 4, "{} for {}", fat.len(), iso.len());
    }
}

#[test]
fn drives_are_rebuilt_only_where_they_must_be() {
    let folder = tempfile::tempdir().unwrap();
    let iso = iso(folder.path(), &["-R"]);
    for (sector, rebuild, kept) in
        [(512, false, true), (512, true, false), (4096, false, false), (4096, true, false)]
    {
        let fitted = fit_config_drive(iso.clone(), sector, rebuild).unwrap();
        assert_eq!(fitted == iso, kept, "{sector} {rebuild}");
        assert!(is_mountable(&fitted, sector));
    }
    assert!(!is_mountable(&iso, 4096));
    let fat = fit_config_drive(iso, 512, true).unwrap();
    assert!(fit_config_drive(fat.clone(), 4096, true).unwrap() == fat);
    assert!(!is_mountable(&fat, 4096));
}

#[test]
fn drives_that_fat_cannot_hold_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = files(folder.path());
    fs::write(root.join("openstack/USER"), b"").unwrap();
    fs::write(root.join("openstack/user"), b"").unwrap();
    let error = fit_config_drive(iso_of(&root, &["-R"]), 512, true).unwrap_err();
    assert!(
        matches!(&error, ConfigDriveError::Rebuild { path, .. } if path.starts_with("openstack/")),
        "{error}"
    );
    let large = folder.path().join("large");
    fs::create_dir(&large).unwrap();
    fs::write(large.join("x"), vec![1; 64 << 20]).unwrap();
    let error = fit_config_drive(iso_of(&large, &["-R"]), 512, true).unwrap_err();
    assert!(matches!(error, ConfigDriveError::TooLarge), "{error}");
    fs::write(large.join("x"), vec![1; 63 << 20]).unwrap();
    assert!(fit_config_drive(iso_of(&large, &["-R"]), 4096, true).is_ok());
}

#[test]
fn folders_that_contain_themselves_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = files(folder.path());
    let mut iso = iso_of(&root, &["--norock", "-J"]);
    // The first folder in the root of the Joliet tree becomes the root.
    let descriptor = 17 * 2048;
    assert_eq!(iso[descriptor], 2);
    let extent = iso[descriptor + 156 + 2..descriptor + 156 + 18].to_vec();
    let start = u32::from_le_bytes(extent[..4].try_into().unwrap()) as usize * 2048;
    let mut at = start;
    while iso[at + 25] & 2 == 0 || iso[at + 32] == 1 {
        at += usize::from(iso[at]);
    }
    iso[at + 2..at + 18].copy_from_slice(&extent);
    assert_eq!(iso9660::list(&iso).unwrap_err(), "a folder has more than one place");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_isos_are_refused_or_read(changes in prop::collection::vec((0..60_000usize, any::<u8>()), 1..20), cut in 0..80_000usize) {
        static ISOS: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
            let folder = tempfile::tempdir().unwrap();
            [&["-R"][..], &["--norock", "-J"], &["--norock", "-iso-level", "2"]].map(|options| iso(folder.path(), options))
        });
        for iso in ISOS.iter() {
            let mut iso = iso.clone();
            let len = iso.len();
            for (at, value) in &changes {
                iso[32768 + at % (len.min(90_000) - 32768)] = *value;
            }
            iso.truncate(iso.len() - cut.min(iso.len() - 32768) * usize::from(cut % 3 == 0));
            if let Ok(nodes) = iso9660::list(&iso) {
                let bytes: usize = nodes.iter().filter_map(|node| node.content.clone()).map(|content| iso[content].len()).sum();
                prop_assert!(bytes <= iso.len() && nodes.len() <= 4096);
            }
            drop(fit_config_drive(iso, 4096, true));
        }
    }
}
