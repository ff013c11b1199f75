use std::ops::{Deref, DerefMut};

use crossbeam_channel::{Receiver, Sender, bounded};
use tacit_blockdev::AlignedBuf;

/// Size of every block in bytes.
pub(crate) const BLOCK: usize = 1 << 20;

/// A fixed number of buffers. Who wants one more waits until another is dropped: this is what bounds memory.
pub(crate) struct Pool {
    home: Sender<AlignedBuf>,
    free: Receiver<AlignedBuf>,
}

impl Pool {
    pub(crate) fn new(blocks: usize) -> Self {
        let (home, free) = bounded(blocks);
        for _ in 0..blocks {
            home.send(AlignedBuf::new(BLOCK)).expect("both ends of the pool are here");
        }
        Self { home, free }
    }

    /// A block of full length whose content is left over from earlier use.
    pub(crate) fn take(&self) -> Block {
        let buf = self.free.recv().expect("both ends of the pool are here");
        Block { buf: Some(buf), len: BLOCK, home: self.home.clone() }
    }
}

/// A buffer that goes back to its pool when dropped.
pub(crate) struct Block {
    buf: Option<AlignedBuf>,
    len: usize,
    home: Sender<AlignedBuf>,
}

impl Block {
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buf.as_ref().expect("only dropping takes the buffer")[..self.len]
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buf.as_mut().expect("only dropping takes the buffer")[..self.len]
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(buf) = self.buf.take() {
            // The pool may be gone already, and then the buffer is freed with the error.
            drop(self.home.try_send(buf));
        }
    }
}
