//! What must hold of any bytes that firmware gives.

use super::smbios::Smbios;

/// An SMBIOS entry point of 24 bytes, and the table.
///
/// # Panics
///
/// When a text comes out empty or with blanks around it, or a number that the table cannot hold.
pub fn smbios(data: &[u8]) {
    let Some((entry_point, table)) = data.split_at_checked(24) else { return };
    let Some(smbios) = Smbios::parse(entry_point, table) else { return };
    assert!(smbios.system_uuid().is_none_or(|uuid| uuid.len() == 36));
    let texts = [
        smbios.bios_vendor(),
        smbios.bios_version(),
        smbios.bios_date(),
        smbios.manufacturer(),
        smbios.product_name(),
        smbios.system_serial(),
        smbios.board_serial(),
        smbios.processor_version().map(str::to_owned),
    ];
    assert!(texts.iter().flatten().all(|text| !text.is_empty() && text.trim() == text), "{texts:?}");
    assert_ne!(smbios.max_speed_mhz(), Some(0));
    assert!(smbios.populated_sockets() as usize <= table.len());
    assert_ne!(smbios.memory_mib(), Some(u64::MAX));
}

/// What a fuzzer found worth keeping must stay harmless.
#[cfg(test)]
#[test]
fn the_kept_inputs_do_no_harm() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus/smbios");
    let mut inputs = 0;
    for input in std::fs::read_dir(corpus).unwrap() {
        let path = input.unwrap().path();
        // Seen only when the test fails.
        println!("{}", path.display());
        smbios(&std::fs::read(&path).unwrap());
        inputs += 1;
    }
    assert!(inputs > 0);
}
