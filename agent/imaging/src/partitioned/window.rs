use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

use crate::veil::Veil;

/// Read and written at once, in bytes: FAT code asks for a few bytes at a time.
const BLOCK: u64 = 256 << 10;
/// Blocks that are kept: boot sector, both tables, a directory and a file's data are written in turns.
const BLOCKS: usize = 8;

/// A part of a disk as a stream. What is written is on the disk after [`Window::store_all`].
pub(super) struct Window<'a, 't> {
    veil: &'a Veil<'t>,
    range: Range<u64>,
    position: u64,
    /// The one used last is the last.
    blocks: Vec<Block>,
}

struct Block {
    /// Counted from the window's start.
    start: u64,
    bytes: Vec<u8>,
    changed: bool,
}

impl<'a, 't> Window<'a, 't> {
    pub(super) fn new(veil: &'a Veil<'t>, range: Range<u64>) -> Self {
        Self { veil, range, position: 0, blocks: Vec::new() }
    }

    fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// The block that holds the byte at the position, and where in it that is. `None` at the end.
    fn block(&mut self) -> io::Result<Option<(&mut Block, usize)>> {
        if self.position >= self.len() {
            return Ok(None);
        }
        let start = self.position - self.position % BLOCK;
        if let Some(index) = self.blocks.iter().position(|block| block.start == start) {
            let block = self.blocks.remove(index);
            self.blocks.push(block);
        } else {
            if self.blocks.len() == BLOCKS {
                let mut oldest = self.blocks.remove(0);
                self.store(&mut oldest)?;
            }
            let mut bytes = vec![0; BLOCK.min(self.len() - start) as usize];
            self.veil.read(self.range.start + start, &mut bytes).map_err(io::Error::other)?;
            self.blocks.push(Block { start, bytes, changed: false });
        }
        let inside = (self.position - start) as usize;
        Ok(self.blocks.last_mut().map(|block| (block, inside)))
    }

    fn store(&self, block: &mut Block) -> io::Result<()> {
        if block.changed {
            let offset = self.range.start + block.start;
            self.veil.write(offset, &block.bytes).map_err(io::Error::other)?;
            block.changed = false;
        }
        Ok(())
    }

    /// Puts everything on the disk.
    pub(super) fn store_all(&mut self) -> io::Result<()> {
        let mut blocks = std::mem::take(&mut self.blocks);
        let result = blocks.iter_mut().try_for_each(|block| self.store(block));
        self.blocks = blocks;
        result
    }
}

impl Read for Window<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some((block, inside)) = self.block()? else { return Ok(0) };
        let len = buf.len().min(block.bytes.len() - inside);
        buf[..len].copy_from_slice(&block.bytes[inside..inside + len]);
        self.position += len as u64;
        Ok(len)
    }
}

impl Write for Window<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let Some((block, inside)) = self.block()? else { return Ok(0) };
        let len = buf.len().min(block.bytes.len() - inside);
        block.bytes[inside..inside + len].copy_from_slice(&buf[..len]);
        block.changed |= len > 0;
        self.position += len as u64;
        Ok(len)
    }

    /// Does nothing: the file system code flushes after every cluster.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Window<'_, '_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
            SeekFrom::End(distance) => self.len().checked_add_signed(distance),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
