//! The threads between a source and the writers: fetch → digests and, beside them, fetch → transform.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::codec::Piece;
use crate::error::Failure;
use crate::extent::Slice;
use crate::fetch::{Fetcher, Never, Stop};
use crate::pool::{BLOCK, Pool};
use crate::progress::{Counters, Reporter};
use crate::source::{RetryPolicy, Source};
use crate::survey::{Expected, Survey, survey};
use crate::vouch::{Verdict, Vouch, judge};

/// Blocks between the source and those who read it, and how many may wait for each.
const BLOCKS: usize = 14;
pub(crate) const QUEUE: usize = 4;
/// How often a waiting thread asks whether it was cancelled.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// What is fetched after the survey.
pub(crate) enum Plan {
    Everything,
    /// In ascending order, without overlap.
    Ranges(Vec<Range<u64>>),
}

/// The running threads. Dropped, it lets all of them end; a reader that blocks just then ends with its own time-out.
pub(crate) struct Pipeline {
    survey: Receiver<Survey>,
    plan: Sender<Plan>,
    pub(crate) served: Receiver<Piece>,
    verdicts: Vec<Receiver<Verdict>>,
    pub(crate) first_failure: FirstFailure,
    _wanted: Sender<Never>,
}

/// What stopped the first thread that stopped; the others only notice that their neighbours are gone.
#[derive(Clone, Default)]
pub(crate) struct FirstFailure(Arc<Mutex<Option<Failure>>>);

impl FirstFailure {
    pub(crate) fn set(&self, failure: Failure) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
    }

    pub(crate) fn take(&self) -> Failure {
        let first = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or(Failure::Internal("a thread of the image pipeline ended without a reason"))
    }
}

impl Pipeline {
    /// Starts fetching; each of `vouches` sees all bytes as served, unless a plan leaves some out.
    pub(crate) fn start(
        sources: Vec<Box<dyn Source>>,
        retry: RetryPolicy,
        vouches: Vec<Vouch>,
        expected: Expected,
        counters: &Arc<Counters>,
    ) -> Result<Self, Failure> {
        let (wanted, abandoned) = bounded(0);
        let (survey_to, survey) = bounded(1);
        let (plan, plan_from) = bounded(1);
        let (served_to, served) = bounded(QUEUE);
        let first_failure = FirstFailure::default();
        let mut consumers = vec![served_to];
        let mut verdicts = Vec::new();
        for vouch in vouches {
            let (to_vouch, pieces) = bounded(QUEUE);
            let (verdict_to, verdict) = bounded(1);
            consumers.push(to_vouch);
            verdicts.push(verdict);
            spawn("image-digest", move || judge(vouch, &pieces, &verdict_to))?;
        }
        let fetcher = Fetcher::new(sources, retry, abandoned, Arc::clone(counters))?;
        let failed = first_failure.clone();
        let counters = Arc::clone(counters);
        spawn("image-fetch", move || {
            let mut fetch = Fetch { fetcher, survey_to, plan_from, consumers, counters };
            if let Err(Stop::Failed(failure)) = fetch.run(&expected) {
                // Before the channels close, so that who sees them closed finds the reason.
                failed.set(failure);
            }
        })?;
        Ok(Self { survey, plan, served, verdicts, first_failure, _wanted: wanted })
    }

    pub(crate) fn survey(&self, reporter: &mut Reporter<'_>) -> Result<Survey, Failure> {
        self.wait(&self.survey, reporter)
    }

    /// Lets fetching go on.
    pub(crate) fn fetch(&self, plan: Plan) -> Result<(), Failure> {
        self.plan.send(plan).map_err(|_| self.first_failure.take())
    }

    /// What the digests and signatures come to, in the order of the vouches, after the last block.
    pub(crate) fn verdicts(&self, reporter: &mut Reporter<'_>) -> Result<Vec<String>, Failure> {
        self.verdicts.iter().map(|verdict| self.wait(verdict, reporter)?).collect()
    }

    /// Why a thread ended before its time. Sources, too, stop when writing is cancelled, and then that is the reason.
    pub(crate) fn why(&self, reporter: &Reporter<'_>) -> Failure {
        if reporter.cancelled() { reporter.cancelled_failure() } else { self.first_failure.take() }
    }

    pub(crate) fn wait<T>(&self, from: &Receiver<T>, reporter: &mut Reporter<'_>) -> Result<T, Failure> {
        loop {
            if reporter.cancelled() {
                return Err(reporter.cancelled_failure());
            }
            reporter.report();
            match from.recv_timeout(TICK) {
                Ok(value) => return Ok(value),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(self.why(reporter)),
            }
        }
    }
}

pub(crate) fn spawn(name: &'static str, run: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    // Threads end by themselves when their neighbours are gone; nobody waits for one that hangs in a dead connection.
    match thread::Builder::new().name(name.to_owned()).spawn(run) {
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::Internal("cannot start a thread")),
    }
}

struct Fetch {
    fetcher: Fetcher,
    survey_to: Sender<Survey>,
    plan_from: Receiver<Plan>,
    consumers: Vec<Sender<Piece>>,
    counters: Arc<Counters>,
}

impl Fetch {
    fn run(&mut self, expected: &Expected) -> Result<(), Stop> {
        let pool = Pool::new(BLOCKS);
        let mut first = pool.take();
        let filled = self.fetcher.fill(&mut first)?;
        first.truncate(filled);
        let surveyed = survey(&mut self.fetcher, &first, expected)?;
        self.survey_to.send(surveyed).map_err(|_| Stop::Abandoned)?;
        let plan = self.plan_from.recv().map_err(|_| Stop::Abandoned)?;
        let first = Arc::new(first);
        let here = first.len() as u64;
        match plan {
            Plan::Everything => {
                self.send(0, Slice::new(first, 0..here as usize))?;
                if filled == BLOCK {
                    self.fetcher.seek(here, None);
                    self.stream(&pool, here)?;
                }
            }
            Plan::Ranges(ranges) => {
                self.counters.source_bytes.store(0, Ordering::Relaxed);
                for range in &ranges {
                    let (start, end) = (range.start.min(here), range.end.min(here));
                    if start < end {
                        self.counters.source_bytes.fetch_add(end - start, Ordering::Relaxed);
                        self.send(start, Slice::new(Arc::clone(&first), start as usize..end as usize))?;
                    }
                }
                drop(first);
                for range in ranges {
                    let start = range.start.max(here);
                    if start < range.end {
                        self.fetcher.seek(start, Some(range.end));
                        let end = self.stream(&pool, start)?;
                        self.fetcher.expect_end(end, range.end)?;
                    }
                }
            }
        }
        self.consumers.iter().try_for_each(|consumer| consumer.send(Piece::End)).map_err(|_| Stop::Abandoned)
    }

    /// Hands out blocks until the range or the image ends, and returns where that was.
    fn stream(&mut self, pool: &Pool, mut offset: u64) -> Result<u64, Stop> {
        loop {
            let mut block = pool.take();
            let filled = self.fetcher.fill(&mut block)?;
            if filled > 0 {
                block.truncate(filled);
                self.send(offset, Slice::new(Arc::new(block), 0..filled))?;
                offset += filled as u64;
            }
            if filled < BLOCK {
                return Ok(offset);
            }
        }
    }

    fn send(&self, offset: u64, bytes: Slice) -> Result<(), Stop> {
        let piece = Piece::Data { offset, bytes };
        self.consumers
            .iter()
            .try_for_each(|consumer| consumer.send(piece.clone()))
            .map_err(|_| Stop::Abandoned)
    }
}
