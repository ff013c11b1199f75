#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tacit_imaging::fuzzing::config_drive(data));
