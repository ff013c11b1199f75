//! Questions to devices that may never answer: what is listed must not wait for a drive that dies, or for a medium of a
//! management controller whose server is gone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a device may take for an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Devices that have not answered yet, and since when.
static OPEN: Mutex<BTreeMap<PathBuf, Instant>> = Mutex::new(BTreeMap::new());

/// The answer of a device, asked on a thread of its own; `None` when it does not come in time. Whoever has let an
/// earlier question wait for longer than that is not asked, and nobody waits for it.
pub(super) fn answer<T: Send + 'static>(
    device: &Path,
    patience: Duration,
    question: impl FnOnce(&Path) -> T + Send + 'static,
) -> Option<T> {
    let since = *open().entry(device.to_owned()).or_insert_with(Instant::now);
    if since.elapsed() > patience {
        return None;
    }
    let (tell, told) = mpsc::channel();
    let asked = device.to_owned();
    let work = move || {
        let answer = question(&asked);
        open().remove(&asked);
        // Nobody may listen any more.
        tell.send(answer).unwrap_or_default();
    };
    if let Err(error) = thread::Builder::new().name("question".into()).spawn(work) {
        tracing::warn!("{} is not asked: there is no thread for it: {error}", device.display());
        open().remove(device);
        return None;
    }
    let answer = told.recv_timeout(patience).ok();
    if answer.is_none() {
        tracing::warn!("{} did not answer within {} s", device.display(), patience.as_secs());
    }
    answer
}

fn open() -> MutexGuard<'static, BTreeMap<PathBuf, Instant>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn who_does_not_answer_is_waited_for_once() {
        let device = Path::new("/dev/of-this-test-only");
        let short = Duration::from_millis(20);
        let (release, held) = mpsc::channel::<()>();
        let (ended, end) = mpsc::channel();
        let silent = move |_: &Path| {
            held.recv().unwrap();
            ended.send(()).unwrap();
        };
        assert_eq!(answer(device, short, silent), None);
        assert_eq!(answer(device, short, |_| panic!("nobody waits for it again")), None::<()>);
        release.send(()).unwrap();
        end.recv().unwrap();
        while open().contains_key(device) {
            thread::yield_now();
        }
        assert_eq!(answer(device, PATIENCE, |_| 7), Some(7));
    }
}
