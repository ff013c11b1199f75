//! Inputs of a build, made by the test itself: a kernel package, an agent and an EFI stub, each as small as it can be.

use std::path::{Path, PathBuf};

use tacit_image::build::BuildRequest;
use tacit_image::profile::Profile;

pub(crate) const KERNEL: &str = "6.1.0-7-test-amd64";

/// Compressed size must not matter: bytes that do not compress.
pub(crate) fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    })
    .take(length)
    .collect()
}

/// A 64-bit ELF file with the sections given and no program headers.
pub(crate) fn elf(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut names = b"\0.shstrtab\0".to_vec();
    let mut image = vec![0; 64];
    let mut headers = vec![0; 64];
    let header = |name: u32, kind: u32, offset: usize, size: usize| {
        let mut header = vec![0; 64];
        header[..4].copy_from_slice(&name.to_le_bytes());
        header[4..8].copy_from_slice(&kind.to_le_bytes());
        header[24..32].copy_from_slice(&(offset as u64).to_le_bytes());
        header[32..40].copy_from_slice(&(size as u64).to_le_bytes());
        header
    };
    for (name, data) in sections {
        headers.extend(header(names.len() as u32, 1, image.len(), data.len()));
        names.extend_from_slice(name.as_bytes());
        names.push(0);
        image.extend_from_slice(data);
    }
    headers.extend(header(1, 3, image.len(), names.len()));
    image.extend(names);

    image[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    image[16..20].copy_from_slice(&[2, 0, 62, 0]);
    image[20] = 1;
    let offset = image.len() as u64;
    image[40..48].copy_from_slice(&offset.to_le_bytes());
    image[52] = 64;
    image[54] = 56;
    image[58] = 64;
    image[60] = sections.len() as u8 + 2;
    image[62] = sections.len() as u8 + 1;
    image.extend(headers);
    image
}

/// A kernel module that says `modinfo` (lines) about itself.
pub(crate) fn module(modinfo: &str) -> Vec<u8> {
    elf(&[(".text", b"code"), (".modinfo", modinfo.replace('\n', "\0").as_bytes())])
}

/// An EFI program with one section of `size` bytes.
pub(crate) fn pe(size: usize) -> Vec<u8> {
    let mut image = vec![0; 0x400];
    let mut put = |offset: usize, bytes: &[u8]| image[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(60, &[0x40]);
    put(0x40, b"PE\0\0\x64\x86\x01\x00");
    put(0x40 + 20, &[240]);
    put(0x58, &[0x0b, 0x02]);
    let memory = (0x1000 + size).next_multiple_of(0x1000) as u32;
    let file = size.next_multiple_of(0x200) as u32;
    for (field, value) in [(32, 0x1000), (36, 0x200), (56, memory), (60, 0x400), (108, 16)] {
        put(0x58 + field, &u32::to_le_bytes(value));
    }
    put(0x148, b".text");
    for (field, value) in [(8, size as u32), (12, 0x1000), (16, file), (20, 0x400)] {
        put(0x148 + field, &u32::to_le_bytes(value));
    }
    image.extend(noise(file as usize, 3));
    image
}

/// A Debian package whose `data.tar` is compressed as `compression` says.
pub(crate) fn deb(files: &[(String, Vec<u8>)], compression: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, contents) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, &contents[..]).unwrap();
    }
    let tar = tar.into_inner().unwrap();
    let data = match compression {
        "" => tar,
        ".xz" => xz(&tar),
        ".zst" => zstd::encode_all(&tar[..], 3).unwrap(),
        other => panic!("unknown compression {other}"),
    };
    let mut package = b"!<arch>\n".to_vec();
    for (name, contents) in [
        ("debian-binary", &b"2.0\n"[..]),
        ("control.tar.xz", &b"of odd length"[..]),
        (&format!("data.tar{compression}"), &data),
    ] {
        package.extend(
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100644, contents.len()).bytes(),
        );
        package.extend_from_slice(contents);
        if contents.len() % 2 == 1 {
            package.push(b'\n');
        }
    }
    package
}

pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut packed = Vec::new();
    liblzma::read::XzEncoder::new(bytes, 6).read_to_end(&mut packed).unwrap();
    packed
}

/// Files of a kernel package: modules packed in three ways, one built in, a soft dependency on an algorithm.
pub(crate) fn kernel_files() -> Vec<(String, Vec<u8>)> {
    let at = |path: &str| format!("./usr/lib/modules/{KERNEL}/{path}");
    let net =
        module("name=virtio_net\ndepends=net-failover\nalias=virtio:d00000001v*\nsoftdep=pre: crc32c\n");
    vec![
        (format!("./boot/vmlinuz-{KERNEL}"), pe(300_000)),
        (at("modules.builtin"), b"kernel/drivers/nvme/host/nvme.ko\nkernel/lib/built-in.ko\n".to_vec()),
        (at("kernel/drivers/net/virtio_net.ko.xz"), xz(&net)),
        (at("kernel/drivers/net/net-failover.ko"), module("name=net_failover\ndepends=built_in\n")),
        (
            at("kernel/fs/efivarfs.ko.zst"),
            zstd::encode_all(&module("alias=fs-efivarfs\ndepends=\n")[..], 3).unwrap(),
        ),
        (at("kernel/crypto/crc32c_generic.ko"), module("alias=crc32c\nalias=crypto-crc32c\n")),
        (at("kernel/crypto/other.ko"), module("alias=crypto-other\n")),
        (at("kernel/drivers/unwanted.ko"), module("name=unwanted\ndepends=gone\n")),
    ]
}

/// Writes all inputs into `folder` and asks for a build of them into `folder/out`.
pub(crate) fn request(folder: &Path) -> BuildRequest {
    let put = |name: &str, contents: &[u8]| -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, contents).unwrap();
        path
    };
    let agent = elf(&[(".text", &noise(100_000, 9))]);
    BuildRequest {
        kernel: put("kernel.deb", &deb(&kernel_files(), ".xz")),
        agent: put("agent", &agent),
        stub: put("stub", &pe(5000)),
        out: folder.join("out"),
        profile: Profile::Virtual,
        programs: Vec::new(),
        packages: Vec::new(),
        bridge_ca: None,
        rescue: None,
        command_line: "console=ttyS0".into(),
        modules: Vec::new(),
        hardware_managers: vec![put("vendor-raid", b"#!/bin/vendor\n")],
    }
}
