//! Who says that the bytes as served are the right ones.

use crossbeam_channel::{Receiver, Sender};

use crate::codec::Piece;
use crate::digest::{ExpectedDigest, Hasher};
use crate::error::Failure;
use crate::signature::Signature;

/// A digest or a signature over all bytes as served.
pub(crate) enum Vouch {
    Digest { url: String, expected: ExpectedDigest },
    Signature { url: String, signature: Box<Signature> },
}

/// What a vouch came to: the digest in lower-case hexadecimal, or the signature's trusted comment.
pub(crate) type Verdict = Result<String, Failure>;

/// Reads the stream to its end and gives the verdict; none if the stream was abandoned.
pub(crate) fn judge(vouch: Vouch, pieces: &Receiver<Piece>, verdict: &Sender<Verdict>) {
    let judged = match vouch {
        Vouch::Digest { url, expected } => {
            let mut hasher = Hasher::new(expected.algorithm);
            run(pieces, |bytes| hasher.update(bytes)).then(|| {
                let found = hasher.finish();
                if expected.matches(&found) {
                    return Ok(found);
                }
                let ExpectedDigest { algorithm, hex } = expected;
                Err(Failure::Digest { url, algorithm, expected: hex, found })
            })
        }
        Vouch::Signature { url, signature } => {
            let mut hasher = signature.hasher();
            run(pieces, |bytes| hasher.update(bytes)).then(|| {
                let comment = hasher.finish();
                comment.map(|comment| comment.0).map_err(|source| Failure::Signature { url, source })
            })
        }
    };
    if let Some(judged) = judged {
        // Nobody there means that writing failed meanwhile.
        drop(verdict.send(judged));
    }
}

/// Whether the stream came to its end.
fn run(pieces: &Receiver<Piece>, mut update: impl FnMut(&[u8])) -> bool {
    for piece in pieces {
        match piece {
            Piece::Data { bytes, .. } => update(&bytes),
            Piece::End => return true,
        }
    }
    false
}
