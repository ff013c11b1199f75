//! An agent that is killed in the middle.
