//! How fast one core hashes with the library that the agent hashes with: the limit for one digest over a whole image.
//!
//! Prints one JSON object: algorithm → best bytes per second of several passes over 1 GiB, from a block that stays in the
//! core's own cache.

use std::time::Instant;

use ring::digest::{Algorithm, Context, SHA256, SHA384, SHA512};

const BLOCK_BYTES: usize = 256 << 10;
const PASS_BYTES: usize = 1 << 30;
const PASSES: usize = 3;

fn main() {
    let rates: serde_json::Map<_, _> = [("sha256", &SHA256), ("sha384", &SHA384), ("sha512", &SHA512)]
        .into_iter()
        .map(|(name, algorithm)| (name.to_owned(), bytes_per_second(algorithm).into()))
        .collect();
    println!("{}", serde_json::Value::Object(rates));
}

fn bytes_per_second(algorithm: &'static Algorithm) -> f64 {
    let block = vec![0x5a; BLOCK_BYTES];
    (0..PASSES)
        .map(|_| {
            let started = Instant::now();
            let mut context = Context::new(algorithm);
            for _ in 0..PASS_BYTES / BLOCK_BYTES {
                context.update(&block);
            }
            std::hint::black_box(context.finish());
            PASS_BYTES as f64 / started.elapsed().as_secs_f64()
        })
        .fold(0.0, f64::max)
}
