//! Memory stays the same, however large the image is. The only test of its binary: it looks at the whole process.
#![expect(clippy::unwrap_used, reason = "tests panic on purpose")]

use std::io::{self, Read};

use tacit_imaging::{
    ExpectedDigest, Observer, Opened, Progress, Source, SourceError, Target, TargetError, WriteRequest,
    write_image,
};

const MIB: usize = 1 << 20;
const IMAGE: u64 = 1 << 30;

/// An image with a table and a GiB of repeated noise, made while it is read.
#[derive(Clone)]
struct Endless {
    head: Vec<u8>,
    at: u64,
}

impl Read for Endless {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let index = self.at as usize;
        let from = if index < MIB { &self.head[index..MIB] } else { &self.head[MIB + index % MIB..] };
        let len = from.len().min(buf.len()).min((IMAGE - self.at) as usize);
        buf[..len].copy_from_slice(&from[..len]);
        self.at += len as u64;
        Ok(len)
    }
}

impl Source for Endless {
    fn describe(&self) -> String {
        "a large image".into()
    }

    fn open(&mut self, offset: u64, _: Option<u64>, _: Option<&str>) -> Result<Opened, SourceError> {
        let reader = Box::new(Self { head: self.head.clone(), at: offset });
        Ok(Opened { reader, total: Some(IMAGE), etag: None, offset })
    }
}

/// A disk that keeps its edges.
struct Shallow(std::sync::Mutex<Vec<(u64, Vec<u8>)>>);

impl Target for Shallow {
    fn describe(&self) -> String {
        "a large disk".into()
    }

    fn size_bytes(&self) -> u64 {
        2 * IMAGE
    }

    fn logical_sector(&self) -> u32 {
        512
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), TargetError> {
        buf.fill(0);
        for (start, bytes) in self.0.lock().unwrap().iter() {
            if let Some(at) = start.checked_sub(offset).map(|at| at as usize)
                && at < buf.len()
            {
                let len = bytes.len().min(buf.len() - at);
                buf[at..at + len].copy_from_slice(&bytes[..len]);
            }
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), TargetError> {
        if offset < MIB as u64 || offset >= 2 * IMAGE - MIB as u64 {
            self.0.lock().unwrap().push((offset, buf.to_vec()));
        }
        Ok(())
    }

    fn zero(&self, _: u64, _: u64) -> Result<(), TargetError> {
        Ok(())
    }

    fn flush(&self) -> Result<(), TargetError> {
        Ok(())
    }

    fn reread_partition_table(&self) -> Result<(), TargetError> {
        Ok(())
    }
}

struct Nobody;

impl Observer for Nobody {
    fn progress(&self, _: &Progress) {}

    fn cancelled(&self) -> bool {
        false
    }
}

/// An MBR with one partition, and a MiB that is not zero after the first.
fn head() -> Vec<u8> {
    let mut head = vec![0x77; 2 * MIB];
    head[446..510].fill(0);
    head[450] = 0x83;
    head[454..458].copy_from_slice(&2048u32.to_le_bytes());
    head[458..462].copy_from_slice(&((IMAGE / 512) as u32 - 2048).to_le_bytes());
    head[510..512].copy_from_slice(&[0x55, 0xaa]);
    head
}

fn peak_rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn a_large_image_takes_less_than_48_mib() {
    let source = Endless { head: head(), at: 0 };
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let mut reader = source.clone();
    let mut buf = vec![0; MIB];
    loop {
        let read = reader.read(&mut buf).unwrap();
        if read == 0 {
            break;
        }
        context.update(&buf[..read]);
    }
    let hex: String = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let request = WriteRequest {
        digests: vec![ExpectedDigest::parse(None, &hex, tacit_imaging::Md5::Refused).unwrap()],
        ..WriteRequest::new(vec![Box::new(source)])
    };
    let written = write_image(request, &Shallow(std::sync::Mutex::default()), &Nobody).unwrap();
    assert_eq!(written.target_bytes, IMAGE);
    let peak = peak_rss();
    eprintln!("peak of resident memory: {} KiB", peak >> 10);
    assert!(peak < 48 << 20, "{peak} bytes");
}
