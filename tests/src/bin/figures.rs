//! The figures that are shown: sizes of agent and ramdisk, memory of agent and conductor.
//!
//! `figures AGENT MEDIA-DIRECTORY`: the agent that ships (a static binary) writes a 4 GiB image, fetched over lent
//! connections, to a disk of the loop driver.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use sha2::{Digest, Sha512};
use tacit_tests::desk::{Site, write_table};

const GIB: u64 = 1 << 30;
const MIB: f64 = (1 << 20) as f64;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let agent = arguments.next().context("usage: figures AGENT MEDIA-DIRECTORY")?;
    let media = arguments.next().context("usage: figures AGENT MEDIA-DIRECTORY")?;
    let size = |path: &Path| Ok::<_, anyhow::Error>(std::fs::metadata(path)?.len() as f64 / MIB);
    println!("agent, static, stripped        {:8.1} MiB", size(&agent)?);
    let (kernel, ramdisk) = (size(&media.join("vmlinuz"))?, size(&media.join("initramfs.zst"))?);
    println!("kernel + initramfs             {:8.1} MiB = {kernel:.1} + {ramdisk:.1}", kernel + ramdisk);

    let site = Site::start_with(5 * GIB, &[], Some(agent), &[]).await?;
    println!(
        "conductor, idle                {:8.1} MiB resident",
        site.conductor.resident_bytes()? as f64 / MIB
    );
    let image = site.image_dir()?.join("four-gib.raw");
    let sha512 = make_image(&image)?;
    site.enroll().await?;
    site.file_image_is(&image, &sha512).await?;
    let started = Instant::now();
    site.verb("active").await?;
    let mut peak = 0;
    while !site.is_settled().await? {
        // Gone between two steps: the machine is powered off at the end.
        peak = peak.max(site.machine.agent_peak_bytes().unwrap_or(0));
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    site.settles_in("active").await?;
    println!("agent, peak in a 4 GiB write   {:8.1} MiB resident", peak as f64 / MIB);
    println!(
        "whole deployment of 4 GiB      {seconds:8.1} s = {:.0} MiB/s with boot and all",
        4096.0 / seconds
    );
    println!(
        "conductor, after the relay     {:8.1} MiB resident",
        site.conductor.resident_bytes()? as f64 / MIB
    );
    Ok(())
}

/// A GPT image of 4 GiB: 1 GiB of incompressible bytes, then zeros, which a raw image has to write all the same.
fn make_image(path: &Path) -> Result<String> {
    let mut file = File::create_new(path)?;
    file.set_len(4 * GIB)?;
    let mut random = File::open("/dev/urandom")?;
    let mut buffer = vec![0; 1 << 20];
    file.seek(SeekFrom::Start(1 << 20))?;
    for _ in 0..1024 {
        random.read_exact(&mut buffer)?;
        file.write_all(&buffer)?;
    }
    drop(file);
    let mut file = File::options().read(true).write(true).open(path)?;
    write_table(&mut file)?;
    file.seek(SeekFrom::Start(0))?;
    let mut hash = Sha512::new();
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
