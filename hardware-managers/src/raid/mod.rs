//! Software RAID (IPA contract §5.6).

use crate::managers::StepSpecification;

pub(crate) const STEPS: &[StepSpecification] = &[];
