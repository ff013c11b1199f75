//! The BMC client against sushy-emulator with its `fake` driver: a Redfish service that others wrote and other
//! projects are tested with. The emulator moves power 1 to 11 s after it was asked to.

mod redfish_emulator {
    mod against_it;
    mod process;
}
