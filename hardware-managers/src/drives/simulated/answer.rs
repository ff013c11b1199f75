use std::io;

use tacit_blockdev::{CommandError, ScsiReply, Transfer};

/// Gives data to the host, as much as it takes.
pub(super) fn give(data: Transfer<'_>, answer: &[u8]) -> ScsiReply {
    match data {
        Transfer::FromDevice(buffer) => {
            let length = buffer.len().min(answer.len());
            buffer[..length].copy_from_slice(&answer[..length]);
            ScsiReply { residual: buffer.len() - length, ..ScsiReply::default() }
        }
        Transfer::None | Transfer::ToDevice(_) => ScsiReply::default(),
    }
}

/// A check condition in fixed format.
pub(super) fn check(key: u8, code: (u8, u8)) -> ScsiReply {
    ScsiReply { status: 2, sense: fixed(key, code, None), residual: 0 }
}

/// Sense data in fixed format, with a progress.
pub(super) fn fixed(key: u8, code: (u8, u8), progress: Option<u16>) -> Vec<u8> {
    let mut sense = vec![0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code.0, code.1, 0, 0, 0, 0];
    if let Some(progress) = progress {
        sense[15] = 0x80;
        sense[16..18].copy_from_slice(&progress.to_be_bytes());
    }
    sense
}

pub(super) const INVALID_COMMAND: (u8, u8) = (0x20, 0);
pub(super) const INVALID_FIELD: (u8, u8) = (0x24, 0);

/// What the kernel says of a drive that was pulled out.
pub(super) fn gone() -> CommandError {
    CommandError::Transport { source: io::Error::from_raw_os_error(nix::libc::ENODEV) }
}

/// A page of vital product data.
pub(super) fn page(number: u8, body: &[u8]) -> Vec<u8> {
    let mut page = vec![0, number];
    page.extend((body.len() as u16).to_be_bytes());
    page.extend(body);
    page
}

/// Standard INQUIRY data.
pub(super) fn standard(vendor: &str, product: &str, revision: &str) -> Vec<u8> {
    let mut data = vec![0, 0, 7, 2, 31, 0, 0, 2];
    data.extend(padded(vendor, 8));
    data.extend(padded(product, 16));
    data.extend(padded(revision, 4));
    data
}

/// Text, cut or filled with spaces.
pub(super) fn padded(text: &str, length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = text.bytes().take(length).collect();
    bytes.resize(length, b' ');
    bytes
}
