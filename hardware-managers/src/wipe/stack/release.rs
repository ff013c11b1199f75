//! Taking down what is built upon a disk.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tacit_blockdev::{Error, mounts, swaps};

use super::graph::{Block, BlockGraph, Kind};
use super::kernel::Kernel;
use crate::machine::Roots;

const POLL: Duration = Duration::from_millis(20);

/// Why a disk is still in use.
#[derive(Debug, thiserror::Error)]
pub(in crate::wipe) enum ReleaseError {
    #[error("{device} is mounted at {}", at.display())]
    Mounted { device: String, at: PathBuf },
    #[error("{device} is the backing file of {by}")]
    Backing { device: String, by: String },
    /// It also stands on disks that are to be left alone.
    #[error("{device} is also on {other}, which is not to be erased")]
    Shared { device: String, other: String },
    #[error("cannot stop {device}")]
    Stop { device: String, source: Error },
    #[error("cannot stop {device} through {}", attribute.display())]
    Attribute { device: String, attribute: PathBuf, source: io::Error },
    /// The kernel knows such devices; this agent does not.
    #[error("{device} uses the disk, and it is of a kind that this agent cannot stop")]
    UnknownKind { device: String },
    #[error("{device} is still there {seconds} seconds after the kernel agreed to stop it")]
    Remains { device: String, seconds: u64 },
    #[error("cannot read what is in use")]
    Lists(#[source] Error),
}

impl ReleaseError {
    /// Whether it was found before anything was stopped.
    pub(in crate::wipe) fn is_obstacle(&self) -> bool {
        match self {
            Self::Mounted { .. }
            | Self::Backing { .. }
            | Self::Shared { .. }
            | Self::UnknownKind { .. }
            | Self::Lists(_) => true,
            Self::Stop { .. } | Self::Attribute { .. } | Self::Remains { .. } => false,
        }
    }
}

/// The first mount of any of these devices: what it is, and where.
fn mounted(roots: &Roots, blocks: &[&Block]) -> Result<Option<(String, PathBuf)>, ReleaseError> {
    let list = mounts(&roots.proc).map_err(ReleaseError::Lists)?;
    let hit = blocks.iter().find_map(|block| {
        // btrfs has numbers of its own; there the source tells.
        let mount = list
            .iter()
            .find(|mount| mount.number == block.number || leads_to(roots, &mount.source, block))?;
        Some((block.node(), mount.at.clone()))
    });
    Ok(hit)
}

/// Whether a path of the running system, a node or a link to one, is this device.
fn leads_to(roots: &Roots, path: &Path, block: &Block) -> bool {
    let node = PathBuf::from(block.node());
    if !path.starts_with("/dev") {
        return false;
    }
    if path == node {
        return true;
    }
    if matches!(&block.kind, Kind::Mapped { name, .. } if path == Path::new("/dev/mapper").join(name)) {
        return true;
    }
    std::fs::canonicalize(roots.device_node(path)).is_ok_and(|path| path == roots.device_node(&node))
}

/// What stands on a device, as people know it, in the order in which it can be taken down.
pub(in crate::wipe) fn held(graph: &BlockGraph, device: &str) -> Vec<String> {
    let above = graph.get(device).map(|block| graph.above(block)).unwrap_or_default();
    above.into_iter().map(describe).collect()
}

fn describe(block: &Block) -> String {
    match &block.kind {
        Kind::Mapped { name, .. } => format!("{} ({name})", block.node()),
        _ => block.node(),
    }
}

/// A disk with everything that stands on it.
struct Tower<'a> {
    /// In the order in which it can be taken down.
    above: Vec<&'a Block>,
    /// With all partitions.
    all: Vec<&'a Block>,
}

impl<'a> Tower<'a> {
    fn of(graph: &'a BlockGraph, block: &'a Block) -> Self {
        let above = graph.above(block);
        let mut all = graph.family(block);
        for holder in &above {
            all.extend(graph.family(holder));
        }
        Self { above, all }
    }
}

/// Why a disk cannot be freed: a mount, or something that stands on a disk that is to be left alone, too. `may_stop`
/// is asked by kernel names, and says yes of all devices that are to be erased, this one among them.
///
/// # Errors
///
/// The obstacle.
pub(in crate::wipe) fn obstacle(
    roots: &Roots,
    graph: &BlockGraph,
    device: &str,
    may_stop: &dyn Fn(&str) -> bool,
) -> Result<(), ReleaseError> {
    let Some(block) = graph.get(device) else { return Ok(()) };
    look(roots, graph, &Tower::of(graph, block), may_stop)
}

fn look(
    roots: &Roots,
    graph: &BlockGraph,
    tower: &Tower<'_>,
    may_stop: &dyn Fn(&str) -> bool,
) -> Result<(), ReleaseError> {
    if let Some((device, at)) = mounted(roots, &tower.all)? {
        return Err(ReleaseError::Mounted { device, at });
    }
    for block in &tower.all {
        if let Some(by) = graph.loops_on(block).next() {
            return Err(ReleaseError::Backing { device: block.node(), by: by.node() });
        }
    }
    for holder in &tower.above {
        if matches!(holder.kind, Kind::Disk | Kind::Partition { .. } | Kind::Loop) {
            return Err(ReleaseError::UnknownKind { device: holder.node() });
        }
        let ground = graph.ground(holder, may_stop);
        let other = ground.into_iter().find(|name| !may_stop(name));
        if let Some(other) = other.and_then(|name| graph.get(name)) {
            return Err(ReleaseError::Shared { device: describe(holder), other: other.node() });
        }
    }
    Ok(())
}

/// Frees a disk: ends swapping, then stops everything that is built upon it from the top down, and waits until the
/// kernel shows nothing there any more. Each line of the result is something that was done.
///
/// # Errors
///
/// [`ReleaseError`]. What [`obstacle`] tells of is found before anything is stopped.
pub(in crate::wipe) fn release(
    roots: &Roots,
    kernel: &dyn Kernel,
    device: &str,
    may_stop: &dyn Fn(&str) -> bool,
) -> Result<Vec<String>, ReleaseError> {
    let graph = BlockGraph::read(roots);
    let Some(block) = graph.get(device) else { return Ok(Vec::new()) };
    let tower = Tower::of(&graph, block);
    look(roots, &graph, &tower, may_stop)?;
    let mut done = Vec::new();
    for path in swaps(&roots.proc).map_err(ReleaseError::Lists)? {
        if tower.all.iter().any(|block| leads_to(roots, &path, block)) {
            kernel.swap_off(&roots.device_node(&path)).map_err(|source| ReleaseError::Stop {
                device: path.to_string_lossy().into_owned(),
                source,
            })?;
            done.push(format!("swap on {} ended", path.display()));
        }
    }
    for holder in tower.above {
        stop(roots, kernel, &graph, holder)?;
        done.push(format!("{} stopped", describe(holder)));
    }
    for member in graph.family(block) {
        stop_cache(kernel, member, &mut done)?;
    }
    gone(kernel, device, || {
        let graph = BlockGraph::read(roots);
        graph.get(device).is_none_or(|block| graph.above(block).is_empty())
    })?;
    Ok(done)
}

fn stop(roots: &Roots, kernel: &dyn Kernel, graph: &BlockGraph, block: &Block) -> Result<(), ReleaseError> {
    let failed = |source| ReleaseError::Stop { device: describe(block), source };
    match &block.kind {
        Kind::Array => {
            let node = roots.device_node(Path::new(&block.node()));
            match kernel.stop_array(&node) {
                // The node may be missing where nobody makes nodes; the attribute does the same.
                Err(Error::Open { .. }) => {
                    write(kernel, block, &block.folder.join("md/array_state"), "clear")?;
                }
                outcome => outcome.map_err(failed)?,
            }
        }
        Kind::Mapped { .. } => kernel.remove_mapped_device(block.number).map_err(failed)?,
        Kind::Bcache => write(kernel, block, &block.folder.join("bcache/stop"), "1")?,
        Kind::Disk | Kind::Partition { .. } | Kind::Loop => {
            return Err(ReleaseError::UnknownKind { device: block.node() });
        }
    }
    let below: Vec<PathBuf> =
        graph.slaves(block).map(|slave| slave.folder.join("holders").join(&block.name)).collect();
    gone(kernel, &block.node(), || !below.iter().any(|link| link.symlink_metadata().is_ok()))
}

/// A disk or partition that bcache has registered shows no holder when it is a cache, or has none.
fn stop_cache(kernel: &dyn Kernel, block: &Block, done: &mut Vec<String>) -> Result<(), ReleaseError> {
    let folder = block.folder.join("bcache");
    if matches!(block.kind, Kind::Bcache) || !folder.exists() {
        return Ok(());
    }
    let set = folder.join("set");
    let attribute = if set.exists() { set.join("stop") } else { folder.join("stop") };
    write(kernel, block, &attribute, "1")?;
    gone(kernel, &block.node(), || !folder.exists())?;
    done.push(format!("bcache on {} stopped", block.node()));
    Ok(())
}

fn write(kernel: &dyn Kernel, block: &Block, attribute: &Path, value: &str) -> Result<(), ReleaseError> {
    kernel.write_attribute(attribute, value).map_err(|source| ReleaseError::Attribute {
        device: describe(block),
        attribute: attribute.to_owned(),
        source,
    })
}

/// Waits for something to vanish, with a deadline.
fn gone(kernel: &dyn Kernel, device: &str, is_gone: impl Fn() -> bool) -> Result<(), ReleaseError> {
    let deadline = Instant::now() + kernel.patience();
    while !is_gone() {
        if Instant::now() >= deadline {
            let seconds = kernel.patience().as_secs();
            return Err(ReleaseError::Remains { device: device.to_owned(), seconds });
        }
        thread::sleep(POLL);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
