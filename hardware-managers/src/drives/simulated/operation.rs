use std::ops::Range;
use std::time::Duration;

use super::content::Content;

/// What goes wrong with the next operations that erase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Misbehaviour {
    #[default]
    None,
    /// It fails when half of the medium is done.
    FailsHalfWay,
    /// It never ends.
    Hangs,
    /// The drive is gone when half of the medium is done.
    Vanishes,
    /// From its half to three quarters of it nobody reaches the drive, which goes on.
    LosesPath,
    /// The answer to the command that starts it is lost.
    AnswerLost,
    /// It has success and does nothing.
    Lies,
}

/// What an operation leaves on the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaves {
    Byte(u8),
    Noise,
}

/// An operation that goes on by itself.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) started: Duration,
    pub(super) takes: Duration,
    pub(super) leaves: Leaves,
    pub(super) misbehaviour: Misbehaviour,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    Working(u16),
    Completed,
    Failed,
}

impl Operation {
    /// Looks at it at some time. What it has done by its end, or half of it, is then on the medium.
    pub(super) fn look(&self, now: Duration, content: &Content) -> Reached {
        let elapsed = now.saturating_sub(self.started);
        let share = elapsed.as_nanos() * 65_536 / self.takes.as_nanos().max(1);
        let half = 0..content.size_bytes() / 2;
        match self.misbehaviour {
            Misbehaviour::Hangs => Reached::Working(share.min(32_768) as u16),
            Misbehaviour::FailsHalfWay if share >= 32_768 => {
                self.apply(content, half);
                Reached::Failed
            }
            Misbehaviour::Vanishes if share >= 32_768 => {
                self.apply(content, half);
                content.set_gone(true);
                Reached::Failed
            }
            Misbehaviour::LosesPath if (32_768..49_152).contains(&share) => {
                content.set_gone(true);
                Reached::Working(share as u16)
            }
            misbehaviour if share >= 65_536 => {
                if misbehaviour != Misbehaviour::Lies {
                    self.apply(content, content.whole());
                }
                Reached::Completed
            }
            _ => Reached::Working(share as u16),
        }
    }

    fn apply(&self, content: &Content, range: Range<u64>) {
        match self.leaves {
            Leaves::Byte(byte) => content.fill(range, byte),
            Leaves::Noise => content.scramble(range),
        }
    }
}
