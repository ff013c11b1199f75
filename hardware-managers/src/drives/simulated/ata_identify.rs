use super::answer::padded;
use super::ata::Security;
use super::ata_traits::AtaTraits;

/// IDENTIFY DEVICE data of a simulated drive (ACS-5, 7.13), with its checksum.
pub(super) fn words(traits: &AtaTraits, security: &Security, sectors: u64, logical_sector: u32) -> Vec<u8> {
    let mut words = [0u16; 256];
    words[0] = 0x0040;
    text(&mut words[10..20], &traits.serial);
    text(&mut words[23..27], &traits.firmware);
    text(&mut words[27..47], &traits.model);
    words[48] = 0x4000 | u16::from(traits.tcg.is_some());
    let sanitize = traits.sanitize_crypto || traits.sanitize_block || traits.sanitize_overwrite;
    words[59] = u16::from(sanitize) << 12
        | u16::from(traits.sanitize_crypto) << 13
        | u16::from(traits.sanitize_overwrite) << 14
        | u16::from(traits.sanitize_block) << 15;
    words[69] = u16::from(traits.trim_zeroes) << 14 | u16::from(traits.trim_zeroes) << 5;
    // SMART, the Security feature set; 48-bit addresses.
    (words[82], words[83], words[85]) = (1 | u16::from(security.supported) << 1, 0x4400, 1);
    words[83] |= u16::from(traits.overlaid_sectors > 0) << 11;
    words[87] = 0x4100;
    (words[89], words[90]) = (traits.erase_time, traits.erase_time);
    for (word, shift) in words[100..104].iter_mut().zip([0, 16, 32, 48]) {
        *word = (sectors >> shift) as u16;
    }
    words[106] = 0x4000;
    if logical_sector == 512 {
        words[106] |= 0x2003;
    } else {
        words[106] |= 0x1000;
        words[117] = (logical_sector / 2) as u16;
    }
    for (word, shift) in words[108..112].iter_mut().zip([48, 32, 16, 0]) {
        *word = (traits.wwn >> shift) as u16;
    }
    words[119] = 0x4000 | u16::from(traits.hidden_sectors > 0) << 8;
    words[128] = u16::from(security.supported)
        | u16::from(security.password.is_some()) << 1
        | u16::from(security.locked) << 2
        | u16::from(security.frozen) << 3
        | u16::from(security.attempts == 0) << 4
        | u16::from(traits.enhanced) << 5;
    words[169] = u16::from(traits.trim);
    words[217] = traits.rotation;
    words[255] = 0xa5;
    let mut data: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let sum = data.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    data[511] = 0u8.wrapping_sub(sum);
    data
}

/// DEVICE CONFIGURATION IDENTIFY data (ATA8-ACS, 7.9.3), with its checksum.
pub(super) fn configuration(sectors: u64) -> Vec<u8> {
    let mut data = vec![0; 512];
    data[0] = 2;
    data[6..14].copy_from_slice(&(sectors - 1).to_le_bytes());
    data[510] = 0xa5;
    let sum = data.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    data[511] = 0u8.wrapping_sub(sum);
    data
}

/// Each word holds two characters, the first in the upper half.
fn text(words: &mut [u16], text: &str) {
    let bytes = padded(text, words.len() * 2);
    for (word, pair) in words.iter_mut().zip(bytes.chunks_exact(2)) {
        *word = u16::from_be_bytes([pair[0], pair[1]]);
    }
}
