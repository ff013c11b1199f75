//! The BMC client against a BMC in this process that has the faults of those in the field. Waits are a thousandth of
//! the real ones.

mod redfish {
    mod boot;
    mod connection;
    mod fake_bmc;
    mod fake_slot;
    mod media;
    mod power;
}
