//! How fast one core hashes with what the agent hashes with: the limit for one digest over a whole image.
//!
//! Prints one JSON object: algorithm → best bytes per second of several passes over 1 GiB, from a block that stays in the
//! core's own cache.

use std::time::Instant;

use ring::digest::{Context, SHA256};
use tacit_digest::{Sha384, Sha512};

const BLOCK_BYTES: usize = 256 << 10;
const PASS_BYTES: usize = 1 << 30;
const PASSES: usize = 3;

fn main() {
    let rates = [
        (
            "sha256",
            bytes_per_second(|| Context::new(&SHA256), Context::update, |digest| digest.finish().as_ref()[0]),
        ),
        ("sha384", bytes_per_second(Sha384::new, Sha384::update, |digest| digest.finish()[0])),
        ("sha512", bytes_per_second(Sha512::new, Sha512::update, |digest| digest.finish()[0])),
    ];
    let rates: serde_json::Map<_, _> =
        rates.into_iter().map(|(name, rate)| (name.to_owned(), rate.into())).collect();
    println!("{}", serde_json::Value::Object(rates));
}

fn bytes_per_second<D>(new: impl Fn() -> D, update: impl Fn(&mut D, &[u8]), finish: impl Fn(D) -> u8) -> f64 {
    let block = vec![0x5a; BLOCK_BYTES];
    (0..PASSES)
        .map(|_| {
            let started = Instant::now();
            let mut digest = new();
            for _ in 0..PASS_BYTES / BLOCK_BYTES {
                update(&mut digest, &block);
            }
            std::hint::black_box(finish(digest));
            PASS_BYTES as f64 / started.elapsed().as_secs_f64()
        })
        .fold(0.0, f64::max)
}
