//! What a lab started, written down before it is needed: so that it can be taken down by its own end, by a signal, or by
//! somebody else after a crash.
//!
//! A record is a directory `/run/tacit-lab/NAME` with one file per thing. Processes are known by pid *and* start time:
//! a pid that was given to somebody else since is left alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const RECORDS: &str = "/run/tacit-lab";

/// The record of one lab. Dropping it takes everything in it down.
#[derive(Debug)]
pub(super) struct Record {
    directory: PathBuf,
}

impl Record {
    /// Begins a record; `name` is also the network namespace's.
    pub(super) fn begin(name: &str) -> Result<Self> {
        let directory = Path::new(RECORDS).join(name);
        fs::create_dir_all(directory.join("processes")).with_context(|| {
            format!("creating {} (the lab needs root: namespaces, virtual machines)", directory.display())
        })?;
        let me = std::process::id();
        fs::write(directory.join("owner"), format!("{me} {}", start_time(me).unwrap_or_default()))?;
        Ok(Self { directory })
    }

    /// Where the lab's own sockets and small files live; gone with the record.
    pub(super) fn run_directory(&self) -> &Path {
        &self.directory
    }

    /// Notes a process to be killed.
    pub(super) fn process(&self, name: &str, pid: u32) -> Result<()> {
        let started = start_time(pid).with_context(|| format!("{name} (pid {pid}) ended at once"))?;
        let path = self.directory.join("processes").join(format!("{pid}"));
        fs::write(&path, format!("{started} {name}")).with_context(|| format!("writing {}", path.display()))
    }

    /// Notes a file that will hold the pid of something that is no child of ours (QEMU under libvirt).
    pub(super) fn pid_file(&self, path: &Path) -> Result<()> {
        fs::write(self.directory.join("pid-file"), path.as_os_str().as_encoded_bytes())
            .context("noting a pid file")
    }

    /// Notes the network namespace.
    pub(super) fn namespace(&self, name: &str) -> Result<()> {
        fs::write(self.directory.join("namespace"), name).context("noting the network namespace")
    }

    /// Notes the directory of large files.
    pub(super) fn files(&self, path: &Path) -> Result<()> {
        fs::write(self.directory.join("files"), path.as_os_str().as_encoded_bytes())
            .context("noting a directory")
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        take_down(&self.directory);
    }
}

/// Takes down whatever labs whose owner is gone have left. Returns their names.
pub fn clean_leftovers() -> Result<Vec<String>> {
    let mut cleaned = Vec::new();
    let Ok(entries) = fs::read_dir(RECORDS) else { return Ok(cleaned) };
    for entry in entries {
        let directory = entry.context("reading the labs' records")?.path();
        let owner = fs::read_to_string(directory.join("owner")).unwrap_or_default();
        let alive = owner.split_once(' ').and_then(|(pid, started)| {
            let pid: u32 = pid.parse().ok()?;
            (start_time(pid)? == started).then_some(pid)
        });
        if alive.is_none() {
            take_down(&directory);
            cleaned.push(directory.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    Ok(cleaned)
}

/// From now on SIGINT and SIGTERM take this process's labs down before they end it. Once is enough, twice is the same.
pub(super) fn tear_down_on_signals() -> Result<()> {
    static ONCE: std::sync::Once = std::sync::Once::new();
    let mut result = Ok(());
    ONCE.call_once(|| result = follow_signals());
    result
}

fn follow_signals() -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting a runtime")?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let code = runtime.block_on(async {
                use tokio::signal::unix::{SignalKind, signal};
                let (Ok(mut interrupt), Ok(mut terminate)) =
                    (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
                else {
                    return None;
                };
                tokio::select! { _ = interrupt.recv() => Some(130), _ = terminate.recv() => Some(143) }
            });
            if let Some(code) = code {
                eprintln!("\ninterrupted: taking the lab down");
                take_down_own();
                std::process::exit(code);
            }
        })
        .context("starting the signal thread")?;
    Ok(())
}

fn take_down_own() {
    let me = std::process::id().to_string();
    for entry in fs::read_dir(RECORDS).into_iter().flatten().flatten() {
        let owner = fs::read_to_string(entry.path().join("owner")).unwrap_or_default();
        if owner.split(' ').next() == Some(&me) {
            take_down(&entry.path());
        }
    }
}

/// Kills, then waits, then removes; goes on over everything that fails, and says so.
fn take_down(directory: &Path) {
    let mut pids: Vec<(u32, String)> = Vec::new();
    for entry in fs::read_dir(directory.join("processes")).into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let noted = fs::read_to_string(entry.path()).unwrap_or_default();
        if let Some((started, _)) = noted.split_once(' ') {
            pids.push((pid, started.to_owned()));
        }
    }
    if let Ok(pid_file) = fs::read_to_string(directory.join("pid-file"))
        && let Some(pid) = fs::read_to_string(pid_file).ok().and_then(|text| text.trim().parse().ok())
        && let Some(started) = start_time(pid)
    {
        pids.push((pid, started));
    }
    for (pid, started) in &pids {
        end(*pid, started);
    }
    // Whatever a daemon of ours forked lives in the namespace, and nobody else does.
    if let Ok(namespace) = fs::read_to_string(directory.join("namespace")) {
        for pid in processes_in(&namespace) {
            if let Some(started) = start_time(pid) {
                end(pid, &started);
            }
        }
        match Command::new("ip").args(["netns", "del", &namespace]).output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                complain("deleting the network namespace", String::from_utf8_lossy(&output.stderr).trim())
            }
            Err(error) => complain("running ip", error),
        }
    }
    if let Ok(files) = fs::read_to_string(directory.join("files"))
        && let Err(error) = fs::remove_dir_all(&files)
    {
        complain(&files, error);
    }
    if let Err(error) = fs::remove_dir_all(directory) {
        complain(&directory.display().to_string(), error);
    }
}

fn complain(what: &str, why: impl std::fmt::Display) {
    eprintln!("lab: while taking it down: {what}: {why}");
}

/// SIGTERM, and SIGKILL for what is still there three seconds later. Already gone is fine.
fn end(pid: u32, started: &str) {
    let target = Pid::from_raw(pid.cast_signed());
    for (signal, patience) in [(Signal::SIGTERM, 3), (Signal::SIGKILL, 5)] {
        if !is_running(pid, started) || kill(target, signal).is_err() {
            return;
        }
        let deadline = Instant::now() + Duration::from_secs(patience);
        while is_running(pid, started) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn is_running(pid: u32, started: &str) -> bool {
    // An unreaped child of ours is dead for this purpose.
    stat_fields(pid).is_some_and(|fields| fields[19] == started && fields[0] != "Z")
}

fn start_time(pid: u32) -> Option<String> {
    stat_fields(pid).map(|fields| fields[19].clone())
}

/// `/proc/PID/stat` from the state on: the name before it may hold blanks and parentheses.
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<String> = text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect();
    (fields.len() > 19).then_some(fields)
}

fn processes_in(namespace: &str) -> Vec<u32> {
    let output = Command::new("ip").args(["netns", "pids", namespace]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.trim().parse().ok())
        .filter(|pid| *pid != std::process::id())
        .collect()
}
