//! Asking many devices at the same time, none of which keeps the others or the caller waiting: a disk that dies may
//! keep the kernel for an hour.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// For how long a device may be silent: the kernel tries again several times, each of which takes a minute.
pub(crate) const SILENCE: Duration = Duration::from_secs(900);
/// How often the caller is asked whether to stop.
const TICK: Duration = Duration::from_millis(50);

/// Asks every subject, each in a thread of its own, and returns the answers in the subjects' order. In the place of one
/// that does not come within `silence` is why, in words. `None` when the caller wants to stop: nobody is waited for
/// then.
pub(crate) fn ask_all<S, A>(
    subjects: &[S],
    silence: Duration,
    cancelled: &dyn Fn() -> bool,
    ask: impl Fn(&S) -> A + Send + Sync + 'static,
) -> Option<Vec<Result<A, String>>>
where
    S: Clone + Send + 'static,
    A: Send + 'static,
{
    let ask = Arc::new(ask);
    let (tell, told) = mpsc::channel();
    let mut answers: BTreeMap<usize, Result<A, String>> = BTreeMap::new();
    let mut running = 0;
    for (number, subject) in subjects.iter().enumerate() {
        let (ask, subject, tell) = (ask.clone(), subject.clone(), tell.clone());
        // Detached, and nobody may listen any more.
        let work = move || tell.send((number, ask(&subject))).unwrap_or_default();
        match thread::Builder::new().spawn(work) {
            Ok(_) => running += 1,
            Err(error) => {
                answers
                    .insert(number, Err(format!("could not be asked: there is no thread for it ({error})")));
            }
        }
    }
    drop(tell);
    let begun = Instant::now();
    while running > 0 && begun.elapsed() < silence {
        match told.recv_timeout(TICK) {
            Ok((number, answer)) => {
                answers.insert(number, Ok(answer));
                running -= 1;
            }
            Err(RecvTimeoutError::Timeout) => {}
            // What is missing has panicked.
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if cancelled() {
            return None;
        }
    }
    let missing = || Err(format!("did not answer within {} s", silence.as_secs()));
    Some((0..subjects.len()).map(|number| answers.remove(&number).unwrap_or_else(missing)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn who_does_not_answer_keeps_nobody_waiting() {
        let gate = Arc::new(Mutex::new(()));
        let closed = gate.lock().unwrap();
        let ask = {
            let gate = gate.clone();
            move |number: &u32| {
                if *number == 1 {
                    drop(gate.lock());
                }
                number * 2
            }
        };
        let answers = ask_all(&[0, 1, 2], Duration::from_millis(200), &|| false, ask.clone()).unwrap();
        assert_eq!((&answers[0], &answers[2]), (&Ok(0), &Ok(4)));
        assert!(answers[1].as_ref().unwrap_err().starts_with("did not answer"), "{answers:?}");
        assert_eq!(ask_all(&[1], SILENCE, &|| true, ask), None);
        drop(closed);
    }
}
