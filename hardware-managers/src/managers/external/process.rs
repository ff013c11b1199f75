//! Runs an external manager for one request: bounded in time, memory and output, alone with its pipes, and killed with
//! all its descendants at the end, however it ends.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tacit_blockdev::{Confinement, confine};

use super::fault::Fault;
use super::lines::{Line, Lines};
use super::session::Session;
use crate::strays;

/// A line of output; the inventory of a large machine is a tenth of it.
pub(super) const LINE_LIMIT: usize = 1 << 20;
/// Address space of a manager and of each process that it starts.
const MEMORY_BYTES: u64 = 1 << 30;
const OPEN_FILES: u64 = 1024;
/// Output that any request may have, and what is allowed besides for each second that it takes.
const OUTPUT_BYTES: u64 = 16 << 20;
const OUTPUT_BYTES_PER_SECOND: u64 = 64 << 10;
/// From the end of the output to the end of the process.
const EXIT_GRACE: Duration = Duration::from_secs(5);
/// How long a file may be busy.
const BUSY: Duration = Duration::from_secs(1);
/// From SIGTERM to SIGKILL.
const TERM_GRACE: Duration = Duration::from_secs(2);
/// How long a wish to stop may go unnoticed.
const TICK_MS: u8 = 25;
/// The same, when all that is waited for is the end of the process.
const LAST_TICK_MS: u8 = 2;

/// Of standard error, a line and the number of lines that are logged.
const LOG_LINE: usize = 1024;
const LOG_LINES: u32 = 200;

/// One request to one program.
pub(super) struct Errand<'a> {
    pub(super) program: &'a Path,
    /// Name for the log.
    pub(super) name: &'a str,
    pub(super) arguments: Vec<&'a str>,
    pub(super) input: Vec<u8>,
    pub(super) time: Duration,
    /// How long it may take to stop, and what is written to it to make it.
    pub(super) stop: Option<(Duration, Vec<u8>)>,
}

/// Who hears what the program says.
pub(super) trait Listener {
    /// A line of standard output, without its end.
    fn line(&mut self, line: &[u8]) -> Result<(), Fault>;

    /// Whether the program is to stop; asked only where [`Errand::stop`] is given.
    fn stop_wanted(&self) -> bool;
}

/// How a program ended that did nothing that it must not.
#[derive(Debug)]
pub(super) struct End {
    pub(super) status: ExitStatus,
    /// Whether its last line has no end.
    pub(super) half_line: bool,
    pub(super) stop_asked: bool,
}

/// Runs the program to its end. `last_words` becomes the last line of its standard error.
pub(super) fn run(
    errand: &Errand<'_>,
    listener: &mut dyn Listener,
    last_words: &mut Option<String>,
) -> Result<End, Fault> {
    let mut command = Command::new(errand.program);
    let (variable, mark) = strays::mark();
    command
        .args(&errand.arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .env("HOME", "/")
        .env(variable, &mark)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    confine(&mut command, Confinement { address_space_bytes: MEMORY_BYTES, open_files: OPEN_FILES });
    let mut child = start(&mut command)?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let session = Session::of(child, mark);
    let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err(Fault::Pipe(io::Error::other("a pipe is missing")));
    };
    for pipe in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
        fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(|error| Fault::Pipe(error.into()))?;
    }
    let mut talk = Talk {
        stdin: Some(stdin),
        stdout: Some(stdout),
        stderr: Some(stderr),
        input: errand.input.clone(),
        written: 0,
        keep_stdin: errand.stop.is_some(),
        lines: Lines::new(LINE_LIMIT),
        log: Log { name: errand.name, lines: Lines::new(LOG_LINE), count: 0, last: None },
        received: 0,
        begun: Instant::now(),
    };
    let outcome = talk.supervise(errand, listener, session);
    *last_words = talk.log.end();
    outcome
}

/// A program that somebody writes at this moment, or that a child of ours holds open until it has become another
/// program, is busy for an instant only.
fn start(command: &mut Command) -> Result<Child, Fault> {
    let begun = Instant::now();
    loop {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && begun.elapsed() < BUSY => {
                std::thread::sleep(BUSY / 100);
            }
            outcome => return outcome.map_err(Fault::Start),
        }
    }
}

/// What has to be done to a program that is to stop.
enum Stopping {
    No,
    Asked(Instant),
    Terminated(Instant),
}

struct Talk<'a> {
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    input: Vec<u8>,
    written: usize,
    /// Whether more may have to be said later.
    keep_stdin: bool,
    lines: Lines,
    log: Log<'a>,
    received: u64,
    begun: Instant,
}

impl Talk<'_> {
    fn supervise(
        &mut self,
        errand: &Errand<'_>,
        listener: &mut dyn Listener,
        session: Session,
    ) -> Result<End, Fault> {
        let mut stopping = Stopping::No;
        let mut closed_at = None;
        loop {
            self.wait()?;
            self.write()?;
            self.read(listener)?;
            self.read_log()?;
            let exited = session.has_exited().map_err(Fault::Pipe)?;
            if exited && self.stdout.is_some() {
                // Whatever else holds the pipe is not what was started; what it wrote until now is taken.
                session.kill_all()?;
                self.read(listener)?;
            }
            if exited {
                break;
            }
            if self.begun.elapsed() > errand.time {
                return Err(Fault::TimedOut(errand.time));
            }
            if self.stdout.is_none() {
                let since: Instant = *closed_at.get_or_insert_with(Instant::now);
                if since.elapsed() > EXIT_GRACE {
                    return Err(Fault::Lingered(EXIT_GRACE));
                }
            }
            if let Some((grace, words)) = &errand.stop {
                stopping = self.stop(stopping, *grace, words, listener.stop_wanted(), &session)?;
            }
        }
        self.read_log()?;
        let status = session.end()?;
        let stop_asked = !matches!(stopping, Stopping::No);
        Ok(End { status, half_line: !self.lines.rest().is_empty(), stop_asked })
    }

    fn stop(
        &mut self,
        stopping: Stopping,
        grace: Duration,
        words: &[u8],
        wanted: bool,
        session: &Session,
    ) -> Result<Stopping, Fault> {
        Ok(match stopping {
            Stopping::No if wanted => {
                self.input.extend_from_slice(words);
                self.keep_stdin = false;
                Stopping::Asked(Instant::now())
            }
            Stopping::Asked(since) if since.elapsed() > grace => {
                session.terminate();
                Stopping::Terminated(Instant::now())
            }
            Stopping::Terminated(since) if since.elapsed() > TERM_GRACE => return Err(Fault::Stopped),
            other => other,
        })
    }

    /// Until something can be read or written, but not for long.
    fn wait(&self) -> Result<(), Fault> {
        let tick = if self.stdout.is_some() { TICK_MS } else { LAST_TICK_MS };
        let mut pipes: Vec<PollFd<'_>> = Vec::with_capacity(3);
        if let Some(stdout) = &self.stdout {
            pipes.push(PollFd::new(stdout.as_fd(), PollFlags::POLLIN));
        }
        if let Some(stderr) = &self.stderr {
            pipes.push(PollFd::new(stderr.as_fd(), PollFlags::POLLIN));
        }
        if let (Some(stdin), true) = (&self.stdin, self.written < self.input.len()) {
            pipes.push(PollFd::new(stdin.as_fd(), PollFlags::POLLOUT));
        }
        match poll(&mut pipes, PollTimeout::from(tick)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(Fault::Pipe(error.into())),
        }
    }

    /// A program need not read what it is told.
    fn write(&mut self) -> Result<(), Fault> {
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        while self.written < self.input.len() {
            match stdin.write(&self.input[self.written..]) {
                Ok(0) => break,
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                    self.stdin = None;
                    return Ok(());
                }
                Err(error) => return Err(Fault::Pipe(error)),
            }
        }
        if !self.keep_stdin {
            self.stdin = None;
        }
        Ok(())
    }

    fn read(&mut self, listener: &mut dyn Listener) -> Result<(), Fault> {
        let mut buffer = [0; 16 << 10];
        while let Some(stdout) = &mut self.stdout {
            let Some(count) = read_some(stdout, &mut buffer)? else { return Ok(()) };
            if count == 0 {
                self.stdout = None;
                return Ok(());
            }
            self.received += count as u64;
            if self.received > OUTPUT_BYTES + OUTPUT_BYTES_PER_SECOND * self.begun.elapsed().as_secs() {
                return Err(Fault::Flood);
            }
            self.lines.feed(&buffer[..count], |line| match line {
                Line::Whole(line) => listener.line(line),
                Line::Cut(_) => Err(Fault::LongLine(LINE_LIMIT)),
            })?;
        }
        Ok(())
    }

    /// At most as much as a pipe holds at a time: a program that writes without end must not keep us here.
    fn read_log(&mut self) -> Result<(), Fault> {
        let mut buffer = [0; 16 << 10];
        for _ in 0..4 {
            let Some(stderr) = &mut self.stderr else { return Ok(()) };
            let Some(count) = read_some(stderr, &mut buffer)? else { return Ok(()) };
            if count == 0 {
                self.stderr = None;
                return Ok(());
            }
            self.log.take(&buffer[..count]);
        }
        Ok(())
    }
}

/// `None` when there is nothing at the moment.
fn read_some(pipe: &mut impl Read, buffer: &mut [u8]) -> Result<Option<usize>, Fault> {
    loop {
        match pipe.read(buffer) {
            Ok(count) => return Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Fault::Pipe(error)),
        }
    }
}

/// Standard error on its way to the log.
struct Log<'a> {
    name: &'a str,
    lines: Lines,
    count: u32,
    last: Option<String>,
}

impl Log<'_> {
    fn take(&mut self, bytes: &[u8]) {
        let Self { name, lines, count, last } = self;
        let fed: Result<(), std::convert::Infallible> = lines.feed(bytes, |line| {
            let (Line::Whole(line) | Line::Cut(line)) = line;
            *count = count.saturating_add(1);
            if *count <= LOG_LINES {
                tracing::info!("{name}: {}", shown(line));
            }
            if !line.trim_ascii().is_empty() {
                *last = Some(shown(line));
            }
            Ok(())
        });
        match fed {
            Ok(()) => {}
        }
    }

    /// The last line.
    fn end(&mut self) -> Option<String> {
        self.take(b"\n");
        if self.count > LOG_LINES {
            tracing::info!("{}: {} more lines are not logged", self.name, self.count - LOG_LINES);
        }
        self.last.take()
    }
}

/// Bytes of a program as text for people: on one line, and without anything that a terminal would obey.
pub(super) fn shown(bytes: &[u8]) -> String {
    const SHOWN: usize = 200;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    let more = if bytes.len() > SHOWN { "…" } else { "" };
    let clean: String =
        text.trim_end().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    clean + more
}
