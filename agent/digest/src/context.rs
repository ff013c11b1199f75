use ring::digest::{Context, SHA384, SHA512};

use crate::choice::{Compress, chosen};
use crate::constants::{SHA384_INITIAL, SHA512_INITIAL};

/// Bytes of a message block (FIPS 180-4, section 5.2.2).
pub(crate) const BLOCK_BYTES: usize = 128;

/// Bytes of the length at a message's end (section 5.1.2).
const LENGTH_BYTES: usize = 16;

pub(crate) type Block = [u8; BLOCK_BYTES];
pub(crate) type State = [u64; 8];

/// A SHA-512 digest in the making.
pub struct Sha512(Implementation);

/// A SHA-384 digest in the making: SHA-512 with other initial values and a shorter result.
pub struct Sha384(Implementation);

enum Implementation {
    Fast(Box<Message>),
    Ring(Box<Context>),
}

impl Sha512 {
    /// Of the empty message, until [`Self::update`] is called.
    pub fn new() -> Self {
        Self(match chosen() {
            Some(compress) => Implementation::Fast(Box::new(Message::new(compress, SHA512_INITIAL))),
            None => Implementation::Ring(Box::new(Context::new(&SHA512))),
        })
    }

    /// Appends `bytes` to the message.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that was appended.
    pub fn finish(self) -> [u8; 64] {
        self.0.finish()
    }
}

impl Sha384 {
    /// Of the empty message, until [`Self::update`] is called.
    pub fn new() -> Self {
        Self(match chosen() {
            Some(compress) => Implementation::Fast(Box::new(Message::new(compress, SHA384_INITIAL))),
            None => Implementation::Ring(Box::new(Context::new(&SHA384))),
        })
    }

    /// Appends `bytes` to the message.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that was appended.
    pub fn finish(self) -> [u8; 48] {
        self.0.finish()
    }
}

impl Default for Sha512 {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Sha384 {
    fn default() -> Self {
        Self::new()
    }
}

impl Implementation {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Fast(message) => message.update(bytes),
            Self::Ring(context) => context.update(bytes),
        }
    }

    fn finish<const BYTES: usize>(self) -> [u8; BYTES] {
        let mut digest = [0; BYTES];
        match self {
            Self::Fast(message) => digest.copy_from_slice(&message.finish()[..BYTES]),
            Self::Ring(context) => digest.copy_from_slice(context.finish().as_ref()),
        }
        digest
    }
}

/// A message cut into blocks: what FIPS 180-4 does around the compression function.
pub(crate) struct Message {
    compress: Compress,
    state: State,
    /// What of the message does not yet fill a block: the first `held` bytes.
    pending: Block,
    held: usize,
    /// Of the whole message so far. The standard counts bits in 128 bits.
    bytes: u128,
}

impl Message {
    pub(crate) fn new(compress: Compress, initial: State) -> Self {
        Self { compress, state: initial, pending: [0; BLOCK_BYTES], held: 0, bytes: 0 }
    }

    /// As if `bytes` in whole blocks had left the state as it is at the beginning.
    #[cfg(test)]
    pub(crate) fn following(bytes: u128, compress: Compress) -> Self {
        Self { bytes, ..Self::new(compress, SHA512_INITIAL) }
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        self.bytes += bytes.len() as u128;
        if self.held > 0 {
            let (taken, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.held));
            self.pending[self.held..self.held + taken.len()].copy_from_slice(taken);
            self.held += taken.len();
            bytes = rest;
            if self.held < BLOCK_BYTES {
                return;
            }
            self.compress.blocks(&mut self.state, std::slice::from_ref(&self.pending));
            self.held = 0;
        }
        let (blocks, rest) = bytes.as_chunks();
        self.compress.blocks(&mut self.state, blocks);
        self.pending[..rest.len()].copy_from_slice(rest);
        self.held = rest.len();
    }

    /// Pads as section 5.1.2 says: a one bit, zeros, and the length in bits.
    pub(crate) fn finish(mut self) -> [u8; 64] {
        let mut padding = [[0; BLOCK_BYTES]; 2];
        let flat = padding.as_flattened_mut();
        flat[..self.held].copy_from_slice(&self.pending[..self.held]);
        flat[self.held] = 0x80;
        let end = if self.held < BLOCK_BYTES - LENGTH_BYTES { BLOCK_BYTES } else { 2 * BLOCK_BYTES };
        flat[end - LENGTH_BYTES..end].copy_from_slice(&(self.bytes << 3).to_be_bytes());
        self.compress.blocks(&mut self.state, &padding[..end / BLOCK_BYTES]);
        let mut digest = [0; 64];
        for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(self.state) {
            *bytes = word.to_be_bytes();
        }
        digest
    }
}
