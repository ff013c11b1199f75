use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use indicatif::BinaryBytes;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use tacit_blockdev::Device;
use tacit_imaging::{Written, write_image};

use super::arguments::WriteArguments;
use super::device::{self, Description, Kernel};
use super::error::WriteError;
use super::inputs;
use super::progress::{Watcher, json_line};

/// Writes the image and tells the outcome.
pub fn run(arguments: &WriteArguments) -> ExitCode {
    let start = Instant::now();
    match write(arguments) {
        Ok((written, took)) => {
            tell(arguments, &written, took);
            ExitCode::SUCCESS
        }
        Err(error) => {
            if arguments.json {
                json_line(&json!({
                    "result": "failed",
                    "error": error.chain(),
                    "disk": error.disk(),
                    "retry": error.retry(),
                    "seconds": start.elapsed().as_secs_f64(),
                }));
            } else {
                line(io::stderr(), &format!("tacit-image: {}", error.chain()));
            }
            error.exit_code()
        }
    }
}

fn write(arguments: &WriteArguments) -> Result<(Written, Duration), WriteError> {
    let cancelled = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, cancelled.clone()).map_err(WriteError::Terminal)?;
    }
    let request = inputs::request(arguments, &cancelled)?;
    let kernel = Kernel::default();
    let device = device::open(&arguments.device, kernel)?;
    if !arguments.yes {
        confirm(&device, kernel)?;
    }
    let watcher = Watcher::new(cancelled, arguments.json);
    let start = Instant::now();
    let outcome = write_image(request, &device, &watcher);
    watcher.finish();
    Ok((outcome?, start.elapsed()))
}

/// Shows what would be erased and waits for a yes.
fn confirm(device: &Device, kernel: Kernel<'_>) -> Result<(), WriteError> {
    let name = || device.path().display().to_string();
    if !io::stdin().is_terminal() {
        return Err(WriteError::NobodyToAsk { device: name() });
    }
    let mut terminal = io::stderr();
    let asked = write!(
        terminal,
        "{}\nEverything on it will be lost. Type yes to go on: ",
        Description::of(device, kernel)
    );
    asked.and_then(|()| terminal.flush()).map_err(WriteError::Terminal)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(WriteError::Terminal)?;
    if answer.trim() == "yes" { Ok(()) } else { Err(WriteError::Declined { device: name() }) }
}

fn tell(arguments: &WriteArguments, written: &Written, took: Duration) {
    let seconds = took.as_secs_f64();
    if arguments.json {
        json_line(&json!({
            "result": "written",
            "source_bytes": written.source_bytes,
            "target_bytes": written.target_bytes,
            "seconds": seconds,
            "unchanged": written.unchanged,
            "vouched": written.vouched,
            "rescan_failed": written.rescan_failed,
        }));
        return;
    }
    let device = arguments.device.display();
    if written.unchanged {
        line(io::stdout(), &format!("{device}: held the image already, and it is verified"));
    } else {
        let rate = (written.target_bytes as f64 / seconds.max(0.001)) as u64;
        let [target, rate, source] = [written.target_bytes, rate, written.source_bytes].map(BinaryBytes);
        let how = format!("written and verified in {seconds:.1} s ({rate}/s), {source} fetched");
        line(io::stdout(), &format!("{device}: image of {target} {how}"));
    }
    if let Some(drive) = &written.config_drive {
        line(io::stdout(), &format!("{device}: the config drive is partition {}", drive.number));
    }
    if let Some(why) = &written.rescan_failed {
        line(io::stderr(), &format!("tacit-image: the kernel still sees the old partitions: {why}"));
    }
}

/// To people. That nobody reads it changes nothing on the disk, and not the exit code.
fn line(mut screen: impl Write, text: &str) {
    writeln!(screen, "{text}").unwrap_or_default();
}
