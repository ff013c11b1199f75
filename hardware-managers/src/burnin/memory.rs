//! `burnin_memory`: the asked share of the free memory is filled with patterns and compared.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;

use serde_json::Value;
use tacit_blockdev::AlignedBuf;

use super::noise::Noise;
use super::run::{Crew, Total, Worker, failed, processor, processors, report};
use super::settings::{Settings, invalid};
use crate::machine::{Machine, read_text};
use crate::managers::{StepContext, StepError, StepSpecification};

pub(super) const STEP: StepSpecification = StepSpecification {
    name: "burnin_memory",
    interface: "deploy",
    clean: Some(0),
    deploy: None,
    service: Some(0),
    abortable: true,
    arguments: &[],
    run: burnin_memory,
};

/// Memory is taken in pieces of this size, so that the end is heard of soon.
const PIECE: usize = 16 << 20;
/// Left to the agent, its connections and the kernel whatever is asked for.
const RESERVE: u64 = 192 << 20;

/// What is written into a word.
#[derive(Clone, Copy, Debug)]
enum Pattern {
    Constant(u64),
    /// Its own place: finds address lines that stick.
    Place,
    Noise(u64),
}

const PATTERNS: [Pattern; 7] = [
    Pattern::Constant(0),
    Pattern::Constant(u64::MAX),
    Pattern::Constant(0x5555_5555_5555_5555),
    Pattern::Constant(0xaaaa_aaaa_aaaa_aaaa),
    Pattern::Place,
    Pattern::Noise(1),
    Pattern::Noise(2),
];

fn burnin_memory(machine: &Machine, context: &StepContext<'_>) -> Result<Value, StepError> {
    let settings = Settings::of(context.node);
    let workers = match settings.number("vm_vm", 0)? {
        0 => processors() as u64,
        workers => workers.min(processors() as u64),
    };
    let duration = settings.seconds("vm_timeout", 86_400)?;
    let file = settings.output_file("vm_outputfile")?;
    let free = available(machine)?;
    let wanted = bytes(settings.value("vm_vm-bytes"), free)?;
    let taken = wanted.min(free.saturating_sub(RESERVE));
    let pieces = usize::try_from(taken / workers).unwrap_or(usize::MAX) / PIECE;
    if pieces == 0 {
        let text =
            format!("{free} bytes are free, too few for {workers} workers besides what the agent needs");
        return Err(failed(text));
    }
    let mut crew = Crew::new(Some(duration));
    for number in 0..workers {
        crew.add(&format!("worker {number}"), move |worker| work(worker, pieces));
    }
    let outcome = crew.run(context, "memory", Total::Seconds(duration.as_secs()));
    report("burnin_memory", file.as_deref(), outcome)
}

fn work(worker: &Worker, pieces: usize) {
    let mut memory: Vec<AlignedBuf> = (0..pieces).map(|_| AlignedBuf::new(PIECE)).collect();
    while PATTERNS.into_iter().all(|pattern| exercise(worker, &mut memory, pattern)) {}
}

/// Fills everything, then compares everything, so that what is compared comes from memory and no cache. `false` when
/// it is time to end.
fn exercise(worker: &Worker, memory: &mut [AlignedBuf], pattern: Pattern) -> bool {
    let words = |at: usize, from: usize| {
        let mut noise = match pattern {
            Pattern::Noise(seed) => Noise::new(seed ^ at as u64),
            _ => Noise::new(0),
        };
        move |word: usize| match pattern {
            Pattern::Constant(value) => value,
            Pattern::Place => (from + word * 8) as u64,
            Pattern::Noise(_) => noise.next(),
        }
    };
    let mut filled = 0;
    for (at, piece) in memory.iter_mut().enumerate() {
        let mut expected = words(at, piece.as_ptr() as usize);
        for (word, place) in piece.chunks_exact_mut(8).enumerate() {
            place.copy_from_slice(&expected(word).to_le_bytes());
        }
        filled += 1;
        if worker.is_over() {
            break;
        }
    }
    for (at, piece) in memory[..filled].iter().enumerate() {
        let piece: &[u8] = black_box(piece);
        let from = piece.as_ptr() as usize;
        let mut expected = words(at, from);
        for (word, place) in piece.chunks_exact(8).enumerate() {
            let (found, wanted) =
                (u64::from_le_bytes(place.try_into().expect("eight bytes")), expected(word));
            if found != wanted {
                worker.fail(format!(
                    "memory at {}: {found:#018x} instead of {wanted:#018x} (bits {:#x}), read by {}",
                    physical(from + word * 8),
                    found ^ wanted,
                    processor(),
                ));
                return false;
            }
        }
        worker.add(piece.len() as u64);
        if worker.is_stopped() {
            return false;
        }
    }
    !worker.is_over()
}

/// The physical address behind one of our own, where the kernel tells it (`pagemap` of its documentation).
fn physical(address: usize) -> String {
    const PAGE: u64 = 4096;
    let address = address as u64;
    let mut entry = [0; 8];
    let read =
        File::open("/proc/self/pagemap").and_then(|map| map.read_exact_at(&mut entry, address / PAGE * 8));
    let frame = u64::from_le_bytes(entry) & ((1 << 55) - 1);
    match read {
        Ok(()) if frame != 0 => format!("physical address {:#x}", frame * PAGE + address % PAGE),
        _ => format!("address {address:#x}"),
    }
}

/// Bytes that can be had without swapping.
fn available(machine: &Machine) -> Result<u64, StepError> {
    let text = read_text(&machine.roots().proc.join("meminfo")).unwrap_or_default();
    text.lines()
        .find_map(|line| {
            line.strip_prefix("MemAvailable:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        })
        .map(|kib| kib.saturating_mul(1024))
        .ok_or_else(|| failed("the kernel does not tell how much memory is free".to_owned()))
}

/// `98%` of what is free, or a number of bytes with `k`, `m`, `g` or `t`.
fn bytes(value: &Value, free: u64) -> Result<u64, StepError> {
    let wrong = || invalid("vm_vm-bytes", format!("must be a share as 98% or a size as 4g, not {value}"));
    let text = match value {
        Value::Null => "98%".to_owned(),
        Value::String(text) => text.trim().to_ascii_lowercase(),
        Value::Number(number) => number.to_string(),
        _ => return Err(wrong()),
    };
    if let Some(share) = text.strip_suffix('%') {
        let share: u64 =
            share.trim().parse().ok().filter(|share| (1..=100).contains(share)).ok_or_else(wrong)?;
        return Ok(free / 100 * share);
    }
    let digits = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" | "b" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn shares_and_sizes() {
        assert_eq!(bytes(&Value::Null, 1000), Ok(980));
        for (value, expected) in
            [(json!("50%"), 500), (json!("4G"), 4 << 30), (json!("16"), 16), (json!(7), 7)]
        {
            assert_eq!(bytes(&value, 1000), Ok(expected), "{value}");
        }
        for value in
            [json!("0%"), json!("101%"), json!("x"), json!("4x"), json!("-1"), json!([]), json!("99999999t")]
        {
            assert!(bytes(&value, 1000).is_err(), "{value}");
        }
    }

    #[test]
    fn every_pattern_reads_back() {
        let worker = Worker::alone(None);
        let mut memory: Vec<AlignedBuf> = (0..2).map(|_| AlignedBuf::new(1 << 20)).collect();
        for pattern in PATTERNS {
            assert!(exercise(&worker, &mut memory, pattern), "{pattern:?}");
        }
        assert_eq!(worker.done(), (7 * 2) << 20);
        assert!(!exercise(&Worker::alone(Some(Duration::ZERO)), &mut memory, Pattern::Place));
    }

    #[test]
    fn addresses_are_told() {
        let memory = AlignedBuf::new(4096);
        assert!(physical(memory.as_ptr() as usize).contains("address 0x"));
    }
}
