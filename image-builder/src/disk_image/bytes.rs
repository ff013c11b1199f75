use std::fmt;

use indicatif::BinaryBytes;

/// A number of bytes as people read it, and exactly.
pub(super) struct Bytes(pub(super) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes @ 0..1024 => write!(f, "{bytes} bytes"),
            bytes => write!(f, "{} ({bytes} bytes)", BinaryBytes(bytes)),
        }
    }
}

/// A share of a whole, in per cent.
pub(super) struct Share(pub(super) u64, pub(super) u64);

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(part, whole) = *self;
        write!(f, "{:.1} %", 100.0 * part as f64 / whole.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1 << 10, "1.00 KiB (1024 bytes)"),
            (1_610_612_736, "1.50 GiB (1610612736 bytes)"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
        assert_eq!(Share(2, 3).to_string(), "66.7 %");
        assert_eq!(Share(0, 0).to_string(), "0.0 %");
    }
}
