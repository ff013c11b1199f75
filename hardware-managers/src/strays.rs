//! Programs that outlive whoever started them: those of an agent that was killed, and those that cannot be killed.
//! Nothing may be written to a disk beside them.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Environment variable of every program that is started for a step, which its descendants inherit: the namespace in
/// which processes are counted, number and start of the process that started it, and a count.
const VARIABLE: &str = "TACIT_MANAGER_RUN";
/// How long a killed process may take: one that writes has to finish the request that it waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(2);

/// Where the numbers of processes mean what they mean here. In a container, they are others.
static NAMESPACE: LazyLock<Option<u64>> =
    LazyLock::new(|| fs::metadata("/proc/self/ns/pid").ok().map(|namespace| namespace.ino()));
/// Processes that are to end, and have not.
static STRAYS: Mutex<BTreeSet<Process>> = Mutex::new(BTreeSet::new());

/// Programs that were killed and go on, so that nothing may be written to a disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("killed and not gone, so that nothing may be written beside them: processes {0}")]
pub struct StraysRemain(String);

/// A process. Its number alone may be another one's later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    pid: i32,
    /// In clock ticks since the kernel started.
    start: u64,
}

/// What is needed of proc_pid_stat(5).
struct Stat {
    state: char,
    parent: i32,
    session: i32,
    threads: u64,
    start: u64,
}

impl Stat {
    fn read(pid: i32) -> io::Result<Self> {
        let text = fs::read(format!("/proc/{pid}/stat"))?;
        Self::parse(&String::from_utf8_lossy(&text)).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn parse(text: &str) -> Option<Self> {
        // The name in brackets may hold anything.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        // The first of these is the third of all.
        let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: number(4)?.try_into().ok()?,
            session: number(6)?.try_into().ok()?,
            threads: number(20)?.try_into().ok()?,
            start: number(22)?.try_into().ok()?,
        })
    }

    /// Whether nothing of it runs any more. Of a process whose first thread has ended, others may still write.
    fn is_over(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }
}

impl Process {
    /// The one that has this number now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Some(Self { pid, start: Stat::read(pid).ok()?.start })
    }

    fn own() -> Option<Self> {
        static OWN: OnceLock<Option<Process>> = OnceLock::new();
        *OWN.get_or_init(|| Self::of(std::process::id().try_into().ok()?))
    }

    fn is_over(self) -> bool {
        self.is_over_by(Stat::read(self.pid))
    }

    /// What cannot be read need not be gone: there may be no memory, or no descriptor, to read it with.
    fn is_over_by(self, stat: io::Result<Stat>) -> bool {
        match stat {
            Ok(stat) => stat.start != self.start || stat.is_over(),
            Err(error) => {
                let number = error.raw_os_error().map(Errno::from_raw);
                matches!(number, Some(Errno::ENOENT | Errno::ESRCH))
            }
        }
    }

    /// Whether a variable of the environment that it was started with is `name=value`, for a value that is wanted.
    fn has_variable(self, wanted: impl Fn(&str) -> bool) -> bool {
        let environment = fs::read(format!("/proc/{}/environ", self.pid)).unwrap_or_default();
        let mut entries = environment.split(|byte| *byte == 0).filter_map(|entry| str::from_utf8(entry).ok());
        entries.any(|entry| {
            entry.strip_prefix(VARIABLE).and_then(|rest| rest.strip_prefix('=')).is_some_and(&wanted)
        })
    }

    /// SIGKILL.
    pub(crate) fn kill(self) {
        match kill(Pid::from_raw(self.pid), Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => tracing::warn!("process {} cannot be killed: {error}", self.pid),
        }
    }
}

/// Name and value of the variable that a program has to be started with: another value each time.
pub(crate) fn mark() -> (&'static str, String) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // There is no namespace 0, so that nobody takes it for his own.
    let nobody = (0, Process { pid: 0, start: 0 });
    let (namespace, Process { pid, start }) = NAMESPACE.zip(Process::own()).unwrap_or(nobody);
    (VARIABLE, format!("{namespace}-{pid}-{start}-{}", COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// Whether a mark is one that is known here, and who made it is gone.
fn is_abandoned(mark: &str) -> bool {
    let numbers: Result<Vec<u64>, _> = mark.split('-').map(str::parse).collect();
    let Ok([namespace, pid, start, _]) = numbers.as_deref() else { return false };
    *NAMESPACE == Some(*namespace)
        && i32::try_from(*pid).is_ok_and(|pid| Process { pid, start: *start }.is_over())
}

/// Everything that came of the program that leads this session and was started with this mark.
pub(crate) fn descendants(leader: i32, mark: &str) -> Vec<Process> {
    running(|process, stat| stat.session == leader || process.has_variable(|value| value == mark))
}

/// Kills whatever is found, until nothing more is; what is still there after `patience`.
pub(crate) fn end_all(
    find: impl Fn() -> Vec<Process>,
    kill: impl Fn(Process),
    patience: Duration,
) -> Vec<Process> {
    let begun = Instant::now();
    let mut left: BTreeSet<Process> = BTreeSet::new();
    loop {
        // Who is found once need not be found again: a process that ends has no environment any more.
        left.retain(|process| !process.is_over());
        left.extend(find());
        if left.is_empty() || begun.elapsed() > patience {
            return left.into_iter().collect();
        }
        left.iter().copied().for_each(&kill);
        std::thread::sleep(LOOK);
    }
}

/// From now on nothing may be written until these have ended.
pub(crate) fn remember(strays: impl IntoIterator<Item = Process>) {
    STRAYS.lock().unwrap_or_else(PoisonError::into_inner).extend(strays);
}

/// Kills the programs that an agent left behind that is gone, and those that could not be killed before. To be called
/// before a disk is written to, or somebody is told that he may: they may be writing. `init` is a process below which
/// nothing but the caller has any business: what else is there is killed, too.
///
/// # Errors
///
/// [`StraysRemain`] when some have not ended ten seconds later, as those that wait for a disk that does not answer.
pub fn end_strays(init: Option<u32>) -> Result<(), StraysRemain> {
    let mut known = STRAYS.lock().unwrap_or_else(PoisonError::into_inner);
    let find = || {
        // Children of those that end are the first process's, and found the next time.
        let below = |stat: &Stat| init.is_some_and(|init| u32::try_from(stat.parent) == Ok(init));
        let marked = running(|process, stat| below(stat) || process.has_variable(is_abandoned));
        let known = known.iter().copied().filter(|process| !process.is_over());
        marked.into_iter().chain(known).collect::<Vec<_>>()
    };
    let found = find();
    if !found.is_empty() {
        tracing::warn!("killed, since who started them is gone: processes {}", numbers(&found));
    }
    let left = end_all(find, Process::kill, PATIENCE);
    *known = left.iter().copied().collect();
    if left.is_empty() {
        return Ok(());
    }
    Err(StraysRemain(numbers(&left)))
}

/// As text.
pub(crate) fn numbers(processes: &[Process]) -> String {
    processes.iter().map(|process| process.pid.to_string()).collect::<Vec<_>>().join(", ")
}

/// Those that have not ended, without this one.
fn running(wanted: impl Fn(Process, &Stat) -> bool) -> Vec<Process> {
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers
        .filter_map(|pid| {
            let stat = Stat::read(pid).ok()?;
            let process = Process { pid, start: stat.start };
            (Some(process) != Process::own() && !stat.is_over() && wanted(process, &stat)).then_some(process)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Stdio};
    use std::sync::MutexGuard;

    use super::*;

    /// What one test remembers, another one would end.
    fn alone() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sleeper(mark: &str) -> Child {
        Command::new("sleep").arg("600").env(VARIABLE, mark).spawn().unwrap()
    }

    fn killed(mut child: Child) -> bool {
        child.wait().unwrap().signal() == Some(9)
    }

    #[test]
    fn only_programs_of_an_agent_that_is_gone_are_strays() {
        let _alone = alone();
        // Process 1 did not start at the end of all time: whoever did is gone.
        let (namespace, gone) = (NAMESPACE.unwrap(), format!("1-{}", i64::MAX));
        let abandoned = sleeper(&format!("{namespace}-{gone}-0"));
        let others = [
            mark().1,
            "of somebody else".to_owned(),
            // Those of agents that write other marks, and of one that counts processes in another way.
            gone.clone(),
            format!("{gone}-0"),
            format!("{namespace}-{gone}"),
            format!("{namespace}-{gone}-0-0"),
            format!("{}-{gone}-0", namespace + 1),
        ];
        let mut left = others.map(|mark| (sleeper(&mark), mark));
        assert_eq!(end_strays(None), Ok(()));
        assert!(killed(abandoned));
        for (child, mark) in &mut left {
            let ended = child.try_wait().unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!(ended, None, "{mark}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_gone() {
        let process = Process::own().unwrap();
        for (error, over) in
            [(Errno::ENOENT, true), (Errno::ESRCH, true), (Errno::EMFILE, false), (Errno::ENOMEM, false)]
        {
            assert_eq!(process.is_over_by(Err(error.into())), over, "{error}");
        }
        assert!(!process.is_over_by(Err(io::ErrorKind::InvalidData.into())));
        assert!(!process.is_over() && Process { start: process.start + 1, ..process }.is_over());
    }

    #[test]
    fn what_is_below_the_first_process_is_a_stray_when_it_is_said_so() {
        let _alone = alone();
        let mut parent = Command::new("sh")
            .args(["-c", "sleep 600 & echo $!; read end; wait $!; echo $?"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut output, mut byte) = (parent.stdout.take().unwrap(), [0]);
        while byte[0] != b'\n' {
            output.read_exact(&mut byte).unwrap();
        }
        assert_eq!(end_strays(Some(parent.id())), Ok(()));
        drop(parent.stdin.take());
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "137\n");
        parent.wait().unwrap();
    }

    #[test]
    fn what_cannot_be_killed_is_not_waited_for_without_end() {
        let _alone = alone();
        let mut child = sleeper(&mark().1);
        let process = Process::of(child.id().try_into().unwrap()).unwrap();
        let left = end_all(|| vec![process], |_| {}, Duration::from_millis(20));
        assert_eq!(left, [process]);
        remember(left);
        // Found once, it is waited for until it is gone.
        let seen = AtomicU64::new(0);
        let find = || if seen.fetch_add(1, Ordering::Relaxed) == 0 { vec![process] } else { Vec::new() };
        assert_eq!(end_all(find, |_| {}, Duration::from_millis(20)), [process]);
        assert_eq!(end_strays(None), Ok(()));
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
