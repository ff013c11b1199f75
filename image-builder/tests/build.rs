//! Whole builds of synthetic inputs: what is in the results, that they are reproducible, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod synthetic;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tacit_image::build::{BuildRequest, build};
use tacit_image::info::{Info, Region};
use tacit_image::pe;
use tacit_image::profile::Profile;
use tacit_image::uki::Stub;
use tacit_protocol::ramdisk::ModuleManifest;
use tempfile::tempdir;

fn folder_contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

fn message(request: &BuildRequest) -> String {
    let error = build(request).unwrap_err();
    let mut text = error.to_string();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Bytes of one file of a newc archive, found by its name.
fn from_cpio<'a>(archive: &'a [u8], path: &str) -> Option<&'a [u8]> {
    let mut at = 0;
    loop {
        let field = |index: usize| {
            let text = str::from_utf8(&archive[at + 6 + index * 8..at + 14 + index * 8]).unwrap();
            usize::from_str_radix(text, 16).unwrap()
        };
        let (size, name_end) = (field(6), at + 110 + field(11));
        let name = &archive[at + 110..name_end - 1];
        let data = name_end.next_multiple_of(4);
        if name == path.as_bytes() {
            return Some(&archive[data..data + size]);
        }
        if name == b"TRAILER!!!" {
            return None;
        }
        at = (data + size).next_multiple_of(4);
    }
}

#[test]
fn equal_inputs_give_equal_bytes_elsewhere_and_later() {
    // FAT counts time in steps of two seconds, ISO 9660 in seconds.
    let step = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 2;
    let first = tempdir().unwrap();
    let started = step();
    build(&synthetic::request(first.path())).unwrap();
    while step() == started {
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = tempdir().unwrap();
    let deeper = second.path().join("a folder/with another name");
    fs::create_dir_all(&deeper).unwrap();
    build(&synthetic::request(&deeper)).unwrap();

    let (first, second) = (folder_contents(&first.path().join("out")), folder_contents(&deeper.join("out")));
    let names: Vec<_> = first.keys().collect();
    assert_eq!(names, ["initramfs.zst", "manifest.json", "tacit.efi", "tacit.iso", "vmlinuz"]);
    for (name, bytes) in &first {
        assert!(second[name] == *bytes, "{name} differs");
    }
}

#[test]
fn building_again_replaces_the_files() {
    let folder = tempdir().unwrap();
    let mut request = synthetic::request(folder.path());
    build(&request).unwrap();
    request.command_line = "quiet".into();
    build(&request).unwrap();
    let Info::Efi { command_line, .. } = Info::of(&request.out.join("tacit.efi")).unwrap() else {
        panic!("no EFI")
    };
    assert_eq!(command_line.as_deref(), Some("quiet"));
    assert_eq!(folder_contents(&request.out).len(), 5, "nothing temporary is left");
}

#[test]
fn the_ramdisk_holds_agent_modules_and_their_manifest() {
    let folder = tempdir().unwrap();
    let request = synthetic::request(folder.path());
    let built = build(&request).unwrap();
    assert_eq!(built.kernel, synthetic::KERNEL);
    assert_eq!(built.modules, ["crc32c_generic", "efivarfs", "net_failover", "virtio_net"]);
    assert_eq!(built.builtin, ["nvme"]);
    assert!(
        built.absent.contains(&"virtio_blk".to_owned()) && !built.absent.contains(&"virtio_net".to_owned())
    );

    let archive = zstd::decode_all(&fs::read(request.out.join("initramfs.zst")).unwrap()[..]).unwrap();
    let file = |path: &str| from_cpio(&archive, path).unwrap_or_else(|| panic!("no {path}"));
    assert_eq!(file("init"), fs::read(&request.agent).unwrap());
    assert_eq!(file("usr/lib/tacit/hardware-managers/vendor-raid"), b"#!/bin/vendor\n");
    assert_eq!(
        from_cpio(&archive, &format!("lib/modules/{}/kernel/drivers/unwanted.ko", synthetic::KERNEL)),
        None
    );

    let manifest: ModuleManifest = serde_json::from_slice(file("lib/tacit/modules.json")).unwrap();
    assert_eq!(manifest.kernel, synthetic::KERNEL);
    assert_eq!(manifest.always, ["efivarfs"]);
    let net = manifest.modules.iter().find(|module| module.name == "virtio_net").unwrap();
    assert_eq!(net.depends, ["net_failover", "crc32c_generic"]);
    assert_eq!(net.aliases, ["virtio:d00000001v*"]);
    let failover = manifest.modules.iter().find(|module| module.name == "net_failover").unwrap();
    assert!(failover.depends.is_empty(), "what is built in is not loaded");
    for module in &manifest.modules {
        assert!(
            file(module.path.trim_start_matches('/')).starts_with(b"\x7fELF"),
            "{} is unpacked",
            module.name
        );
    }
}

#[test]
fn the_uki_and_the_iso_hold_what_they_should() {
    let folder = tempdir().unwrap();
    let request = synthetic::request(folder.path());
    let built = build(&request).unwrap();

    let uki = fs::read(request.out.join("tacit.efi")).unwrap();
    let sections = pe::sections(&uki).unwrap();
    let content = |name: &str, length: usize| {
        let section = sections.iter().find(|section| section.name == name).unwrap();
        &uki[section.offset as usize..section.offset as usize + length]
    };
    let kernel = fs::read(request.out.join("vmlinuz")).unwrap();
    let initramfs = fs::read(request.out.join("initramfs.zst")).unwrap();
    assert_eq!(content(".linux", kernel.len()), kernel);
    assert_eq!(content(".initrd", initramfs.len()), initramfs);
    assert_eq!(content(".uname", synthetic::KERNEL.len()), synthetic::KERNEL.as_bytes());
    assert!(sections.windows(2).all(|pair| pair[0].address + pair[0].memory <= pair[1].address));

    match Info::of(&request.out.join("tacit.iso")).unwrap() {
        Info::Iso { region_offset, region: Region::NotConfigured, .. } => {
            assert_eq!(region_offset, built.region_offset);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(Info::of(&request.out), Ok(Info::Build(manifest)) if manifest == built));
    fs::write(request.out.join("vmlinuz"), b"forged").unwrap();
    assert!(Info::of(&request.out).unwrap_err().to_string().contains("vmlinuz is not valid"));
}

#[test]
fn packages_are_read_whatever_their_compression() {
    let folder = tempdir().unwrap();
    let mut request = synthetic::request(folder.path());
    let expected = build(&request).unwrap();
    for compression in ["", ".zst"] {
        request.kernel = folder.path().join("other.deb");
        fs::write(&request.kernel, synthetic::deb(&synthetic::kernel_files(), compression)).unwrap();
        assert_eq!(build(&request).unwrap(), expected);
    }
}

#[test]
fn the_stub_is_taken_out_of_its_package() {
    let folder = tempdir().unwrap();
    let mut request = synthetic::request(folder.path());
    let expected = build(&request).unwrap();
    let stub = fs::read(&request.stub).unwrap();
    let path = "./usr/lib/systemd/boot/efi/linuxx64.efi.stub".to_owned();
    fs::write(&request.stub, synthetic::deb(&[(path, stub)], ".xz")).unwrap();
    assert_eq!(build(&request).unwrap(), expected);
    request.stub = request.kernel.clone();
    let error = Stub::open(&request.stub).unwrap_err().to_string();
    assert!(error.contains("systemd-boot-efi"), "{error}");
}

#[test]
fn what_cannot_work_is_refused_by_name() {
    let folder = tempdir().unwrap();
    let whole = synthetic::request(folder.path());
    let expect = |change: &dyn Fn(&mut BuildRequest), parts: &[&str]| {
        let mut request = whole.clone();
        change(&mut request);
        let message = message(&request);
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        assert!(!request.out.join("tacit.iso").exists());
    };
    let kernel = |files: &[(String, Vec<u8>)]| {
        let path = folder.path().join("bad.deb");
        fs::write(&path, synthetic::deb(files, "")).unwrap();
        path
    };

    expect(&|request| request.stub = "/nowhere/stub".into(), &["/nowhere/stub", "systemd-boot-efi"]);
    expect(&|request| request.agent = request.kernel.clone(), &["kernel.deb", "ELF"]);
    expect(&|request| request.agent = std::env::current_exe().unwrap(), &["linked dynamically"]);
    expect(&|request| request.kernel = request.agent.clone(), &["agent", "not a usable Debian package"]);
    expect(&|request| request.modules = vec!["no-such".into()], &["no_such", "kernel.deb"]);
    expect(&|request| request.modules = vec!["unwanted".into()], &["gone", "wanted by unwanted"]);
    expect(&|request| request.command_line = "x".repeat(2048), &["2048 bytes"]);
    expect(
        &|request| request.kernel = kernel(&[("./etc/passwd".into(), vec![])]),
        &["/boot/vmlinuz-VERSION"],
    );
    expect(&|request| request.kernel = kernel(&synthetic::kernel_files()[..1]), &["no kernel module"]);

    let mut files = synthetic::kernel_files();
    files[0].1 = b"not a kernel".to_vec();
    expect(&|request| request.kernel = kernel(&files), &["bad.deb cannot be started by UEFI", "MZ"]);
    files = synthetic::kernel_files();
    files[3].1.truncate(70);
    expect(&|request| request.kernel = kernel(&files), &["net_failover is damaged"]);
    files = synthetic::kernel_files();
    files[0].1 = synthetic::pe(33 * 1024 * 1024);
    expect(&|request| request.kernel = kernel(&files), &["33554432"]);

    let package = fs::read(&whole.kernel).unwrap();
    let cut = folder.path().join("cut.deb");
    for length in [0, 8, 70, 200, package.len() / 2] {
        fs::write(&cut, &package[..length]).unwrap();
        expect(&|request| request.kernel = cut.clone(), &["cut.deb"]);
    }
}

#[test]
fn programs_bring_the_libraries_that_they_need() {
    let folder = tempdir().unwrap();
    // As small as a dynamic program can be: archives of large ones take their time.
    let own = Path::new("/bin/true");
    let listed = std::process::Command::new("ldd").arg(own).output().unwrap();
    let libraries: Vec<String> = String::from_utf8(listed.stdout)
        .unwrap()
        .split_ascii_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(str::to_owned)
        .collect();
    let file = |path: &str| (path.trim_start_matches('/').to_owned(), fs::read(path).unwrap());
    let mut program = vec![("usr/sbin/tool".to_owned(), fs::read(own).unwrap())];
    program.push(("usr/share/doc/tool/README".to_owned(), b"text".to_vec()));
    let libraries: Vec<(String, Vec<u8>)> = libraries.iter().map(|path| file(path)).collect();

    let mut request = synthetic::request(folder.path());
    let package = |name: &str, files: &[(String, Vec<u8>)]| {
        let path = folder.path().join(name);
        fs::write(&path, synthetic::deb(files, "")).unwrap();
        path
    };
    request.packages = vec![package("tool.deb", &program)];
    request.programs = vec!["/usr/sbin/tool".into()];
    let text = message(&request);
    assert!(text.contains("is in none of the packages (wanted by sbin/tool)"), "{text}");
    request.programs = vec!["sbin/other".into()];
    assert!(message(&request).contains("sbin/other is in none of the packages (wanted by the caller)"));

    request.packages.push(package("libc6.deb", &libraries));
    request.programs = vec!["sbin/tool".into()];
    build(&request).unwrap();
    let ramdisk = fs::read(request.out.join("initramfs.zst")).unwrap();
    let archive = zstd::stream::decode_all(&ramdisk[..]).unwrap();
    assert_eq!(from_cpio(&archive, "sbin/tool"), Some(program[0].1.as_slice()));
    assert!(from_cpio(&archive, "lib/libc.so.6").is_some());
    assert!(from_cpio(&archive, "lib64/ld-linux-x86-64.so.2").is_some());
    assert!(from_cpio(&archive, "share/doc/tool/README").is_none());
}

#[test]
fn a_ramdisk_for_ironic_says_so_and_carries_the_bridges_authority() {
    let folder = tempdir().unwrap();
    let mut request = synthetic::request(folder.path());
    let of = |request: &BuildRequest, path: &str| {
        build(request).unwrap();
        let initramfs = folder_contents(&request.out).remove("initramfs.zst").unwrap();
        from_cpio(&zstd::decode_all(&initramfs[..]).unwrap(), path).map(<[u8]>::to_vec)
    };
    assert_eq!(of(&request, "etc/tacit/ironic"), None);
    request.profile = Profile::Ironic;
    assert_eq!(of(&request, "etc/tacit/ironic"), Some(Vec::new()));
    assert_eq!(of(&request, "etc/tacit/bridge-ca.pem"), None);

    let authority = folder.path().join("ca.pem");
    let mut params = rcgen::CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    let pem = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
    std::fs::write(&authority, &pem).unwrap();
    request.bridge_ca = Some(authority.clone());
    assert_eq!(of(&request, "etc/tacit/bridge-ca.pem").as_deref(), Some(pem.as_bytes()));
    assert_eq!(of(&request, "etc/tacit/ironic").as_deref(), Some(&b"1704067200\n"[..]));

    request.rescue = Some(request.hardware_managers[0].clone());
    assert_eq!(of(&request, "usr/lib/tacit/rescue").as_deref(), Some(&b"#!/bin/vendor\n"[..]));

    std::fs::write(&authority, format!("{pem}-----BEGIN PRIVATE KEY-----\n")).unwrap();
    assert!(message(&request).contains("private key"), "{}", message(&request));
    for none in ["no certificate", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&authority, none).unwrap();
        assert!(message(&request).contains("no certificate"));
    }
    std::fs::write(&authority, &pem).unwrap();
    request.profile = Profile::Server;
    assert!(message(&request).contains("profile ironic"));
}
