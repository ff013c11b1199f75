//! Where things are in a checkout.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The checkout's top directory.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_owned()
}

/// What `make` prepared: tools, kernel, images, media.
pub fn cache() -> PathBuf {
    root().join(".cache")
}

/// The conductor's program: that of `TACIT_BIN` when set, else the one of the target directory the caller runs from.
pub fn tacit() -> Result<PathBuf> {
    match std::env::var_os("TACIT_BIN") {
        Some(path) => Ok(path.into()),
        None => program("tacit"),
    }
}

/// Another program of the workspace, from the target directory that the caller runs from.
pub fn program(name: &str) -> Result<PathBuf> {
    // .../debug/demo, .../debug/deps/deploy_end_to_end-0123
    let me = std::env::current_exe().context("finding the running program")?;
    let beside =
        me.ancestors().skip(1).take(2).map(|directory| directory.join(name)).find(|path| path.is_file());
    let path = beside.unwrap_or_else(|| root().join("target/debug").join(name));
    ensure!(path.is_file(), "{} is missing: run 'make build'", path.display());
    Ok(path)
}

/// The static agent of the ramdisk.
pub fn agent() -> Result<PathBuf> {
    existing(root().join("target/agent/tacit-agent"), "make agent")
}

/// The kernel's Debian package.
pub fn kernel() -> Result<PathBuf> {
    existing(cache().join("kernel/linux-image.deb"), "make setup")
}

/// What other people's software needs or is, prepared by `tests/setup/interop.sh`.
pub fn interop(name: &str) -> Result<PathBuf> {
    existing(cache().join("interop").join(name), "tests/setup/interop.sh")
}

/// The shared boot medium.
pub fn medium() -> Result<PathBuf> {
    existing(cache().join("media/tacit.iso"), "make build")
}

/// A tool of the Python environment.
pub fn python_tool(name: &str) -> Result<PathBuf> {
    existing(cache().join("venv/bin").join(name), "make setup")
}

/// A test image, `tiny.raw.gz`.
pub fn image(name: &str) -> Result<PathBuf> {
    existing(cache().join("images").join(name), "make images")
}

/// The SHA-512 of a test image as its maker wrote it down.
pub fn image_sha512(name: &str) -> Result<String> {
    let stem = name.split('.').next().unwrap_or(name);
    let sums = existing(cache().join("images").join(format!("{stem}.sha512")), "make images")?;
    let text = std::fs::read_to_string(&sums).with_context(|| format!("reading {}", sums.display()))?;
    let line =
        text.lines().find_map(|line| line.strip_suffix(name)).map(|digest| digest.trim_end().to_owned());
    line.with_context(|| format!("{} has no line for {name}", sums.display()))
}

fn existing(path: PathBuf, made_by: &str) -> Result<PathBuf> {
    ensure!(path.exists(), "{} is missing: run '{made_by}'", path.display());
    Ok(path)
}
