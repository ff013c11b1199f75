//! The lab itself: it comes up, its BMC works, it sees a node that is not silent, the small image boots, nothing is left.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tacit_tests::lab::{Lab, LabOptions};
use tacit_tests::stages::Stages;
use tacit_tests::workspace;

#[test]
fn lab_comes_up_watches_and_goes_away() -> Result<()> {
    let mut stages = Stages::new("lab");
    let lab = stages.run("start", || Lab::start(LabOptions::default()))?;
    let namespace = lab.network().name().to_owned();
    let files = lab.files().to_owned();

    stages.run("network boot with nobody to answer", || {
        ensure!(lab.bmc.power_state()? == "Off", "a new server is off");
        lab.bmc.boot_from("Pxe")?;
        lab.bmc.power(true)?;
        // The positive control of the proof of silence: both witnesses must see a machine that does dial out.
        let deadline = Instant::now() + Duration::from_secs(120);
        while lab.link.dropped_starts()? == 0 || lab.link.summary(|_| true)?.started.is_empty() {
            ensure!(
                Instant::now() < deadline,
                "firmware's network boot was not seen: {}",
                lab.link.summary(|_| true)?
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        lab.bmc.power(false)?;
        lab.bmc.boot_from("Hdd")
    })?;
    eprintln!("{}", lab.link.summary(|_| true)?);

    stages.run("start the small image from the disk", || {
        let image = std::fs::read(workspace::image("tiny.raw")?)?;
        use std::io::Write;
        std::fs::OpenOptions::new().write(true).open(&lab.server.disk)?.write_all(&image)?;
        let mark = lab.serial.mark();
        lab.bmc.power(true)?;
        let line = lab.serial.wait_for_line(
            "TACIT-DEPLOYED tiny verified-image-1",
            mark,
            Duration::from_secs(180),
        )?;
        eprintln!("{}", line.text);
        lab.bmc.power(false)
    })?;

    stages.run("start the shared boot medium by virtual media", || {
        workspace::medium()?;
        lab.bmc.boot_from_medium(&lab.images.url("media/tacit.iso"))?;
        let mark = lab.serial.mark();
        lab.bmc.power(true)?;
        // Nobody filled in its configuration: the agent has to say so, and to stay closed.
        let line = lab.serial.wait_for_line("made for no node", mark, Duration::from_secs(180))?;
        eprintln!("{}", line.text);
        lab.bmc.power(false)?;
        lab.bmc.eject()
    })?;

    stages.run("tear down", || {
        drop(lab);
        Ok(())
    })?;
    ensure!(!Path::new("/run/netns").join(&namespace).exists(), "the namespace is still there");
    ensure!(!files.exists(), "{} is still there", files.display());
    ensure!(!Path::new("/run/tacit-lab").join(&namespace).exists(), "the record is still there");
    let left = processes_that_mention(&namespace)?;
    ensure!(left.is_empty(), "still running: {left:?}");
    Ok(())
}

fn processes_that_mention(word: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let line = std::fs::read(entry?.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(word) {
            found.push(line);
        }
    }
    Ok(found)
}
