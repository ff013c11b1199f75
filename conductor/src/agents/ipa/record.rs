//! What the conductor remembers of a command that it sent.

use serde::{Deserialize, Serialize};

/// A command of IPA's, as it has to be on record to be found again: written down before the command is sent, and once
/// more with the id that IPA gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpaRecord {
    /// The conductor's own name of what it does.
    pub operation: String,
    /// `extension.command`.
    pub command: String,
    /// Ids that IPA listed before; `None` when it could not list its commands.
    pub known: Option<Vec<String>>,
    /// IPA's id of the command.
    pub id: Option<String>,
}
