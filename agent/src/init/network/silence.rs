//! What the kernel would say on its own when a link comes up.

use std::fs;
use std::path::Path;

use super::super::console::say;

const CONFIGURATION: &str = "/proc/sys/net/ipv6/conf";

/// Without IPv6 in the plan there is none at all: no router solicitation, no duplicate address detection, no MLD.
/// With it, addresses are the given ones only.
pub(super) fn keep_silent(ipv6_wanted: bool) {
    write_all(Path::new(CONFIGURATION), ipv6_wanted);
}

/// `default` first, which later devices copy, then the devices that are there: `all` does not reach them with every
/// one of these.
fn write_all(folder: &Path, ipv6_wanted: bool) {
    let mut scopes = vec!["default".to_owned(), "all".to_owned()];
    scopes.iter().for_each(|scope| write_scope(folder, scope, ipv6_wanted));
    // Read only now: a device that came in between has copied `default` or is in the list.
    let there = fs::read_dir(folder).into_iter().flatten().flatten();
    let there: Vec<String> = there.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    scopes = there.into_iter().filter(|name| !scopes.contains(name)).collect();
    scopes.iter().for_each(|scope| write_scope(folder, scope, ipv6_wanted));
}

fn write_scope(folder: &Path, scope: &str, ipv6_wanted: bool) {
    for (name, value) in
        [("accept_ra", "0"), ("autoconf", "0"), ("router_solicitations", "0"), ("addr_gen_mode", "1")]
    {
        set(folder, scope, name, value);
    }
    if !ipv6_wanted {
        set(folder, scope, "disable_ipv6", "1");
    }
}

fn set(folder: &Path, scope: &str, name: &str, value: &str) {
    let path = folder.join(scope).join(name);
    match fs::write(&path, value) {
        // A kernel without IPv6 is silent already; `all` lacks some of the names.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) if scope == "all" && error.raw_os_error() == Some(nix::errno::Errno::EINVAL as i32) => {}
        Err(error) => say(format!("{}: {error}", path.display())),
        Ok(()) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_that_are_there_already_are_silenced_too() {
        for (ipv6_wanted, disabled) in [(true, "0"), (false, "1")] {
            let folder = tempfile::tempdir().unwrap();
            for scope in ["all", "default", "eth0"] {
                let scope = folder.path().join(scope);
                fs::create_dir(&scope).unwrap();
                fs::write(scope.join("accept_ra"), "1").unwrap();
                fs::write(scope.join("disable_ipv6"), "0").unwrap();
            }
            write_all(folder.path(), ipv6_wanted);
            for scope in ["all", "default", "eth0"] {
                let read = |name: &str| fs::read_to_string(folder.path().join(scope).join(name)).unwrap();
                assert_eq!(read("accept_ra"), "0", "{scope}");
                assert_eq!(read("autoconf"), "0", "{scope}");
                assert_eq!(read("disable_ipv6"), disabled, "{scope}");
            }
        }
    }
}
