use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A mount of the caller's mount namespace (proc_pid_mountinfo(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Major and minor number. File systems of several devices (btrfs) have one of their own.
    pub number: (u64, u64),
    pub at: PathBuf,
    /// Often a device node; whatever the file system calls its source.
    pub source: PathBuf,
}

impl Mount {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|&byte| byte == b' ');
        let number = parse_number(fields.nth(2)?)?;
        let at = unescape(fields.nth(1)?);
        // Behind the point come any number of optional fields, a dash, the type and the source.
        fields.find(|field| *field == b"-")?;
        Some(Self { number, at, source: unescape(fields.nth(1)?) })
    }
}

/// What is mounted, by `self/mountinfo` below `proc`.
///
/// # Errors
///
/// [`Error::Open`] when the list cannot be read.
pub fn mounts(proc: &Path) -> Result<Vec<Mount>, Error> {
    let lines = lines(&proc.join("self/mountinfo"))?;
    Ok(lines.iter().filter_map(|line| Mount::parse(line)).collect())
}

/// What the kernel swaps to, by `swaps` below `proc`: files and devices.
///
/// # Errors
///
/// [`Error::Open`] when the list cannot be read.
pub fn swaps(proc: &Path) -> Result<Vec<PathBuf>, Error> {
    let lines = lines(&proc.join("swaps"))?;
    let used = lines.iter().skip(1).filter(|line| !line.is_empty());
    Ok(used.map(|line| unescape(line.split(|&byte| byte == b' ').next().unwrap_or_default())).collect())
}

/// `8:1`, as sysfs and mountinfo write it.
pub(crate) fn parse_number(text: &[u8]) -> Option<(u64, u64)> {
    let (major, minor) = std::str::from_utf8(text.trim_ascii()).ok()?.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Undoes the kernel's `\040` for spaces and the like.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let code = (first == b'\\')
            .then(|| tail.get(..3).and_then(|octal| std::str::from_utf8(octal).ok()))
            .flatten()
            .and_then(|octal| u8::from_str_radix(octal, 8).ok());
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    OsString::from_vec(bytes).into()
}

/// Lines of a list that the kernel writes; one that it does not offer is empty (swap may be configured out).
fn lines(path: &Path) -> Result<Vec<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(bytes.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::Open { device: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_the_kernel_are_undone() {
        assert_eq!(unescape(br"/a\040b\134c"), Path::new(r"/a b\c"));
        assert_eq!(unescape(br"/a\9\04"), Path::new(r"/a\9\04"));
    }

    #[test]
    fn lists_that_are_not_there_are_empty() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(mounts(folder.path()).unwrap(), []);
        assert_eq!(swaps(folder.path()).unwrap(), [] as [PathBuf; 0]);
        fs::write(folder.path().join("swaps"), "Filename Type\n/dev/sda2 partition 8\n/a\\040b file 8\n")
            .unwrap();
        assert_eq!(swaps(folder.path()).unwrap(), [Path::new("/dev/sda2"), Path::new("/a b")]);
    }
}
