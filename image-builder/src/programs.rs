//! Programs of Debian packages for the ramdisk, with the shared libraries that they need, and nothing else of the
//! packages.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::elf::{self, Dynamic};
use crate::error::ImageError;
use crate::package;

/// Folders of a package in which programs and libraries lie.
const FOLDERS: [&str; 4] = ["bin/", "sbin/", "lib/", "lib64/"];
/// Where the dynamic linker of every distribution looks in the end.
const LIBRARIES: &str = "lib";

/// A program or a library of a package.
struct Found {
    bytes: Vec<u8>,
    dynamic: Dynamic,
}

/// Reads the packages and chooses the programs (`sbin/mdadm`; a leading `usr/` does not count) and all libraries that
/// they need, by their paths in the ramdisk.
///
/// # Errors
///
/// [`ImageError::ProgramAbsent`] for a program or a library that no package has.
pub fn choose(packages: &[PathBuf], programs: &[String]) -> Result<BTreeMap<String, Vec<u8>>, ImageError> {
    let (mut by_path, mut by_name) = (BTreeMap::new(), BTreeMap::new());
    for package in packages {
        package::for_each_file(package, |path, contents| {
            if !FOLDERS.iter().any(|folder| path.starts_with(folder)) {
                return Ok(());
            }
            let mut bytes = Vec::new();
            contents.read_to_end(&mut bytes).map_err(ImageError::io("unpack", package))?;
            // Scripts and data are not asked for; what is asked for and is none of these is absent then.
            let Ok(dynamic) = elf::dynamic(&bytes) else { return Ok(()) };
            if let Some(name) = dynamic.name.clone() {
                by_name.insert(name, path.to_owned());
            }
            by_path.insert(path.to_owned(), Found { bytes, dynamic });
            Ok(())
        })?;
    }
    let absent = |name: &str, wanted_by: &str| ImageError::ProgramAbsent {
        name: name.to_owned(),
        wanted_by: wanted_by.to_owned(),
    };
    let mut chosen = BTreeMap::new();
    let mut open: Vec<(String, String)> = Vec::new();
    for program in programs {
        let path = program.trim_start_matches('/');
        let path = path.strip_prefix("usr/").unwrap_or(path);
        let found = by_path.get(path).ok_or_else(|| absent(program, "the caller"))?;
        chosen.insert(path.to_owned(), found.bytes.clone());
        open.extend(wanted(&found.dynamic, path));
    }
    while let Some((name, wanted_by)) = open.pop() {
        // A dynamic linker is asked for by its path, a library by its name.
        let (place, short) = match name.rsplit_once('/') {
            Some((_, short)) => (name.trim_start_matches('/').to_owned(), short.to_owned()),
            None => (format!("{LIBRARIES}/{name}"), name.clone()),
        };
        if chosen.contains_key(&place) {
            continue;
        }
        let found = by_name.get(&short).and_then(|path| by_path.get(path));
        let found = found.ok_or_else(|| absent(&name, &wanted_by))?;
        chosen.insert(place.clone(), found.bytes.clone());
        open.extend(wanted(&found.dynamic, &place));
    }
    Ok(chosen)
}

fn wanted(dynamic: &Dynamic, by: &str) -> Vec<(String, String)> {
    dynamic.needed.iter().chain(&dynamic.interpreter).map(|name| (name.clone(), by.to_owned())).collect()
}
