//! What a simulated SCSI disk says of itself.

use tacit_blockdev::{ScsiReply, Transfer};

use super::answer::{INVALID_FIELD, check, give, page, standard};
use super::scsi_traits::ScsiTraits;

pub(super) fn inquiry(traits: &ScsiTraits, cdb: &[u8], data: Transfer<'_>) -> ScsiReply {
    if cdb[1] & 1 == 0 {
        return give(data, &standard(&traits.vendor, &traits.product, &traits.revision));
    }
    let answer = match cdb[2] {
        0x00 => page(0, &[0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2]),
        0x80 => page(0x80, traits.serial.as_bytes()),
        0x83 => {
            let mut designator = vec![1, 3, 0, 8];
            designator.extend(traits.naa.to_be_bytes());
            page(0x83, &designator)
        }
        0xb0 => {
            let mut limits = vec![0; 60];
            let blocks = if traits.unmap { traits.unmap_blocks } else { 0 };
            limits[16..20].copy_from_slice(&blocks.to_be_bytes());
            limits[20..24].copy_from_slice(&1u32.to_be_bytes());
            page(0xb0, &limits)
        }
        0xb1 => {
            let mut characteristics = vec![0; 60];
            characteristics[..2].copy_from_slice(&traits.rotation.to_be_bytes());
            page(0xb1, &characteristics)
        }
        0xb2 => {
            let flags = u8::from(traits.unmap) << 7
                | u8::from(traits.write_same_unmaps) << 6
                | u8::from(traits.reads_zeroes) << 2;
            page(0xb2, &[0, flags, 2, 0])
        }
        _ => return check(5, INVALID_FIELD),
    };
    give(data, &answer)
}

pub(super) fn supported(traits: &ScsiTraits, cdb: &[u8]) -> Vec<u8> {
    let has = match (cdb[2] & 7, cdb[3], cdb[5]) {
        (2, 0x48, 0x01) => traits.sanitize_overwrite,
        (2, 0x48, 0x02) => traits.sanitize_block,
        (2, 0x48, 0x03) => traits.sanitize_crypto,
        (1, 0x93, _) => true,
        _ => false,
    };
    vec![0, if has { 3 } else { 1 }, 0, 2, 0, 0]
}

pub(super) fn reservations(traits: &ScsiTraits, service_action: u8) -> Vec<u8> {
    let mut body = Vec::new();
    match (service_action, traits.holder) {
        (0, _) => traits.keys.iter().for_each(|key| body.extend(key.to_be_bytes())),
        (1, Some(holder)) => {
            body.extend(holder.to_be_bytes());
            body.extend([0, 0, 0, 0, 0, 5, 0, 0]);
        }
        _ => {}
    }
    let mut answer = vec![0, 0, 0, 1];
    answer.extend((body.len() as u32).to_be_bytes());
    answer.extend(body);
    answer
}
