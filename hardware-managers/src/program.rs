//! Programs of the ramdisk that a step cannot do without: started without a shell, watched, and not believed beyond
//! their exit status.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tacit_blockdev::isolate;

use crate::strays::{self, Process};

/// Most bytes that are kept of what a program prints, of each of its two outputs: one half from the beginning, the other
/// from the end.
const MAX_OUTPUT: usize = 64 << 10;
/// How often it is looked whether a program has ended.
const LOOK: Duration = Duration::from_millis(10);
/// How long the outputs of a program that has ended may stay open.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Where programs are looked for besides `PATH`, which a ramdisk's first process may not have.
const FOLDERS: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Why a program was of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    #[error("the ramdisk has no program {program}")]
    Missing { program: String },
    #[error("cannot run {program}")]
    Start { program: String, source: io::Error },
    #[error("{command} ended with {status}: {output}")]
    Failed { command: String, status: ExitStatus, output: String },
    #[error("{command} did not end within {} s and was killed", deadline.as_secs())]
    TimedOut { command: String, deadline: Duration },
    #[error("{command} was killed, as asked")]
    Cancelled { command: String },
    /// Something of it waits in the kernel, where nothing reaches it.
    #[error("{command} was killed and has not gone: processes {processes}")]
    Stays { command: String, processes: String },
    #[error("{command} ended, and somebody else holds its output open")]
    Held { command: String },
}

/// What a program printed, both outputs one after the other, each without its middle where it is long.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) text: String,
}

/// Runs a program to its end.
///
/// # Errors
///
/// [`ProgramError`]; any exit status other than 0 is one. After the deadline, or once `cancelled` says so, the program
/// is killed.
pub(crate) fn run(
    program: &str,
    arguments: &[OsString],
    folder: Option<&Path>,
    deadline: Duration,
    cancelled: &dyn Fn() -> bool,
) -> Result<Output, ProgramError> {
    let path = find(program).ok_or_else(|| ProgramError::Missing { program: program.to_owned() })?;
    let failed = |source| ProgramError::Start { program: program.to_owned(), source };
    let mut command = Command::new(&path);
    let (variable, mark) = strays::mark();
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env_clear()
        .env("LC_ALL", "C")
        .env("PATH", FOLDERS.join(":"))
        // An agent that is killed may leave something of it running.
        .env(variable, &mark);
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    isolate(&mut command);
    let mut child = command.spawn().map_err(failed)?;
    let readers: Vec<Receiver<String>> =
        [child.stdout.take().map(collect), child.stderr.take().map(collect)].into_iter().flatten().collect();
    let shown = show(program, arguments);
    let leader = Pid::from_raw(i32::try_from(child.id()).expect("the kernel's process ids are positive i32"));
    let kill = || kill_all(leader, &mark, &shown, Process::kill, strays::PATIENCE);
    match wait(leader, deadline, cancelled).map_err(failed)? {
        Ended::Itself => {}
        killed => {
            kill()?;
            child.wait().map_err(failed)?;
            return Err(match killed {
                Ended::Cancelled => ProgramError::Cancelled { command: shown },
                _ => ProgramError::TimedOut { command: shown, deadline },
            });
        }
    }
    let mut texts = Vec::new();
    if !gather(&readers, &mut texts) {
        // What it left behind is not what was started, and none of its words are missed.
        kill()?;
        if !gather(&readers, &mut texts) {
            return Err(ProgramError::Held { command: shown });
        }
    }
    // Not before: until then its number is nobody else's.
    let status = child.wait().map_err(failed)?;
    let text = texts.concat();
    if status.success() {
        return Ok(Output { text });
    }
    Err(ProgramError::Failed { command: shown, status, output: one_line(&text) })
}

/// Where the program is: a path as it is, a name in the usual folders.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        let path = PathBuf::from(program);
        return path.is_file().then_some(path);
    }
    let named = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&named)
        .chain(FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// Why a program is waited for no longer.
enum Ended {
    Itself,
    Late,
    Cancelled,
}

fn wait(leader: Pid, deadline: Duration, cancelled: &dyn Fn() -> bool) -> io::Result<Ended> {
    let end = Instant::now() + deadline;
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        match waitid(Id::Pid(leader), flags) {
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(Ended::Itself),
            Err(error) => return Err(error.into()),
        }
        if cancelled() {
            return Ok(Ended::Cancelled);
        }
        if Instant::now() >= end {
            return Ok(Ended::Late);
        }
        thread::sleep(LOOK);
    }
}

/// The program and what it has started.
///
/// # Errors
///
/// [`ProgramError::Stays`] when something of that is not gone after `patience`. Nothing is written to a disk beside it
/// then.
fn kill_all(
    leader: Pid,
    mark: &str,
    shown: &str,
    kill: impl Fn(Process),
    patience: Duration,
) -> Result<(), ProgramError> {
    let left = strays::end_all(|| strays::descendants(leader.as_raw(), mark), kill, patience);
    if left.is_empty() {
        return Ok(());
    }
    let processes = strays::numbers(&left);
    strays::remember(left);
    Err(ProgramError::Stays { command: shown.to_owned(), processes })
}

/// Takes what the program printed, output by output; whether that is all.
fn gather(readers: &[Receiver<String>], texts: &mut Vec<String>) -> bool {
    let due = Instant::now() + LAST_WORDS;
    while texts.len() < readers.len() {
        match readers[texts.len()].recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(text) => texts.push(text),
            // A reader that panicked has read nothing of use.
            Err(RecvTimeoutError::Disconnected) => texts.push(String::new()),
            Err(RecvTimeoutError::Timeout) => return false,
        }
    }
    true
}

/// Reads to the end, so that the program never blocks, and keeps the beginning and the end.
fn collect(mut from: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        const HALF: usize = MAX_OUTPUT / 2;
        let mut kept = Vec::new();
        let ended = from.by_ref().take(HALF as u64).read_to_end(&mut kept).and_then(|_| {
            let (mut tail, mut piece) = (Vec::new(), [0; 4096]);
            loop {
                match from.read(&mut piece) {
                    Ok(0) => break,
                    Ok(read) => tail.extend_from_slice(&piece[..read]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
                // Not each time, which would move all of it for every piece.
                if tail.len() > 2 * HALF {
                    tail.drain(..tail.len() - HALF);
                }
            }
            kept.extend_from_slice(&tail[tail.len().saturating_sub(HALF)..]);
            Ok(())
        });
        if let Err(error) = ended {
            tracing::debug!(%error, "a program's output was cut off");
        }
        // Nobody may listen any more.
        tell.send(String::from_utf8_lossy(&kept).into_owned()).unwrap_or_default();
    });
    told
}

fn show(program: &str, arguments: &[OsString]) -> String {
    let mut text = program.to_owned();
    for argument in arguments {
        write!(text, " {}", OsStr::to_string_lossy(argument)).expect("writing to a String succeeds");
    }
    text
}

fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { "it printed nothing".to_owned() } else { lines.join(" / ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, deadline: Duration) -> Result<Output, ProgramError> {
        run("sh", &["-c".into(), script.into()], None, deadline, &|| false)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn output_and_exit_status_are_told() {
        assert_eq!(shell("echo out; echo err >&2", LONG).unwrap().text, "out\nerr\n");
        let error = shell("echo why >&2; exit 3", LONG).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.ends_with("why"), "{error}");
        let error = shell("exit 1", LONG).unwrap_err().to_string();
        assert!(error.ends_with("it printed nothing"), "{error}");
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let error = shell("exec sleep 1000", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, ProgramError::TimedOut { .. }), "{error}");
        let cancel = || true;
        let error = run("sleep", &["1000".into()], None, LONG, &cancel).unwrap_err();
        assert!(matches!(error, ProgramError::Cancelled { .. }), "{error}");
    }

    #[test]
    fn a_program_that_prints_without_end_is_bounded() {
        let output = shell("echo first; head -c 10000000 /dev/zero; echo last", LONG).unwrap();
        assert_eq!(output.text.len(), MAX_OUTPUT);
        assert!(output.text.starts_with("first\n") && output.text.ends_with("last\n"));
    }

    #[test]
    fn what_it_started_is_killed_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! >{0}.new; mv {0}.new {0}; wait", pid.display());
        let error = run("sh", &["-c".into(), script.into()], None, LONG, &|| pid.exists()).unwrap_err();
        assert!(matches!(error, ProgramError::Cancelled { .. }), "{error}");
        let stat = format!("/proc/{}/stat", std::fs::read_to_string(&pid).unwrap().trim());
        let lives = || {
            let stat = std::fs::read_to_string(&stat).unwrap_or_default();
            stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
        };
        let end = Instant::now() + Duration::from_secs(10);
        while lives() && Instant::now() < end {
            thread::yield_now();
        }
        assert!(!lives());
    }

    #[test]
    fn a_program_that_has_ended_is_not_waited_for_because_of_what_it_left() {
        let begun = Instant::now();
        // In a session of its own, with both outputs.
        let output = shell("setsid sleep 1000 & echo out; echo err >&2", LONG).unwrap();
        assert_eq!(output.text, "out\nerr\n");
        assert!(begun.elapsed() < LONG / 2);
    }

    #[test]
    fn a_program_that_cannot_be_killed_is_said_to_stay() {
        let mut command = Command::new("sleep");
        let (variable, mark) = strays::mark();
        command.arg("1000").env(variable, &mark);
        isolate(&mut command);
        let mut child = command.spawn().unwrap();
        let leader = Pid::from_raw(child.id().try_into().unwrap());
        let kill = |kill: fn(Process)| kill_all(leader, &mark, "sleep", kill, Duration::from_millis(50));
        let error = kill(|_| {}).unwrap_err();
        assert_eq!(error.to_string(), format!("sleep was killed and has not gone: processes {leader}"));
        child.kill().unwrap();
        child.wait().unwrap();
        kill(Process::kill).unwrap();
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run("no-such-program", &[], None, LONG, &|| false).unwrap_err();
        assert_eq!(error.to_string(), "the ramdisk has no program no-such-program");
    }
}
