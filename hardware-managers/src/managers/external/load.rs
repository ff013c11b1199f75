//! Which programs of a folder are managers of this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::loaded::BrokenManager;
use super::super::manager::{HardwareManager, SupportLevel};
use super::manager::{ExternalHardwareManager, Patience};
use super::trust;

/// Programs that are looked at; more of them are a mistake.
const MOST: usize = 64;

type Found = (SupportLevel, Arc<dyn HardwareManager>);

/// Asks every program of the folder who it is and how well it knows the machine, all at the same time, and returns them
/// in the order of their files' names. `taken` are the names that no other manager may have.
///
/// A folder that is not there holds none. Its own folders are passed over, and so are files whose names begin with a
/// dot: there a manager may keep what it needs.
pub(in super::super) fn load(folder: &Path, taken: &[&str]) -> (Vec<Found>, Vec<BrokenManager>) {
    load_with(folder, taken, Patience::default())
}

pub(super) fn load_with(
    folder: &Path,
    taken: &[&str],
    patience: Patience,
) -> (Vec<Found>, Vec<BrokenManager>) {
    let broken = |path: &Path, reason: String| BrokenManager { name: file_name(path), reason };
    let mut programs = match programs(folder) {
        Ok(programs) => programs,
        Err(reason) => return (Vec::new(), vec![broken(folder, reason)]),
    };
    let mut failures = Vec::new();
    for path in programs.split_off(programs.len().min(MOST)) {
        failures.push(broken(&path, format!("there are {MOST} others before it")));
    }
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = programs
            .iter()
            .map(|path| scope.spawn(move || ExternalHardwareManager::start(path, patience)))
            .collect();
        threads.into_iter().map(|thread| thread.join()).collect()
    });
    let mut names: Vec<String> = taken.iter().map(|&name| name.to_owned()).collect();
    let mut found: Vec<Found> = Vec::new();
    for (path, outcome) in programs.iter().zip(outcomes) {
        match outcome {
            Ok(Ok((level, manager))) if !names.iter().any(|name| name == manager.name()) => {
                names.push(manager.name().to_owned());
                found.push((level, Arc::new(manager)));
            }
            Ok(Ok((_, manager))) => {
                let reason = format!("there is another hardware manager named {}", manager.name());
                failures.push(broken(path, reason));
            }
            Ok(Err(fault)) => failures.push(broken(path, fault.chain())),
            Err(_) => failures.push(broken(path, "the agent's own code panicked".to_owned())),
        }
    }
    (found, failures)
}

fn programs(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut programs = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if !file_name(&path).starts_with('.') && !path.is_dir() {
            programs.push(path);
        }
    }
    if !programs.is_empty() {
        trust::check_folder(folder).map_err(|fault| fault.to_string())?;
    }
    programs.sort();
    Ok(programs)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
