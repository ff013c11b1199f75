//! The step `inject_files` (IPA contract §5.2).

use crate::managers::StepSpecification;

pub(crate) const STEPS: &[StepSpecification] = &[];
