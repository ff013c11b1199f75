use crate::drives::facts::TcgState;
use crate::drives::fields::{be_u16, be_u32};

/// Where the descriptors of features begin.
const HEADER: usize = 48;

/// Reads a level 0 discovery (TCG Storage Core 2.01, 3.3.6). `None` for what is none, or without any feature that
/// locks.
pub(super) fn parse(answer: &[u8]) -> Option<TcgState> {
    // The length does not count itself.
    let end = (be_u32(answer, 0)? as usize).saturating_add(4).min(answer.len());
    let mut rest = answer.get(HEADER..end)?;
    let (mut state, mut locking) = (TcgState::default(), false);
    while let (Some(code), [_, _, _, length, tail @ ..]) = (be_u16(rest, 0), rest) {
        let Some((data, after)) = tail.split_at_checked(usize::from(*length)) else { break };
        rest = after;
        match code {
            0x0002 => {
                let flags = *data.first()?;
                locking = flags & 0x01 != 0;
                state.locking_enabled = flags & 0x02 != 0;
                state.locked = flags & 0x04 != 0;
                state.media_encryption = flags & 0x08 != 0;
                // Enabled, and not done.
                state.mbr_shadowed = flags & 0x30 == 0x10;
            }
            // Opal 1 and 2, Opalite, Ruby.
            0x0200 | 0x0203 | 0x0301 | 0x0304 => state.opal = true,
            0x0302 | 0x0303 => state.pyrite = true,
            _ => {}
        }
    }
    locking.then_some(state)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(features: &[(u16, &[u8])]) -> Vec<u8> {
        let mut answer = vec![0; HEADER];
        for (code, data) in features {
            answer.extend(code.to_be_bytes());
            answer.extend([0x10, data.len() as u8]);
            answer.extend(*data);
        }
        let length = answer.len() as u32 - 4;
        answer[..4].copy_from_slice(&length.to_be_bytes());
        answer
    }

    #[test]
    fn a_locked_opal_drive() {
        let found = parse(&answer(&[(1, &[0x11; 12]), (2, &[0x1f; 12]), (0x203, &[0; 16])])).unwrap();
        assert!(found.opal && found.locking_enabled && found.locked && found.media_encryption);
        assert!(found.mbr_shadowed && !found.pyrite);
        let done = parse(&answer(&[(2, &[0x39; 12]), (0x302, &[0; 16])])).unwrap();
        assert!(!done.mbr_shadowed && !done.locking_enabled && done.pyrite);
    }

    #[test]
    fn what_does_not_lock_is_nothing() {
        assert_eq!(parse(&answer(&[(1, &[0x11; 12])])), None);
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[0; 512]), None);
        // A descriptor that claims more than there is.
        let mut cut = answer(&[(2, &[0x1f; 12])]);
        cut[51] = 200;
        assert_eq!(parse(&cut), None);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_without_a_panic(data in proptest::collection::vec(any::<u8>(), 0..256)) {
            if let Some(state) = parse(&data) {
                prop_assert!(data.len() > HEADER, "{state:?} came out of nothing");
            }
        }
    }
}
