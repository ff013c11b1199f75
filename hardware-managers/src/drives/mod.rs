//! What drives say of themselves and what they can be told, in their own protocols.
