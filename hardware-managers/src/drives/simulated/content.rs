use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tacit_blockdev::Error;

const CHUNK: u64 = 4096;

/// What never written places read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fill {
    Byte(u8),
    /// Noise that depends on the key, as after a cryptographic erase.
    Noise(u64),
}

#[derive(Debug, Default)]
struct State {
    chunks: BTreeMap<u64, Box<[u8]>>,
    /// In order; the last one that covers a place counts.
    layers: Vec<(Range<u64>, Fill)>,
    keys: u64,
    gone: bool,
    read_only: bool,
    keeps: bool,
    bad_reads: Vec<Range<u64>>,
    bad_writes: Vec<Range<u64>>,
    writes: u64,
}

/// What a simulated drive holds: as large as it likes, with memory only for what was written. At first all zeros.
#[derive(Debug)]
pub struct Content {
    size_bytes: u64,
    logical_sector: u32,
    state: Mutex<State>,
}

impl Content {
    /// `size_bytes` should be a multiple of the sector, 0 for a drive that has no medium.
    pub fn new(size_bytes: u64, logical_sector: u32) -> Self {
        Self { size_bytes, logical_sector, state: Mutex::new(State::default()) }
    }

    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Bytes.
    pub fn logical_sector(&self) -> u32 {
        self.logical_sector
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The drive is pulled out, or put back: nothing can be read or written meanwhile.
    pub fn set_gone(&self, gone: bool) {
        self.state().gone = gone;
    }

    pub fn is_gone(&self) -> bool {
        self.state().gone
    }

    pub fn set_read_only(&self, read_only: bool) {
        self.state().read_only = read_only;
    }

    pub fn is_read_only(&self) -> bool {
        self.state().read_only
    }

    /// The liar: from now on all that erases and discards leaves the content as it is.
    pub fn set_keeps(&self, keeps: bool) {
        self.state().keeps = keeps;
    }

    /// Reads that touch `range` (bytes) fail.
    pub fn fail_reads(&self, range: Range<u64>) {
        self.state().bad_reads.push(range);
    }

    /// Writes that touch `range` (bytes) fail.
    pub fn fail_writes(&self, range: Range<u64>) {
        self.state().bad_writes.push(range);
    }

    /// How often the host has written, successfully or not.
    pub fn writes(&self) -> u64 {
        self.state().writes
    }

    /// As [`Drive::read_at`](tacit_blockdev::Drive::read_at).
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]; [`Error::Read`] where a fault was put, or when the drive is gone.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        self.check(offset, buf.len())?;
        let state = self.state();
        if let Some(source) = fault(&state, &state.bad_reads, offset, buf.len()) {
            return Err(Error::Read { device: node(), offset, length: buf.len() as u64, source });
        }
        state.read(offset, buf);
        Ok(())
    }

    /// As [`Drive::write_at`](tacit_blockdev::Drive::write_at).
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]; [`Error::Write`] where a fault was put, or when the drive is gone or read-only.
    pub fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), Error> {
        self.check(offset, buf.len())?;
        let mut state = self.state();
        state.writes += 1;
        let refused = state.read_only.then(|| io::Error::from_raw_os_error(nix::libc::EPERM));
        if let Some(source) = refused.or_else(|| fault(&state, &state.bad_writes, offset, buf.len())) {
            return Err(Error::Write { device: node(), offset, length: buf.len() as u64, source });
        }
        state.write(offset, buf);
        Ok(())
    }

    /// Makes `range` (bytes, cut at the end of the drive) read as `byte`.
    pub fn fill(&self, range: Range<u64>, byte: u8) {
        self.cover(range, |_| Fill::Byte(byte));
    }

    /// Throws the key of `range` (bytes, cut at the end of the drive) away: it reads as noise, each time another.
    pub fn scramble(&self, range: Range<u64>) {
        self.cover(range, |state| {
            state.keys += 1;
            Fill::Noise(state.keys)
        });
    }

    /// All of it.
    pub fn whole(&self) -> Range<u64> {
        0..self.size_bytes
    }

    /// What a read ends with that the drive refuses.
    pub(super) fn unreadable(offset: u64, length: usize) -> Error {
        let source = io::Error::from_raw_os_error(nix::libc::EIO);
        Error::Read { device: node(), offset, length: length as u64, source }
    }

    /// What a write ends with that the drive refuses.
    pub(super) fn unwritable(offset: u64, length: usize) -> Error {
        let source = io::Error::from_raw_os_error(nix::libc::EIO);
        Error::Write { device: node(), offset, length: length as u64, source }
    }

    fn cover(&self, range: Range<u64>, fill: impl FnOnce(&mut State) -> Fill) {
        let range = range.start.min(self.size_bytes)..range.end.min(self.size_bytes);
        let mut state = self.state();
        if state.keeps || range.is_empty() {
            return;
        }
        let fill = fill(&mut state);
        state.cover(range, fill, self.size_bytes);
    }

    fn check(&self, offset: u64, length: usize) -> Result<(), Error> {
        let length = length as u64;
        match offset.checked_add(length) {
            Some(end) if end <= self.size_bytes => Ok(()),
            _ => Err(Error::OutOfRange { device: node(), offset, length, size: self.size_bytes }),
        }
    }
}

fn node() -> PathBuf {
    PathBuf::from("/dev/simulated")
}

fn fault(state: &State, bad: &[Range<u64>], offset: u64, length: usize) -> Option<io::Error> {
    if state.gone {
        return Some(io::Error::from_raw_os_error(nix::libc::ENXIO));
    }
    let end = offset + length as u64;
    let hit = bad.iter().any(|range| range.start < end && offset < range.end);
    hit.then(|| io::Error::from_raw_os_error(nix::libc::EIO))
}

impl State {
    fn read(&self, offset: u64, buf: &mut [u8]) {
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let skip = (at % CHUNK) as usize;
            let piece = (CHUNK as usize - skip).min(buf.len() - done);
            let target = &mut buf[done..done + piece];
            match self.chunks.get(&(at / CHUNK)) {
                Some(chunk) => target.copy_from_slice(&chunk[skip..skip + piece]),
                None => target.copy_from_slice(&self.untouched(at / CHUNK)[skip..skip + piece]),
            }
            done += piece;
        }
    }

    fn write(&mut self, offset: u64, buf: &[u8]) {
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let skip = (at % CHUNK) as usize;
            let piece = (CHUNK as usize - skip).min(buf.len() - done);
            self.chunk(at / CHUNK)[skip..skip + piece].copy_from_slice(&buf[done..done + piece]);
            done += piece;
        }
    }

    fn chunk(&mut self, number: u64) -> &mut [u8] {
        if !self.chunks.contains_key(&number) {
            let untouched = self.untouched(number);
            self.chunks.insert(number, untouched);
        }
        self.chunks.get_mut(&number).expect("it was put there a line ago")
    }

    /// A chunk as the layers have it. Layers begin and end at chunks.
    fn untouched(&self, number: u64) -> Box<[u8]> {
        let at = number * CHUNK;
        let covering = self.layers.iter().rev().find(|(range, _)| range.contains(&at));
        match covering.map_or(Fill::Byte(0), |(_, fill)| *fill) {
            Fill::Byte(byte) => vec![byte; CHUNK as usize].into(),
            Fill::Noise(key) => {
                // xorshift64*: noise that is the same each time it is read.
                let mut seed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    ^ key.wrapping_mul(0xd134_2543_de82_ef95);
                let mut byte = || {
                    seed ^= seed >> 12;
                    seed ^= seed << 25;
                    seed ^= seed >> 27;
                    (seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
                };
                (0..CHUNK).map(|_| byte()).collect()
            }
        }
    }

    fn cover(&mut self, range: Range<u64>, fill: Fill, size: u64) {
        // The last chunk of a drive may be a short one.
        let end = if range.end == size { size.next_multiple_of(CHUNK) } else { range.end };
        let whole = range.start.next_multiple_of(CHUNK)..end - end % CHUNK;
        for edge in [range.start..whole.start.min(range.end), whole.end.max(range.start)..range.end] {
            self.cover_edge(edge, fill);
        }
        if whole.is_empty() {
            return;
        }
        let inside: Vec<u64> =
            self.chunks.range(whole.start / CHUNK..whole.end / CHUNK).map(|(number, _)| *number).collect();
        for number in inside {
            self.chunks.remove(&number);
        }
        self.layers.retain(|(layer, _)| layer.start < whole.start || layer.end > whole.end);
        match self.layers.last_mut() {
            Some((last, known)) if *known == fill && last.end == whole.start => last.end = whole.end,
            _ => self.layers.push((whole, fill)),
        }
    }

    fn cover_edge(&mut self, edge: Range<u64>, fill: Fill) {
        if edge.is_empty() {
            return;
        }
        let byte = match fill {
            Fill::Byte(byte) => byte,
            Fill::Noise(key) => key as u8 ^ 0x5a,
        };
        self.write(edge.start, &vec![byte; (edge.end - edge.start) as usize]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: usize = 5 * CHUNK as usize + 512;

    #[derive(Clone, Debug)]
    enum Act {
        Write(usize, Vec<u8>),
        Fill(usize, usize, u8),
    }

    fn act() -> impl Strategy<Value = Act> {
        let write = (0..SIZE, proptest::collection::vec(any::<u8>(), 1..6000))
            .prop_map(|(at, data)| Act::Write(at, data[..data.len().min(SIZE - at)].to_vec()));
        let fill =
            (0..SIZE, 0..SIZE + 1000, any::<u8>()).prop_map(|(from, to, byte)| Act::Fill(from, to, byte));
        prop_oneof![write, fill]
    }

    proptest! {
        #[test]
        fn it_holds_what_a_plain_buffer_holds(acts in proptest::collection::vec(act(), 0..12)) {
            let content = Content::new(SIZE as u64, 512);
            let mut plain = vec![0u8; SIZE];
            for act in acts {
                match act {
                    Act::Write(at, data) => {
                        content.write_at(at as u64, &data).unwrap();
                        plain[at..at + data.len()].copy_from_slice(&data);
                    }
                    Act::Fill(from, to, byte) => {
                        content.fill(from as u64..to as u64, byte);
                        if from < to {
                            plain[from..to.min(SIZE)].fill(byte);
                        }
                    }
                }
                let mut held = vec![0u8; SIZE];
                content.read_at(0, &mut held).unwrap();
                prop_assert_eq!(&held, &plain);
            }
        }
    }

    #[test]
    fn a_thrown_away_key_leaves_noise() {
        let content = Content::new(1 << 40, 4096);
        content.write_at(1 << 39, &[0xa5; 4096]).unwrap();
        content.scramble(content.whole());
        let (mut first, mut again) = (vec![0; 8192], vec![0; 8192]);
        content.read_at((1 << 39) - 4096, &mut first).unwrap();
        content.read_at((1 << 39) - 4096, &mut again).unwrap();
        assert_eq!(first, again);
        assert!(first.iter().filter(|byte| **byte == 0xa5).count() < 100);
        content.scramble(content.whole());
        content.read_at((1 << 39) - 4096, &mut again).unwrap();
        assert_ne!(first, again);
    }

    #[test]
    fn faults_are_where_they_were_put() {
        let content = Content::new(1 << 20, 512);
        content.fail_reads(4096..4097);
        content.fail_writes(8192..8704);
        assert!(content.read_at(3584, &mut [0; 512]).is_ok());
        assert!(matches!(content.read_at(3584, &mut [0; 513]), Err(Error::Read { .. })));
        assert!(matches!(content.write_at(8704 - 1, &[0]), Err(Error::Write { .. })));
        assert!(matches!(content.read_at((1 << 20) - 1, &mut [0; 2]), Err(Error::OutOfRange { .. })));
        content.set_keeps(true);
        content.write_at(0, &[1]).unwrap();
        content.fill(content.whole(), 0);
        let mut byte = [0];
        content.read_at(0, &mut byte).unwrap();
        assert_eq!(byte, [1]);
        content.set_gone(true);
        assert!(content.read_at(0, &mut byte).is_err());
    }
}
