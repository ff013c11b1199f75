//! The demonstration: a machine that never calls out is deployed, with every step to watch and a timeline at the end.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use tacit_tests::lab::{CommandLine, Lab, LabOptions};
use tacit_tests::workspace;

const NODE: &str = "rack1-07";
const AGENT_PORT: u16 = 9999;

fn main() -> Result<()> {
    let image = std::env::args().nth(1).unwrap_or_else(|| "debian.raw.zst".into());
    let mut story = Story::begin();

    story.chapter("A server, its BMC and a network without a way out");
    let lab = Lab::start(LabOptions::default())?;
    story.say(&format!("server   2 emulated CPUs, UEFI, an empty 4 GiB disk, one card ({})", lab.server.mac));
    story.say(&format!("BMC      Redfish at {}", lab.bmc.driver_info()[0].1));
    story.say("link     captured; every packet that the server starts is dropped and counted");

    story.chapter("The conductor");
    let conductor = lab.start_conductor_with(&[])?;
    let cli = conductor.command_line();
    story.say("tacit serve is up; nobody but the conductor will ever dial");

    story.chapter("The server is enrolled: its BMC, its card, the address it is to have");
    let network_data = lab.write_json("network_data.json", &lab.server.network_data())?;
    let mut create =
        vec!["node".to_owned(), "create".into(), NODE.into(), "--driver".into(), "redfish".into()];
    for (key, value) in lab.bmc.driver_info() {
        create.extend(["--driver-info".into(), format!("{key}={value}")]);
    }
    create.extend(["--network-data".into(), network_data, "--mac".into(), lab.server.mac.into()]);
    story.tacit(&cli, &create.iter().map(String::as_str).collect::<Vec<_>>())?;
    story.tacit(&cli, &["node", "manage", NODE, "--wait"])?;

    story.chapter(
        "Inspected: powered on, booted from virtual media without DHCP, dialled at its known address",
    );
    story.tacit(&cli, &["node", "inspect", NODE, "--wait"])?;
    story.mark("inspected");

    story.chapter("What erasing would do, and why: nothing is touched");
    let plan = ["node", "clean", NODE, "--step", "deploy.erase_devices", "--arg", "dry_run=true", "--wait"];
    story.tacit(&cli, &plan)?;

    story
        .chapter("Cleaned: every trace of earlier systems, then the whole disk, both proven by reading back");
    story.tacit(&cli, &["node", "provide", NODE, "--wait"])?;
    story.mark("cleaned");

    story.chapter("The certificate of erasure, signed by the conductor");
    story.tacit(&cli, &["node", "erasure", NODE])?;

    story.chapter(&format!("Deployed: {image}, streamed over a connection that the conductor lends"));
    let sha512 = workspace::image_sha512(&image)?;
    let (url, checksum) = (lab.images.url(&image), format!("sha512:{sha512}"));
    story.tacit(&cli, &["node", "deploy", NODE, "--image", &url, "--checksum", &checksum, "--wait"])?;

    story.chapter("The deployed system speaks on its serial console");
    let line = lab.serial.wait_for_line("TACIT-DEPLOYED", 0, Duration::from_secs(300))?;
    story.say(&line.text);

    story.chapter("What the conductor wrote down");
    story.tacit(&cli, &["node", "history", NODE])?;

    story.chapter("What the server did on its link");
    let summary = lab.silence()?;
    println!("  {summary}");
    println!("  packet filter: {} packets dropped", lab.link.dropped_starts()?);

    story.chapter("Timeline");
    timeline(&lab, &story, line.at)?;
    ensure!(summary.started.is_empty(), "the server started conversations");
    println!("\nDone in {:.0} s. Taking everything down.", story.started.elapsed().as_secs_f64());
    Ok(())
}

/// Times from witnesses outside of Tacit: the machine's process, its link, its serial port.
fn timeline(lab: &Lab, story: &Story, first_line: SystemTime) -> Result<()> {
    let ons: Vec<SystemTime> =
        lab.power.changes().iter().filter(|change| change.on).map(|change| change.at).collect();
    let power_on = *ons.first().context("the server was never powered on")?;
    let reboot =
        *ons.iter().rfind(|at| **at < first_line).context("the deployed system was never started")?;
    let spoken = lab.link.answers(AGENT_PORT, power_on, reboot)?;
    let (answered, written) = spoken.context("the agent never answered")?;
    let mut events = vec![
        ("power-on", power_on),
        ("agent answered", answered),
        ("written and checked", written),
        ("rebooted", reboot),
        ("first line of the deployed system", first_line),
    ];
    events.extend(story.marks.iter().copied());
    events.sort_by_key(|event| event.1);
    let mut before = power_on;
    for (name, at) in events {
        let since = |from: SystemTime| at.duration_since(from).unwrap_or_default().as_secs_f64();
        println!("  {:7.1} s  (+{:6.1})  {name}", since(power_on), since(before));
        before = at;
    }
    Ok(())
}

/// What is told, and when what happened.
struct Story {
    started: Instant,
    marks: Vec<(&'static str, SystemTime)>,
}

impl Story {
    fn begin() -> Self {
        Self { started: Instant::now(), marks: Vec::new() }
    }

    fn chapter(&self, title: &str) {
        println!("\n[{:6.1} s]  {title}", self.started.elapsed().as_secs_f64());
    }

    fn say(&self, text: &str) {
        println!("  {text}");
    }

    fn mark(&mut self, name: &'static str) {
        self.marks.push((name, SystemTime::now()));
    }

    fn tacit(&self, cli: &CommandLine, arguments: &[&str]) -> Result<()> {
        println!("  $ tacit {}", arguments.join(" "));
        let start = Instant::now();
        cli.tacit_shown(arguments)?;
        println!("  ({:.1} s)", start.elapsed().as_secs_f64());
        Ok(())
    }
}
