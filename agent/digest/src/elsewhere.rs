use std::convert::Infallible;

use crate::context::{Block, State};

/// No code of this crate's own for this architecture: there is no value of this type.
#[derive(Clone, Copy)]
pub(crate) struct Compress(Infallible);

impl Compress {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        std::iter::empty().map(Self)
    }

    pub(crate) fn name(self) -> &'static str {
        match self.0 {}
    }

    pub(crate) fn blocks(self, _: &mut State, _: &[Block]) {
        match self.0 {}
    }
}
