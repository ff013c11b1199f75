//! The threads between a source and the writer: fetch → hash and, beside it, fetch → decode.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::codec::{DecodeStop, Piece, decode};
use crate::digest::{DigestAlgorithm, Hasher};
use crate::error::Failure;
use crate::fetch::{Fetcher, Never, Stop};
use crate::pool::Pool;
use crate::progress::{Counters, Reporter};
use crate::sniff::{Codec, sniff};
use crate::source::{RetryPolicy, Source};
use crate::tail::{ImageSize, declared_size};

/// Blocks between the source and those who read it, and how many may wait for each.
const BLOCKS: usize = 6;
const QUEUE: usize = 4;
/// How often a waiting writer asks whether it was cancelled.
const TICK: Duration = Duration::from_millis(100);

/// What the first bytes as served (and perhaps the last) tell.
pub(crate) struct Preface {
    pub(crate) url: String,
    pub(crate) content: Result<Codec, &'static str>,
    pub(crate) source_total: Option<u64>,
    pub(crate) size: Option<ImageSize>,
}

/// The running threads. Dropped, it lets all of them end; a reader that blocks just then ends with its own time-out.
pub(crate) struct Pipeline {
    preface: Receiver<Preface>,
    served: Option<Receiver<Piece>>,
    decoded: Receiver<Piece>,
    decoded_to: Option<Sender<Piece>>,
    digest: Receiver<String>,
    first_failure: FirstFailure,
    _wanted: Sender<Never>,
}

/// What stopped the first thread that stopped; the others only notice that their neighbours are gone.
#[derive(Clone, Default)]
struct FirstFailure(Arc<Mutex<Option<Failure>>>);

impl FirstFailure {
    fn set(&self, failure: Failure) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
    }

    fn take(&self) -> Failure {
        let first = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or(Failure::Internal("a thread of the image pipeline ended without a reason"))
    }
}

impl Pipeline {
    pub(crate) fn start(
        sources: Vec<Box<dyn Source>>,
        retry: RetryPolicy,
        algorithm: DigestAlgorithm,
        counters: Arc<Counters>,
    ) -> Result<Self, Failure> {
        let (wanted, abandoned) = bounded(0);
        let (preface_to, preface) = bounded(1);
        let (hash_to, to_hash) = bounded(QUEUE);
        let (decode_to, served) = bounded(QUEUE);
        let (decoded_to, decoded) = bounded(QUEUE);
        let (digest_to, digest) = bounded(1);
        let first_failure = FirstFailure::default();

        let fetcher = Fetcher::new(sources, retry, abandoned, counters)?;
        let failed = first_failure.clone();
        spawn("image-fetch", move || {
            let consumers = (hash_to, decode_to);
            if let Err(Stop::Failed(failure)) = fetch(fetcher, &preface_to, &consumers) {
                // Before the channels close, so that who sees them closed finds the reason.
                failed.set(failure);
            }
        })?;
        spawn("image-hash", move || hash(algorithm, &to_hash, &digest_to))?;
        Ok(Self {
            preface,
            served: Some(served),
            decoded,
            decoded_to: Some(decoded_to),
            digest,
            first_failure,
            _wanted: wanted,
        })
    }

    pub(crate) fn preface(&self, reporter: &mut Reporter<'_>) -> Result<Preface, Failure> {
        self.wait(&self.preface, reporter)
    }

    /// Starts the decoder, once it is known which.
    pub(crate) fn decode(&mut self, codec: Codec, url: String) -> Result<(), Failure> {
        let (Some(served), Some(output)) = (self.served.take(), self.decoded_to.take()) else {
            return Err(Failure::Internal("the decoder was started twice"));
        };
        let failed = self.first_failure.clone();
        spawn("image-decode", move || {
            if let Err(DecodeStop::Damaged { decoded, source }) = decode(codec, served, &output) {
                failed.set(Failure::Decode { url, codec: codec.name(), decoded, source });
            }
        })
    }

    /// The next block of the image.
    pub(crate) fn next(&self, reporter: &mut Reporter<'_>) -> Result<Piece, Failure> {
        self.wait(&self.decoded, reporter)
    }

    /// The digest of the whole source, after the last block.
    pub(crate) fn digest(&self, reporter: &mut Reporter<'_>) -> Result<String, Failure> {
        self.wait(&self.digest, reporter)
    }

    fn wait<T>(&self, from: &Receiver<T>, reporter: &mut Reporter<'_>) -> Result<T, Failure> {
        loop {
            if reporter.cancelled() {
                return Err(reporter.cancelled_failure());
            }
            reporter.report();
            match from.recv_timeout(TICK) {
                Ok(value) => return Ok(value),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(self.first_failure.take()),
            }
        }
    }
}

fn spawn(name: &'static str, run: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    // Threads end by themselves when their neighbours are gone; nobody waits for one that hangs in a dead connection.
    match thread::Builder::new().name(name.to_owned()).spawn(run) {
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::Internal("cannot start a thread")),
    }
}

fn fetch(
    mut fetcher: Fetcher,
    preface: &Sender<Preface>,
    consumers: &(Sender<Piece>, Sender<Piece>),
) -> Result<(), Stop> {
    let pool = Pool::new(BLOCKS);
    let mut first = true;
    loop {
        let mut block = pool.take();
        let filled = fetcher.fill(&mut block)?;
        block.truncate(filled);
        let end = filled < crate::pool::BLOCK;
        if first {
            first = false;
            let content = sniff(&block);
            let size = content.ok().and_then(|codec| declared_size(codec, &block, &mut fetcher));
            let source_total = fetcher.total();
            let told = Preface { url: fetcher.describe(), content, source_total, size };
            preface.send(told).map_err(|_| Stop::Abandoned)?;
        }
        if filled > 0 {
            let block = Arc::new(block);
            consumers.0.send(Piece::Data(Arc::clone(&block))).map_err(|_| Stop::Abandoned)?;
            consumers.1.send(Piece::Data(block)).map_err(|_| Stop::Abandoned)?;
        }
        if end {
            consumers.0.send(Piece::End).map_err(|_| Stop::Abandoned)?;
            return consumers.1.send(Piece::End).map_err(|_| Stop::Abandoned);
        }
    }
}

fn hash(algorithm: DigestAlgorithm, pieces: &Receiver<Piece>, digest: &Sender<String>) {
    let mut hasher = Hasher::new(algorithm);
    for piece in pieces {
        match piece {
            Piece::Data(block) => hasher.update(&block),
            Piece::End => {
                // Nobody there means that writing failed meanwhile.
                drop(digest.send(hasher.finish()));
                return;
            }
        }
    }
}
