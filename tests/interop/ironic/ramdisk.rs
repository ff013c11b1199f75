//! The two files that an operator of Ironic changes.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use tacit_tests::lab::run;
use tacit_tests::workspace;

const RESCUE: &str = include_str!("rescue.sh");
const SABOTEUR: &str = include_str!("saboteur.sh");

/// Builds `deploy_kernel` and `deploy_ramdisk` into `folder`; returns their names.
pub(crate) fn build(authority: &str, folder: &Path) -> Result<[&'static str; 2]> {
    let out = folder.join("build");
    let authority_file = folder.join("bridge-ca.pem");
    std::fs::write(&authority_file, authority).context("writing the bridge's authority")?;
    let mut command = Command::new(workspace::program("tacit-image")?);
    command.args(["build", "--profile", "ironic", "--kernel"]).arg(workspace::kernel()?);
    command
        .arg("--agent")
        .arg(workspace::agent()?)
        .arg("--bridge-ca")
        .arg(&authority_file)
        .arg("--out")
        .arg(&out);
    // The rescue user's way in, which every site has its own of.
    let rescue = folder.join("rescue");
    std::fs::write(&rescue, RESCUE).context("writing the rescue program")?;
    command.arg("--rescue").arg(&rescue);
    let saboteur = folder.join("saboteur");
    std::fs::write(&saboteur, SABOTEUR).context("writing a hardware manager")?;
    command.arg("--hardware-manager").arg(&saboteur);
    for program in ["bin/busybox", "sbin/dropbear"] {
        command.args(["--program", program]);
    }
    for package in std::fs::read_dir(workspace::interop("rescue")?).context("looking for packages")? {
        command.arg("--package").arg(package.context("looking for packages")?.path());
    }
    run(command).context("building the ramdisk for Ironic")?;
    let names = ["vmlinuz", "initramfs.zst"];
    for name in names {
        std::fs::rename(out.join(name), folder.join(name)).with_context(|| format!("moving {name}"))?;
    }
    std::fs::remove_dir_all(&out).context("removing what is left of the build")?;
    Ok(names)
}
