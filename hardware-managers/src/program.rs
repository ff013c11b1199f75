//! Programs of the ramdisk that a step cannot do without: started without a shell, watched, and not believed beyond
//! their exit status.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Most bytes that are kept of what a program prints, of each of its two outputs.
const MAX_OUTPUT: u64 = 64 << 10;
/// How often it is looked whether a program has ended.
const LOOK: Duration = Duration::from_millis(10);
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
}

/// What a program printed, both outputs one after the other, cut at a bound.
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
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env_clear()
        .env("LC_ALL", "C")
        .env("PATH", FOLDERS.join(":"));
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    let mut child = command.spawn().map_err(failed)?;
    let outputs = [child.stdout.take().map(collect), child.stderr.take().map(collect)];
    let shown = show(program, arguments);
    let status = match wait(&mut child, deadline, cancelled) {
        Ok(Some(status)) => status,
        Ok(None) if cancelled() => return Err(ProgramError::Cancelled { command: shown }),
        Ok(None) => return Err(ProgramError::TimedOut { command: shown, deadline }),
        Err(source) => return Err(failed(source)),
    };
    let mut text = String::new();
    for output in outputs.into_iter().flatten() {
        // A reader that panicked has read nothing of use.
        text.push_str(&output.join().unwrap_or_default());
    }
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

/// The exit status; `None` when the program was killed.
fn wait(
    child: &mut Child,
    deadline: Duration,
    cancelled: &dyn Fn() -> bool,
) -> io::Result<Option<ExitStatus>> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end || cancelled() {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
}

/// Reads to the end, so that the program never blocks, and keeps the beginning.
fn collect(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut kept = Vec::new();
        let ended = from.by_ref().take(MAX_OUTPUT).read_to_end(&mut kept);
        if let Err(error) = ended.and_then(|_| io::copy(&mut from, &mut io::sink())) {
            tracing::debug!(%error, "a program's output was cut off");
        }
        String::from_utf8_lossy(&kept).into_owned()
    })
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
        let output = shell("head -c 10000000 /dev/zero", LONG).unwrap();
        assert_eq!(output.text.len() as u64, MAX_OUTPUT);
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run("no-such-program", &[], None, LONG, &|| false).unwrap_err();
        assert_eq!(error.to_string(), "the ramdisk has no program no-such-program");
    }
}
