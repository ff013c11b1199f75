//! Broken connections: every byte is fetched once, from where the last one ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::support::*;
use tacit_imaging::{
    DiskLeft, Failure, FileSource, Observer, Opened, Progress, RetryPolicy, Source, SourceError,
    WriteRequest, write_image,
};

#[test]
fn broken_connections_go_on_at_the_last_byte() {
    let image = gpt_image(4 * MIB, 512);
    let events = [
        Event::BreakAfter(0),
        Event::BreakAfter(1000),
        Event::StallAfter(500_000),
        Event::EndAfter(700_001),
        Event::Refuse503,
        Event::Refuse503,
        Event::BreakAfter(MIB),
        Event::Refuse503,
    ];
    let source = Script::with(image.clone(), &events);
    let log = Arc::clone(&source.log);
    let disk = Disk::new(6 * MIB);
    let watch = Watch::default();
    write_image(request(source, sha256(&image)), &disk, &watch).unwrap();
    assert!(log.served.lock().unwrap().iter().all(|&times| times == 1), "a byte was fetched twice, or never");
    let next = 1000 + 500_000 + 700_001;
    let last = next + MIB as u64;
    assert_eq!(*log.opened.lock().unwrap(), [0, 0, 1000, 501_000, next, next, next, last, last]);
    assert_eq!(watch.seen.lock().unwrap().last().unwrap().retries, 8);
    assert!(disk.content()[MIB..2 * MIB] == image[MIB..2 * MIB]);
}

#[test]
fn servers_without_ranges_are_skipped_forward() {
    let image = gpt_image(4 * MIB, 512);
    let source = Script {
        ignores_range: true,
        ..Script::with(image.clone(), &[Event::BreakAfter(2 * MIB), Event::BreakAfter(3 * MIB)])
    };
    let disk = Disk::new(6 * MIB);
    write_image(request(source, sha256(&image)), &disk, &Watch::default()).unwrap();
    for packing in [Packing::Gzip, Packing::Xz] {
        let served = pack(&image, packing);
        let source = Script { ignores_range: true, ..Script::new(served.clone()) };
        write_image(request(source, sha256(&served)), &disk, &Watch::default()).unwrap();
    }
}

#[test]
fn content_that_changes_is_refused() {
    let image = gpt_image(4 * MIB, 512);
    let source = Script::with(image.clone(), &[Event::BreakAfter(2 * MIB), Event::NewEtag]);
    let disk = Disk::new(6 * MIB);
    let error = write_image(request(source, sha256(&image)), &disk, &Watch::default()).unwrap_err();
    assert!(matches!(error.failure(), Failure::SourceChanged { offset, .. } if *offset == 2 * MIB as u64));
    assert!(error.retry());
    assert_closed(&disk.content(), 512);
}

#[test]
fn the_next_source_goes_on_where_the_last_one_gave_up() {
    let image = gpt_image(4 * MIB, 512);
    let first = Script::with(image.clone(), &[Event::BreakAfter(MIB), Event::Refuse404]);
    let mut second = Script::with(image.clone(), &[Event::BreakAfter(MIB)]);
    second.events.extend([Event::Refuse503; 4]);
    let third = Script::new(image.clone());
    let logs = [&first, &second, &third].map(|source| Arc::clone(&source.log));
    let disk = Disk::new(6 * MIB);
    let mut request = request(first, sha256(&image));
    request.sources.push(Box::new(second));
    request.sources.push(Box::new(third));
    write_image(request, &disk, &Watch::default()).unwrap();
    let mib = MIB as u64;
    assert_eq!(*logs[0].opened.lock().unwrap(), [0, mib]);
    assert_eq!(logs[1].opened.lock().unwrap()[..2], [mib, 2 * mib]);
    assert_eq!(*logs[2].opened.lock().unwrap(), [2 * mib]);
    let served = |index: usize| logs[index].served.lock().unwrap().iter().map(|&n| u64::from(n)).sum::<u64>();
    assert_eq!([served(0), served(1), served(2)], [mib, mib, 2 * mib]);
}

#[test]
fn the_next_source_must_have_the_same_length() {
    let image = gpt_image(4 * MIB, 512);
    let first = Script::with(image.clone(), &[Event::BreakAfter(2 * MIB), Event::Refuse404]);
    let other = Script { name: "http://mirror.test/disk", ..Script::new(image[..3 * MIB].to_vec()) };
    let mut request = request(first, sha256(&image));
    request.sources.push(Box::new(other));
    let disk = Disk::new(6 * MIB);
    let error = write_image(request, &disk, &Watch::default()).unwrap_err();
    assert!(matches!(error.failure(), Failure::SourceChanged { .. }), "{error}");
    assert!(error.to_string().contains("http://mirror.test/disk"), "{error}");
    assert_closed(&disk.content(), 512);
}

#[test]
fn sources_that_refuse_are_named() {
    let image = gpt_image(4 * MIB, 512);
    let disk = Disk::new(6 * MIB);
    let source = Script::with(image.clone(), &[Event::Refuse404]);
    let error = write_image(request(source, sha256(&image)), &disk, &Watch::default()).unwrap_err();
    assert_eq!(error.disk(), DiskLeft::Untouched);
    assert!(!error.retry());
    assert_eq!(
        chain(&error),
        "http://images.test/disk cannot be read from byte 0 on (nothing was written): 404 Not Found"
    );
    let mut request = request(Script::new(image.clone()), sha256(&image));
    request.sources.clear();
    let error = write_image(request, &disk, &Watch::default()).unwrap_err();
    assert!(matches!(error.failure(), Failure::NoSource));
    assert_eq!(disk.operations.load(Ordering::SeqCst), 0);
}

/// Reads for ever, until the test is over.
struct Silent(crossbeam_channel::Receiver<()>);

impl Source for Silent {
    fn describe(&self) -> String {
        "http://silent.test".into()
    }

    fn open(&mut self, _: u64, _: Option<u64>, _: Option<&str>) -> Result<Opened, SourceError> {
        Err(match self.0.recv() {
            Ok(()) => SourceError::Retryable { reason: "woken".into(), source: None },
            Err(_) => SourceError::Fatal { reason: "over".into(), source: None },
        })
    }
}

struct Impatient(Instant);

impl Observer for Impatient {
    fn progress(&self, _: &Progress) {}

    fn cancelled(&self) -> bool {
        self.0.elapsed() > Duration::from_millis(50)
    }
}

#[test]
fn cancelling_does_not_wait_for_a_silent_source_or_a_long_pause() {
    let (_keep, never) = crossbeam_channel::bounded(0);
    let refusing = Script::with(vec![1; 10], &[Event::Refuse503; 100]);
    let patient =
        RetryPolicy { attempts: 100, first_delay: Duration::from_secs(3600), ..RetryPolicy::default() };
    for source in [Box::new(Silent(never)) as Box<dyn Source>, Box::new(refusing)] {
        let disk = Disk::new(6 * MIB);
        let request = WriteRequest {
            digests: vec![sha256(b"")],
            retry: RetryPolicy { max_delay: Duration::from_secs(3600), ..patient },
            ..WriteRequest::new(vec![source])
        };
        let began = Instant::now();
        let error = write_image(request, &disk, &Impatient(began)).unwrap_err();
        assert!(matches!(error.failure(), Failure::Cancelled { .. }), "{error}");
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn files_are_sources() {
    let image = gpt_image(4 * MIB, 512);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &image).unwrap();
    let disk = Disk::new(6 * MIB);
    let request = |path: &std::path::Path| WriteRequest {
        digests: vec![sha256(&image)],
        retry: quick(),
        ..WriteRequest::new(vec![Box::new(FileSource::new(path))])
    };
    write_image(request(file.path()), &disk, &Watch::default()).unwrap();
    let error = write_image(request("/no/such/image".as_ref()), &disk, &Watch::default()).unwrap_err();
    assert!(error.to_string().contains("/no/such/image"), "{error}");

    let mut source = FileSource::new(file.path());
    let etag = source.open(0, None, None).unwrap().etag.unwrap();
    assert_eq!(source.open(100, None, Some(&etag)).unwrap().offset, 100);
    std::fs::write(file.path(), b"shorter").unwrap();
    assert!(matches!(source.open(0, None, Some(&etag)), Err(SourceError::Changed { .. })));
}
