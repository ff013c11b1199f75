//! `burnin_cpu`: every processor computes what is known already.

use std::hint::black_box;

use serde_json::Value;

use super::noise::Noise;
use super::run::{Crew, Total, Worker, processor, processors, report};
use super::settings::{Settings, invalid};
use crate::machine::Machine;
use crate::managers::{StepContext, StepError, StepSpecification};

pub(super) const STEP: StepSpecification = StepSpecification {
    name: "burnin_cpu",
    interface: "deploy",
    clean: Some(0),
    deploy: None,
    service: Some(0),
    abortable: true,
    arguments: &[],
    run: burnin_cpu,
};

/// A computation and what comes out of it on a processor that works.
type Exercise = (&'static str, fn() -> u64, u64);

const EXERCISES: [Exercise; 3] = [
    ("whole numbers", whole_numbers, 0xcbef_736a_f738_5c83),
    ("floating point numbers", floating_point, 0x414f_50e5_6d51_8f37),
    ("a checksum", checksum, 0x66e_7c1c),
];
/// Most threads: more do not load a machine any further.
const MAX_THREADS: u64 = 16_384;

fn burnin_cpu(_: &Machine, context: &StepContext<'_>) -> Result<Value, StepError> {
    let settings = Settings::of(context.node);
    let threads = match settings.number("cpu_cpu", 0)? {
        0 => processors(),
        more if more > MAX_THREADS => {
            return Err(invalid("cpu_cpu", format!("must be at most {MAX_THREADS}, not {more}")));
        }
        threads => usize::try_from(threads).expect("bounded"),
    };
    let duration = settings.seconds("cpu_timeout", 86_400)?;
    let file = settings.output_file("cpu_outputfile")?;
    let mut crew = Crew::new(Some(duration));
    for number in 0..threads {
        crew.add(&format!("thread {number}"), |worker| work(worker, &EXERCISES));
    }
    let outcome = crew.run(context, "cpu", Total::Seconds(duration.as_secs()));
    report("burnin_cpu", file.as_deref(), outcome)
}

/// Each exercise once at least, unless it is stopped.
fn work(worker: &Worker, exercises: &[Exercise]) {
    loop {
        for (name, compute, expected) in exercises {
            if worker.is_stopped() {
                return;
            }
            let found = compute();
            if found != *expected {
                worker.fail(format!("{}: {name}: {found:#x} instead of {expected:#x}", processor()));
                return;
            }
            worker.add(1);
        }
        if worker.is_over() {
            return;
        }
    }
}

/// Shifts, products, quotients and remainders.
fn whole_numbers() -> u64 {
    let mut noise = Noise::new(black_box(1));
    let mut sum = 0_u64;
    for round in 1..=200_000_u64 {
        let word = noise.next();
        sum = sum.rotate_left(7) ^ word.wrapping_mul(sum | 1);
        sum = sum
            .wrapping_add(word / round)
            .wrapping_sub(word % round)
            .wrapping_add(u64::from(word.count_ones()));
    }
    sum
}

/// Only operations whose result IEEE 754 fixes to the last bit.
fn floating_point() -> u64 {
    const SIZE: usize = 48;
    let mut noise = Noise::new(black_box(2));
    #[expect(clippy::cast_precision_loss, reason = "21 bits fit")]
    let mut number = || (noise.next() >> 43) as f64 / 4096.0;
    let a: Vec<f64> = (0..SIZE * SIZE).map(|_| number()).collect();
    let b: Vec<f64> = (0..SIZE * SIZE).map(|_| number()).collect();
    let mut sum = 0.0_f64;
    for row in 0..SIZE {
        for column in 0..SIZE {
            let mut cell = 0.0;
            for at in 0..SIZE {
                cell += a[row * SIZE + at] * b[at * SIZE + column];
            }
            sum = (sum + cell.sqrt()) / 1.000_001 + cell / 3.0e6;
        }
    }
    sum.to_bits()
}

/// Carry-less products, where the processor has them.
fn checksum() -> u64 {
    let mut bytes = vec![0; 256 << 10];
    Noise::new(black_box(3)).fill(&mut bytes);
    u64::from(crc32fast::hash(&bytes))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn exercises_come_out_as_they_are_known_to() {
        for (name, compute, expected) in EXERCISES {
            assert_eq!(format!("{:#x}", compute()), format!("{expected:#x}"), "{name}");
        }
    }

    #[test]
    fn a_processor_that_errs_is_named() {
        let worker = Worker::alone(Some(Duration::ZERO));
        work(&worker, &EXERCISES);
        assert_eq!((worker.done(), worker.is_stopped()), (3, false));
        work(&worker, &[("whole numbers", || 7, 8)]);
        assert!(worker.is_stopped());
        assert!(processor().trim_start_matches("processor ").parse::<u32>().is_ok(), "{}", processor());
    }
}
