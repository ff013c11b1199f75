//! What a child process is started with: a session of its own, bounds where there are any, and no files but its
//! standard ones.
#![expect(unsafe_code, reason = "code that runs in a child between fork and exec")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Bounds of a child process and of each of its descendants.
#[derive(Clone, Copy, Debug)]
pub struct Confinement {
    /// Address space in bytes (`RLIMIT_AS`).
    pub address_space_bytes: u64,
    /// Open files (`RLIMIT_NOFILE`).
    pub open_files: u64,
}

/// As [`isolate`], and within these bounds, without core dumps.
pub fn confine(command: &mut Command, bounds: Confinement) {
    let prepare = move || {
        limit(libc::RLIMIT_AS as libc::c_int, bounds.address_space_bytes)?;
        limit(libc::RLIMIT_NOFILE as libc::c_int, bounds.open_files)?;
        limit(libc::RLIMIT_CORE as libc::c_int, 0)
    };
    // SAFETY: as for `isolate`.
    unsafe {
        command.pre_exec(prepare);
    }
    isolate(command);
}

/// Makes `command` start its child as the leader of a new session, with no file of ours but the standard ones, and so
/// that the kernel kills it when the thread that starts it ends.
pub fn isolate(command: &mut Command) {
    let prepare = || {
        // SAFETY: takes no pointer.
        checked(libc::c_long::from(unsafe { libc::setsid() }))?;
        // SAFETY: takes no pointer for this request.
        checked(libc::c_long::from(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }))?;
        // SAFETY: takes no pointer. The descriptors are not closed but marked: the standard library's own pipe for
        // errors of exec is among them. A kernel before 5.11 knows no such call; everything that this program opens
        // is marked from the start.
        let marked =
            checked(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) });
        match marked {
            Err(error) if ![Some(libc::ENOSYS), Some(libc::EINVAL)].contains(&error.raw_os_error()) => {
                Err(error)
            }
            _ => Ok(()),
        }
    };
    // SAFETY: between fork and exec the closure makes nothing but system calls: it takes no lock and allocates nothing,
    // and an error is one of the operating system, which is a number.
    unsafe {
        command.pre_exec(prepare);
    }
}

/// Of this process. The system call itself, since C libraries differ in the type of `resource`.
fn limit(resource: libc::c_int, value: u64) -> io::Result<()> {
    let limit = [value, value];
    let nowhere = std::ptr::null_mut::<u64>();
    // SAFETY: the kernel reads one `struct rlimit64`, which is two 64-bit numbers, and writes nothing to a null pointer.
    checked(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, limit.as_ptr(), nowhere) })
}

fn checked(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn shell(script: &str) -> String {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        confine(&mut command, Confinement { address_space_bytes: 1 << 30, open_files: 64 });
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_child_does_not_outlive_the_thread_that_started_it() {
        let start = || {
            let mut command = Command::new("sleep");
            command.arg("600");
            isolate(&mut command);
            command.spawn().unwrap()
        };
        let mut child = std::thread::spawn(start).join().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    }

    #[test]
    fn bounds_session_and_files() {
        assert_eq!(shell("ulimit -v; ulimit -n; ulimit -c"), "1048576\n64\n0\n");
        let session = shell("echo $$; cut -d ' ' -f 6 /proc/$$/stat");
        let mut lines = session.lines();
        assert_eq!(lines.next(), lines.next());

        // A file that somebody else's code opened without the mark.
        let file = tempfile::tempfile().unwrap();
        // SAFETY: duplicates a descriptor of ours; the copy is closed below.
        let leaked = unsafe { libc::dup(file.as_raw_fd()) };
        assert!(leaked > 2);
        assert_eq!(shell(&format!("test -e /proc/self/fd/{leaked} || echo none")), "none\n");
        // SAFETY: the copy is nobody else's.
        assert_eq!(unsafe { libc::close(leaked) }, 0);
    }
}
