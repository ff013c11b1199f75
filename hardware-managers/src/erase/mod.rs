//! Erasing whole devices, as probe → plan → execute → prove (NIST SP 800-88r2).

use crate::managers::StepSpecification;

pub(crate) const STEPS: &[StepSpecification] = &[];
