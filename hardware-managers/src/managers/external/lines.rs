//! Cuts a stream into lines without ever holding more than one of bounded length.

/// The bytes of a line that is not complete yet.
#[derive(Debug)]
pub(super) struct Lines {
    held: Vec<u8>,
    limit: usize,
    /// Whether the rest of a line that was too long is still to come.
    skipping: bool,
}

/// What became of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Whole(&'a [u8]),
    /// The first bytes of a line that is longer than the limit; the rest of it is not shown.
    Cut(&'a [u8]),
}

impl Lines {
    pub(super) fn new(limit: usize) -> Self {
        Self { held: Vec::new(), limit, skipping: false }
    }

    /// Takes what was read and hands out every line that ends in it.
    ///
    /// # Errors
    ///
    /// That of `each`; the rest of `bytes` is dropped then.
    pub(super) fn feed<E>(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(Line<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            let end = bytes.iter().position(|&byte| byte == b'\n');
            let (piece, rest) = match end {
                Some(at) => (&bytes[..at], &bytes[at + 1..]),
                None => (bytes, &[][..]),
            };
            bytes = rest;
            if !self.skipping {
                let room = self.limit - self.held.len();
                self.held.extend_from_slice(&piece[..piece.len().min(room)]);
                if piece.len() > room {
                    self.skipping = true;
                    each(Line::Cut(&self.held))?;
                    self.held.clear();
                } else if end.is_some() {
                    each(Line::Whole(&self.held))?;
                    self.held.clear();
                }
            }
            if end.is_some() {
                self.skipping = false;
            }
        }
        Ok(())
    }

    /// What is left when the stream is over.
    pub(super) fn rest(&self) -> &[u8] {
        &self.held
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(limit: usize, pieces: &[&[u8]]) -> (Vec<(bool, Vec<u8>)>, Vec<u8>) {
        let (mut lines, mut seen) = (Lines::new(limit), Vec::new());
        for piece in pieces {
            let fed: Result<(), ()> = lines.feed(piece, |line| {
                seen.push(match line {
                    Line::Whole(bytes) => (true, bytes.to_vec()),
                    Line::Cut(bytes) => (false, bytes.to_vec()),
                });
                Ok(())
            });
            fed.unwrap();
            assert!(lines.held.len() <= limit);
        }
        (seen, lines.rest().to_vec())
    }

    #[test]
    fn long_lines_are_cut_and_the_next_one_is_whole() {
        let (seen, rest) = cut(4, &[b"ab", b"c\nabcd\nabc", b"defgh", b"ij\nnext\nre"]);
        let expected = [(true, "abc"), (true, "abcd"), (false, "abcd"), (true, "next")];
        assert_eq!(seen, expected.map(|(whole, text)| (whole, text.as_bytes().to_vec())));
        assert_eq!(rest, b"re");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[a-c\n]{0,60}", cuts in proptest::collection::vec(0usize..60, 0..6)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for at in cuts.into_iter().chain([bytes.len()]) {
                pieces.push(&bytes[from..at]);
                from = at;
            }
            prop_assert_eq!(cut(5, &pieces), cut(5, &[bytes]));
        }
    }
}
