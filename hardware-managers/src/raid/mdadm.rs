//! What is asked of mdadm and of the kernel, behind a trait that unit tests play.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tacit_blockdev::{Access, Device, Error};

use crate::program::{self, ProgramError};

/// How long mdadm may take: disks may be slow to answer.
const DEADLINE: Duration = Duration::from_secs(300);

/// An array to be made.
#[derive(Debug)]
pub(super) struct NewArray {
    pub(super) node: PathBuf,
    pub(super) name: String,
    /// Number of the RAID level.
    pub(super) level: u32,
    /// `1` for the newest format, `1.0` for one at the end of its members.
    pub(super) metadata: &'static str,
    /// Nodes of the partitions.
    pub(super) members: Vec<PathBuf>,
}

/// The few things that only the kernel's md driver can do.
pub(super) trait Md {
    /// Starts an array of an earlier boot from just these members, if they are enough.
    fn assemble(&self, array: &Path, members: &[PathBuf]) -> Result<(), ProgramError>;

    fn create(&self, array: &NewArray) -> Result<(), ProgramError>;

    /// Puts a member back that creation left out.
    fn add(&self, array: &Path, member: &Path) -> Result<(), ProgramError>;

    fn stop(&self, array: &Path) -> Result<(), ProgramError>;

    /// Has the kernel read a disk's partition table.
    fn reread(&self, disk: &Path) -> Result<(), Error>;
}

/// The program of this name in the ramdisk.
pub(super) struct Mdadm;

impl Md for Mdadm {
    fn assemble(&self, array: &Path, members: &[PathBuf]) -> Result<(), ProgramError> {
        // Without a member that it had before, too.
        let mut arguments = vec![OsString::from("--assemble"), array.into(), "--run".into()];
        arguments.extend(members.iter().map(OsString::from));
        mdadm(arguments)
    }

    fn create(&self, array: &NewArray) -> Result<(), ProgramError> {
        mdadm(create_arguments(array))
    }

    fn add(&self, array: &Path, member: &Path) -> Result<(), ProgramError> {
        mdadm([OsString::from("--manage"), array.into(), "--add".into(), member.into()])
    }

    fn stop(&self, array: &Path) -> Result<(), ProgramError> {
        mdadm([OsString::from("--stop"), array.into()])
    }

    fn reread(&self, disk: &Path) -> Result<(), Error> {
        Device::open(disk, Access::Read)?.reread_partition_table()
    }
}

fn create_arguments(array: &NewArray) -> Vec<OsString> {
    let mut arguments = vec![
        OsString::from("--create"),
        array.node.clone().into(),
        // All members are used at once, also where a level would rather begin with a spare; nothing is asked.
        "--force".into(),
        "--run".into(),
        format!("--metadata={}", array.metadata).into(),
        "--level".into(),
        array.level.to_string().into(),
        "--name".into(),
        array.name.clone().into(),
        "--raid-devices".into(),
        array.members.len().to_string().into(),
    ];
    arguments.extend(array.members.iter().map(OsString::from));
    arguments
}

fn mdadm(arguments: impl Into<Vec<OsString>>) -> Result<(), ProgramError> {
    // Stopping it half-way would leave an array that is neither there nor gone.
    let output = program::run("mdadm", &arguments.into(), None, DEADLINE, &|| false)?;
    if !output.text.is_empty() {
        tracing::info!(output = output.text.trim(), "mdadm");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_becomes_arguments() {
        let array = NewArray {
            node: "/dev/md0".into(),
            name: "root".to_owned(),
            level: 10,
            metadata: "1",
            members: vec!["/dev/sda1".into(), "/dev/sdb1".into()],
        };
        let arguments = create_arguments(&array);
        let expected = "--create /dev/md0 --force --run --metadata=1 --level 10 --name root --raid-devices 2 \
                        /dev/sda1 /dev/sdb1";
        assert_eq!(arguments.join(std::ffi::OsStr::new(" ")), expected);
    }
}
