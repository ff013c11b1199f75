//! TCG storage: what a self-encrypting drive says in level 0 discovery, and its way back to the state of manufacture
//! (TCG Storage Architecture Core 2.01, Opal SSC 2.01).

mod discovery;
mod receive;
mod revert;
#[cfg(test)]
mod tests;

pub(crate) use receive::discover;
pub(crate) use revert::revert;

use super::facts::TcgState;

/// Why a revert would not erase the drive, or not provably.
pub(crate) fn obstacle(state: &TcgState) -> Option<&'static str> {
    if !state.media_encryption || state.pyrite && !state.opal {
        Some("the drive does not encrypt its content: a revert opens it and need not erase anything")
    } else if !state.locking_enabled {
        Some(
            "locking is not enabled on the drive: a revert need not change the key, and nothing that the drive says \
             would show whether it did",
        )
    } else {
        None
    }
}
