//! Whether drives are fit for use, and their firmware.

use crate::managers::StepSpecification;

pub(crate) const STEPS: &[StepSpecification] = &[];
