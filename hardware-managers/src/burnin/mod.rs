//! Steps that load a machine until it fails or is trusted (IPA contract §5.2).

use crate::managers::StepSpecification;

pub(crate) const STEPS: &[StepSpecification] = &[];
