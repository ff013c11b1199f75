//! The provisioning state machine: Ironic's states, verbs and transitions (IPA contract §12). Pure: no I/O.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $(#[serde(rename = $word)] $variant),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word of Ironic's API.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// Where a node is in its life.
    ProvisionState {
        Enroll = "enroll",
        Verifying = "verifying",
        Manageable = "manageable",
        Inspecting = "inspecting",
        InspectWait = "inspect wait",
        InspectFailed = "inspect failed",
        Available = "available",
        Cleaning = "cleaning",
        CleanWait = "clean wait",
        CleanFailed = "clean failed",
        Deploying = "deploying",
        WaitCallback = "wait call-back",
        DeployFailed = "deploy failed",
        Active = "active",
        Deleting = "deleting",
        Error = "error",
    }
}

words! {
    /// What moves a node: verbs of the API (first) and results of the work under way.
    Event {
        Manage = "manage",
        Inspect = "inspect",
        Provide = "provide",
        Clean = "clean",
        Deploy = "deploy",
        Rebuild = "rebuild",
        Delete = "delete",
        Abort = "abort",
        Wait = "wait",
        Resume = "resume",
        Done = "done",
        Fail = "fail",
    }
}

use Event as E;
use ProvisionState as S;

/// From, event, to, and the target that the node then shows (`None`: stable, no target).
const TRANSITIONS: &[(S, E, S, Option<S>)] = &[
    (S::Enroll, E::Manage, S::Verifying, Some(S::Manageable)),
    (S::Verifying, E::Done, S::Manageable, None),
    (S::Verifying, E::Fail, S::Enroll, None),
    (S::Manageable, E::Inspect, S::Inspecting, Some(S::Manageable)),
    (S::Manageable, E::Provide, S::Cleaning, Some(S::Available)),
    (S::Manageable, E::Clean, S::Cleaning, Some(S::Manageable)),
    (S::Inspecting, E::Wait, S::InspectWait, Some(S::Manageable)),
    (S::Inspecting, E::Done, S::Manageable, None),
    (S::Inspecting, E::Fail, S::InspectFailed, Some(S::Manageable)),
    (S::InspectWait, E::Resume, S::Inspecting, Some(S::Manageable)),
    (S::InspectWait, E::Done, S::Manageable, None),
    (S::InspectWait, E::Abort, S::InspectFailed, Some(S::Manageable)),
    (S::InspectWait, E::Fail, S::InspectFailed, Some(S::Manageable)),
    (S::InspectFailed, E::Inspect, S::Inspecting, Some(S::Manageable)),
    (S::InspectFailed, E::Manage, S::Manageable, None),
    // Cleaning ends where its target says: `available` after provide and delete, `manageable` after clean.
    (S::Cleaning, E::Wait, S::CleanWait, Some(S::Available)),
    (S::Cleaning, E::Done, S::Available, None),
    (S::Cleaning, E::Manage, S::Manageable, None),
    (S::Cleaning, E::Fail, S::CleanFailed, Some(S::Available)),
    (S::CleanWait, E::Resume, S::Cleaning, Some(S::Available)),
    (S::CleanWait, E::Abort, S::CleanFailed, Some(S::Available)),
    (S::CleanWait, E::Fail, S::CleanFailed, Some(S::Available)),
    (S::CleanFailed, E::Manage, S::Manageable, None),
    (S::Available, E::Deploy, S::Deploying, Some(S::Active)),
    (S::Available, E::Manage, S::Manageable, None),
    (S::Deploying, E::Wait, S::WaitCallback, Some(S::Active)),
    (S::Deploying, E::Done, S::Active, None),
    (S::Deploying, E::Fail, S::DeployFailed, Some(S::Active)),
    (S::WaitCallback, E::Resume, S::Deploying, Some(S::Active)),
    (S::WaitCallback, E::Abort, S::DeployFailed, Some(S::Active)),
    (S::WaitCallback, E::Fail, S::DeployFailed, Some(S::Active)),
    (S::WaitCallback, E::Delete, S::Deleting, Some(S::Available)),
    (S::DeployFailed, E::Deploy, S::Deploying, Some(S::Active)),
    (S::DeployFailed, E::Rebuild, S::Deploying, Some(S::Active)),
    (S::DeployFailed, E::Delete, S::Deleting, Some(S::Available)),
    (S::Active, E::Rebuild, S::Deploying, Some(S::Active)),
    (S::Active, E::Delete, S::Deleting, Some(S::Available)),
    (S::Deleting, E::Clean, S::Cleaning, Some(S::Available)),
    (S::Deleting, E::Fail, S::Error, None),
    (S::Error, E::Rebuild, S::Deploying, Some(S::Active)),
    (S::Error, E::Delete, S::Deleting, Some(S::Available)),
];

/// Where a node stands: its state and the state that it is on the way to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub state: ProvisionState,
    pub target: Option<ProvisionState>,
}

/// What `event` makes of `from`; `None` when the table has no such transition.
pub fn next(from: Position, event: Event) -> Option<Position> {
    // Manual and automated cleaning share their states; only the target tells them apart.
    let manual_clean = from.target == Some(S::Manageable) && matches!(from.state, S::Cleaning | S::CleanWait);
    let event = if manual_clean && from.state == S::Cleaning && event == E::Done { E::Manage } else { event };
    let (_, _, state, target) = TRANSITIONS.iter().find(|t| t.0 == from.state && t.1 == event)?;
    let target = if manual_clean && target.is_some() { Some(S::Manageable) } else { *target };
    Some(Position { state: *state, target })
}

impl ProvisionState {
    /// The states in which nothing is under way.
    pub fn is_stable(self) -> bool {
        matches!(self, S::Enroll | S::Manageable | S::Available | S::Active | S::Error)
    }

    /// The states that end a failed operation.
    pub fn is_failed(self) -> bool {
        matches!(self, S::InspectFailed | S::CleanFailed | S::DeployFailed)
    }

    /// Work is under way, by a flow.
    pub fn is_working(self) -> bool {
        !self.is_stable() && !self.is_failed()
    }

    /// The wait state of a working state, where the node waits for its agent.
    pub fn wait_state(self) -> Option<Self> {
        let position = next(Position { state: self, target: None }, E::Wait)?;
        Some(position.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(from: S, target: Option<S>, events: &[E]) -> Position {
        events.iter().fold(Position { state: from, target }, |at, event| {
            next(at, *event).unwrap_or_else(|| panic!("{} has no {event}", at.state))
        })
    }

    #[test]
    fn whole_life() {
        let events =
            [E::Manage, E::Done, E::Inspect, E::Wait, E::Resume, E::Done, E::Provide, E::Wait, E::Resume];
        let at = walk(S::Enroll, None, &events);
        assert_eq!(at, Position { state: S::Cleaning, target: Some(S::Available) });
        let at = walk(at.state, at.target, &[E::Done, E::Deploy, E::Wait, E::Resume, E::Done]);
        assert_eq!(at, Position { state: S::Active, target: None });
        let at = walk(at.state, at.target, &[E::Delete, E::Clean, E::Wait, E::Resume, E::Done]);
        assert_eq!(at, Position { state: S::Available, target: None });
    }

    #[test]
    fn manual_cleaning_ends_manageable_and_keeps_its_target_when_it_fails() {
        let at = walk(S::Manageable, None, &[E::Clean, E::Wait, E::Resume, E::Done]);
        assert_eq!(at, Position { state: S::Manageable, target: None });
        let at = walk(S::Manageable, None, &[E::Clean, E::Wait, E::Abort]);
        assert_eq!(at, Position { state: S::CleanFailed, target: Some(S::Manageable) });
    }

    #[test]
    fn table_is_a_function_without_dead_ends() {
        for (i, a) in TRANSITIONS.iter().enumerate() {
            for b in &TRANSITIONS[i + 1..] {
                assert!((a.0, a.1) != (b.0, b.1), "{} {} twice", a.0, a.1);
            }
            assert_eq!(
                a.3.is_none(),
                a.2.is_stable(),
                "{} {}: target null exactly in stable states",
                a.0,
                a.1
            );
        }
        for state in S::ALL {
            assert!(TRANSITIONS.iter().any(|t| t.0 == *state), "no way out of {state}");
            assert!(*state == S::Enroll || TRANSITIONS.iter().any(|t| t.2 == *state), "no way into {state}");
        }
    }

    #[test]
    fn a_verb_in_the_wrong_state_is_refused() {
        let at = Position { state: S::Active, target: None };
        assert_eq!(next(at, E::Provide), None);
        assert_eq!(next(at, E::Deploy), None);
    }

    #[test]
    fn every_state_where_work_is_under_way_can_fail() {
        for state in S::ALL.iter().filter(|s| s.is_working()) {
            assert!(TRANSITIONS.iter().any(|t| t.0 == *state && t.1 == E::Fail), "{state} cannot fail");
        }
    }
}
