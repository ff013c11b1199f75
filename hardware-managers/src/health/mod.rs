//! Whether drives are fit for use, and their firmware.

mod firmware;
mod limits;
mod verify;

use crate::managers::{Argument, DRY_RUN, StepSpecification, TRANSPORT, VERIFY_CA};

pub(crate) const STEPS: &[StepSpecification] = &[
    StepSpecification {
        name: "verify_devices",
        interface: "deploy",
        clean: Some(0),
        deploy: None,
        service: Some(0),
        abortable: true,
        arguments: &[
            Argument {
                name: "percentage_used_limit",
                description: "Percentage of its life at which an NVMe drive fails; 100 by default.",
                required: false,
            },
            Argument {
                name: "media_errors_limit",
                description: "How often an NVMe drive may have lost data; 0 by default.",
                required: false,
            },
            Argument {
                name: "spare_minimum_percent",
                description: "Spare below which an NVMe drive fails; 0, and the drive's own threshold, by default.",
                required: false,
            },
            Argument {
                name: "require_health",
                description: "Whether drives fail that tell nothing of their health; false by default.",
                required: false,
            },
        ],
        run: verify::run,
    },
    StepSpecification {
        name: "update_firmware",
        interface: "deploy",
        clean: Some(0),
        deploy: None,
        service: Some(0),
        abortable: true,
        arguments: &[
            Argument {
                name: "images",
                description: "List of {url, checksum, model, version, slot}: URL or path in the ramdisk; \
                              SHA-256, SHA-384 or SHA-512 of the file in hexadecimal; pattern with * and ? for the model of \
                              the NVMe drives it is for; revision that it brings; slot, if not chosen by the agent.",
                required: true,
            },
            Argument {
                name: "allow_downgrade",
                description: "Whether a revision may be replaced by one that does not come after it; false by \
                              default.",
                required: false,
            },
            TRANSPORT,
            VERIFY_CA,
            DRY_RUN,
        ],
        run: firmware::run,
    },
];
