//! The two files that an operator of Ironic changes.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use tacit_tests::lab::run;
use tacit_tests::workspace;

/// Builds `deploy_kernel` and `deploy_ramdisk` into `folder`; returns their names.
pub fn build(authority: &Path, folder: &Path) -> Result<[&'static str; 2]> {
    let out = folder.join("build");
    let mut command = Command::new(workspace::program("tacit-image")?);
    command.args(["build", "--profile", "ironic", "--kernel"]).arg(workspace::kernel()?);
    command.arg("--agent").arg(workspace::agent()?).arg("--bridge-ca").arg(authority).arg("--out").arg(&out);
    run(command).context("building the ramdisk for Ironic")?;
    let names = ["vmlinuz", "initramfs.zst"];
    for name in names {
        std::fs::rename(out.join(name), folder.join(name)).with_context(|| format!("moving {name}"))?;
    }
    std::fs::remove_dir_all(&out).context("removing what is left of the build")?;
    Ok(names)
}
