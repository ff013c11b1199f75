use proptest::prelude::*;
use ring::digest::{SHA384, SHA512, digest};
use sha2::Digest;

use crate::choice::Compress;
use crate::constants::{SHA384_INITIAL, SHA512_INITIAL};
use crate::context::{BLOCK_BYTES, Message, State};
use crate::{Sha384, Sha512};

/// The faces of this crate and each code for this processor, whichever was chosen.
fn all_sha512(parts: &[&[u8]]) -> Vec<[u8; 64]> {
    let mut chosen = Sha512::new();
    parts.iter().for_each(|part| chosen.update(part));
    let mut found = vec![chosen.finish()];
    for compress in Compress::all() {
        let mut message = Message::new(compress, SHA512_INITIAL);
        parts.iter().for_each(|part| message.update(part));
        found.push(message.finish());
    }
    found
}

fn all_sha384(parts: &[&[u8]]) -> Vec<[u8; 48]> {
    let mut chosen = Sha384::new();
    parts.iter().for_each(|part| chosen.update(part));
    let mut found = vec![chosen.finish()];
    for compress in Compress::all() {
        let mut message = Message::new(compress, SHA384_INITIAL);
        parts.iter().for_each(|part| message.update(part));
        found.push(message.finish()[..48].try_into().unwrap());
    }
    found
}

/// Against two libraries that have nothing in common.
fn check(parts: &[&[u8]]) {
    let whole = parts.concat();
    let expected = digest(&SHA512, &whole);
    assert_eq!(expected.as_ref(), sha2::Sha512::digest(&whole).as_slice());
    for found in all_sha512(parts) {
        assert_eq!(found, expected.as_ref(), "{} bytes", whole.len());
    }
    let expected = digest(&SHA384, &whole);
    for found in all_sha384(parts) {
        assert_eq!(found, expected.as_ref(), "{} bytes", whole.len());
    }
}

/// No two blocks of it are alike.
fn message(bytes: usize) -> Vec<u8> {
    (0..bytes as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// The examples of FIPS 180-4, and the empty message.
#[test]
fn the_standards_examples() {
    const TWO_BLOCKS: &[u8] = b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn\
        hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let examples: [(&[u8], &str, &str); 4] = [
        (
            b"",
            "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da\
             274edebfe76f65fbd51ad2f14898b95b",
            "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
             47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
        ),
        (
            b"abc",
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed\
             8086072ba1e7cc2358baeca134c825a7",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        (
            TWO_BLOCKS,
            "09330c33f71147e83d192fc782cd1b4753111b173b3b05d22fa08086e3b0f712\
             fcc7c71a557e2db966c3e9fa91746039",
            "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018\
             501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909",
        ),
        (
            &[b'a'; 1_000_000],
            "9d0e1809716474cb086e834e310a4a1ced149e9c00f248527972cec5704c2a5b\
             07b8b3dc38ecc4ebae97ddd87f3d8985",
            "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973eb\
             de0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b",
        ),
    ];
    for (message, sha384, sha512) in examples {
        assert!(all_sha384(&[message]).iter().all(|found| hex(found) == sha384));
        assert!(all_sha512(&[message]).iter().all(|found| hex(found) == sha512));
    }
}

#[test]
fn every_length_up_to_three_blocks() {
    let message = message(400);
    for bytes in 0..=message.len() {
        check(&[&message[..bytes]]);
    }
}

#[test]
fn every_split_of_four_blocks() {
    let message = message(4 * BLOCK_BYTES + 1);
    for at in 0..=message.len() {
        let (first, second) = message.split_at(at);
        check(&[first, second]);
    }
}

#[test]
fn every_alignment() {
    let message = message(64 + 21 * BLOCK_BYTES);
    for offset in 0..64 {
        check(&[&message[offset..offset + 21 * BLOCK_BYTES]]);
    }
}

#[test]
fn many_small_parts() {
    let message = message(3000);
    for size in [1, 7, 127, 128, 129] {
        check(&message.chunks(size).collect::<Vec<_>>());
    }
}

proptest! {
    #[test]
    fn random_messages_in_random_parts(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1500), 0..8),
    ) {
        check(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
}

/// Messages that nobody has the time to hash: as if so many bytes had gone before. The length at the end is in bits, of
/// which 2⁶¹ bytes have more than 64 bits can count.
#[test]
fn the_length_has_128_bits() {
    let tail = message(BLOCK_BYTES + 5);
    for before in [0, 1 << 29, (1 << 61) - 256, (1 << 61) - 128, 1 << 61, 1 << 64, 1u128 << 120] {
        let mut state: State = SHA512_INITIAL;
        let mut padded = tail.clone();
        padded.push(0x80);
        padded.resize(2 * BLOCK_BYTES - 16, 0);
        padded.extend(((before + tail.len() as u128) * 8).to_be_bytes());
        for block in padded.chunks(BLOCK_BYTES) {
            sha2::compress512(&mut state, &[*sha2::digest::generic_array::GenericArray::from_slice(block)]);
        }
        let expected: Vec<u8> = state.iter().flat_map(|word| word.to_be_bytes()).collect();
        for compress in Compress::all() {
            let mut message = Message::following(before, compress);
            message.update(&tail);
            assert_eq!(message.finish().as_slice(), expected, "after {before} bytes");
        }
    }
}
