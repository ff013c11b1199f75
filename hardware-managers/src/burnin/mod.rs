//! Steps that load a machine until it fails or is trusted (IPA contract §5.2): `burnin_cpu`, `burnin_memory`,
//! `burnin_disk`, `burnin_network` and `burnin_gpu`, with the keys of `driver_info` that Ironic's operators know.
//!
//! All but the last are native: what is computed, stored or carried is compared with what it should be, so that a
//! machine that errs silently fails, too. The network is tried on connections that the partner opens: a node opens
//! none.

mod cpu;
mod disk;
mod gpu;
mod memory;
mod network;
mod noise;
mod run;
mod settings;

use crate::managers::StepSpecification;

pub(crate) use gpu::{GPU, can_burn_gpus};

pub(crate) const STEPS: &[StepSpecification] =
    &[cpu::STEP, memory::STEP, disk::STEP, network::STEP, gpu::STEP];
