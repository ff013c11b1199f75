//! Flows: what a verb of the API sets in motion, step by step, each step's start and end in the store.

mod engine;

pub use engine::{
    Engine, EngineConfig, NodeEvent, NodeEventPage, PowerTarget, ProvisionRequest, Validation, VerbError,
};
