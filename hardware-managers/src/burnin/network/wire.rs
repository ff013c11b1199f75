//! What goes over a connection, to the byte (docs/burn-in.md).

use std::io;

use super::super::noise::Noise;

/// Length of a block in bytes.
pub(super) const BLOCK: usize = 64 << 10;
/// Length of what both ends say first.
pub(super) const HELLO: usize = 24;
/// Length of what the receiver says last.
pub(super) const RECEIPT: usize = 16;

const HELLO_MAGIC: [u8; 8] = *b"TACITNET";
const RECEIPT_MAGIC: [u8; 8] = *b"TACITEND";
const VERSION: u8 = 1;
/// In the place of a number: there are no more blocks.
const LAST: u64 = u64::MAX;

/// Who sends on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Send,
    Receive,
}

impl Direction {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive",
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Send => 1,
            Self::Receive => 2,
        }
    }
}

/// What both ends say first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// 1 or 2.
    pub(super) half: u8,
    /// Of the one who says it.
    pub(super) direction: Direction,
    pub(super) runtime_ms: u64,
}

impl Hello {
    pub(super) fn bytes(self) -> [u8; HELLO] {
        let mut bytes = [0; HELLO];
        bytes[..8].copy_from_slice(&HELLO_MAGIC);
        bytes[8..11].copy_from_slice(&[VERSION, self.half, self.direction.number()]);
        bytes[16..].copy_from_slice(&self.runtime_ms.to_le_bytes());
        bytes
    }

    /// Whether these bytes are a greeting at all.
    pub(super) fn is_one(bytes: &[u8; HELLO]) -> bool {
        bytes.starts_with(&HELLO_MAGIC)
    }

    /// # Errors
    ///
    /// Why the one who said `bytes` cannot be the other end of this, in words.
    pub(super) fn fits(self, bytes: &[u8; HELLO]) -> Result<(), String> {
        let [version, half, direction] = [bytes[8], bytes[9], bytes[10]];
        let runtime_ms = u64::from_le_bytes(bytes[16..].try_into().expect("eight bytes"));
        if version != VERSION {
            return Err(format!("it speaks version {version} of the test, not {VERSION}"));
        }
        if half != self.half {
            return Err(format!("it is at half {half}, not {}", self.half));
        }
        if direction == self.direction.number() {
            return Err(format!(
                "both ends want to {}: one has to be reader, one writer",
                self.direction.word()
            ));
        }
        if runtime_ms != self.runtime_ms {
            return Err(format!("it runs for {runtime_ms} ms, not {}", self.runtime_ms));
        }
        Ok(())
    }
}

/// Fills a block: its number, noise that the number tells, and the CRC-32 of both.
pub(super) fn make(block: &mut [u8], number: u64) {
    let (body, sum) = block.split_at_mut(BLOCK - 4);
    body[..8].copy_from_slice(&number.to_le_bytes());
    Noise::new(number).fill(&mut body[8..]);
    sum.copy_from_slice(&crc32fast::hash(body).to_le_bytes());
}

/// The block behind the last: how many there were.
pub(super) fn make_last(block: &mut [u8], count: u64) {
    let (body, sum) = block.split_at_mut(BLOCK - 4);
    body.fill(0);
    body[..8].copy_from_slice(&LAST.to_le_bytes());
    body[8..16].copy_from_slice(&count.to_le_bytes());
    sum.copy_from_slice(&crc32fast::hash(body).to_le_bytes());
}

/// Whether the block in the place `number` is the one that says that there are no more.
///
/// # Errors
///
/// That it is damaged, or another one than it should be.
pub(super) fn check(block: &[u8], number: u64) -> io::Result<bool> {
    let word = |at: usize| u64::from_le_bytes(block[at..at + 8].try_into().expect("eight bytes"));
    let (body, sum) = block.split_at(BLOCK - 4);
    if sum != crc32fast::hash(body).to_le_bytes() {
        return Err(io::Error::other(format!("block {number} is damaged")));
    }
    match (word(0), word(8)) {
        (LAST, count) if count == number => Ok(true),
        (LAST, count) => Err(io::Error::other(format!("{number} blocks came of {count}"))),
        (found, _) if found == number => Ok(false),
        (found, _) => Err(io::Error::other(format!("block {found} came in the place of {number}"))),
    }
}

pub(super) fn receipt(count: u64) -> [u8; RECEIPT] {
    let mut bytes = [0; RECEIPT];
    bytes[..8].copy_from_slice(&RECEIPT_MAGIC);
    bytes[8..].copy_from_slice(&count.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_and_loss_are_told() {
        let mut block = vec![0; BLOCK];
        make(&mut block, 5);
        assert!(!check(&block, 5).unwrap());
        assert!(check(&block, 4).unwrap_err().to_string().contains("block 5 came in the place of 4"));
        block[100] ^= 1;
        assert!(check(&block, 5).unwrap_err().to_string().contains("damaged"));
        make_last(&mut block, 7);
        assert!(check(&block, 7).unwrap());
        assert!(check(&block, 6).unwrap_err().to_string().contains("6 blocks came of 7"));
    }

    #[test]
    fn only_the_other_end_of_the_same_test_fits() {
        let ours = Hello { half: 1, direction: Direction::Send, runtime_ms: 500 };
        let theirs = Hello { direction: Direction::Receive, ..ours };
        assert_eq!(ours.fits(&theirs.bytes()), Ok(()));
        for (theirs, expected) in [
            (Hello { half: 2, ..theirs }, "half 2"),
            (ours, "both ends want to send"),
            (Hello { runtime_ms: 501, ..theirs }, "501 ms"),
        ] {
            assert!(ours.fits(&theirs.bytes()).unwrap_err().contains(expected), "{theirs:?}");
        }
        let mut other = theirs.bytes();
        other[8] = 9;
        assert!(ours.fits(&other).unwrap_err().contains("version 9") && Hello::is_one(&other));
        other[0] = b'G';
        assert!(!Hello::is_one(&other));
    }
}
