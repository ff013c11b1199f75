//! What can be known of an image before the first write: its format, how large it is, and how it begins.

use crate::codec::decode_head;
use crate::error::Failure;
use crate::fetch::{Fetcher, Stop};
use crate::pool::BLOCK;
use crate::qcow2::{self, HeadError, Refusal, SurveyError};
use crate::sniff::{Codec, Format, declares, sniff};
use crate::tail::{ImageSize, declared_size};

/// What an image turned out to be.
pub(crate) struct Survey {
    pub(crate) url: String,
    /// Length as served in bytes.
    pub(crate) source_total: Option<u64>,
    pub(crate) content: Content,
    /// First bytes of the disk image: usually a MiB, fewer where its packed beginning tells fewer.
    pub(crate) head: Vec<u8>,
    pub(crate) size: Option<ImageSize>,
}

/// How the bytes as served become a disk image.
pub(crate) enum Content {
    Raw,
    Packed(Codec),
    Qcow2(Box<qcow2::Image>),
}

/// What an image must be, as far as the survey can tell.
pub(crate) struct Expected {
    /// Its `disk_format`.
    pub(crate) declared: Option<String>,
    /// Where it goes, and how many bytes it may have there.
    pub(crate) device: String,
    pub(crate) room: u64,
}

/// Looks at an image of which `first` are the first bytes as served.
pub(crate) fn survey(fetcher: &mut Fetcher, first: &[u8], expected: &Expected) -> Result<Survey, Stop> {
    let declared = expected.declared.as_deref();
    let url = fetcher.describe();
    let source_total = fetcher.total();
    if first.is_empty() {
        return Err(Failure::Empty { url }.into());
    }
    let (content, head, size) = match sniff(first) {
        Format::Raw => {
            check_declared(&url, "raw", declared)?;
            let size = source_total.map(|bytes| ImageSize { bytes, exact: true });
            (Content::Raw, first.to_vec(), size)
        }
        Format::Packed(codec) => {
            let size = declared_size(codec, first, fetcher);
            let head = decode_head(codec, first, BLOCK).map_err(|source| Failure::Decode {
                url: url.clone(),
                codec: codec.name(),
                decoded: 0,
                source,
            })?;
            if head.is_empty() {
                return Err(Failure::Empty { url }.into());
            }
            match sniff(&head) {
                Format::Raw => check_declared(&url, "raw", declared)?,
                // Packed twice, or a format that is read by ranges, which a packed stream does not have.
                inner => {
                    if !matches!(inner, Format::Packed(_)) {
                        check_declared(&url, inner.name(), declared)?;
                    }
                    let format = inner.name();
                    return Err(Failure::UnsupportedInside { url, codec: codec.name(), format }.into());
                }
            }
            (Content::Packed(codec), head, size)
        }
        Format::Qcow2 => {
            check_declared(&url, "qcow2", declared)?;
            let (image, head) = survey_qcow2(fetcher, first, expected)?;
            let size = Some(ImageSize { bytes: image.size(), exact: true });
            (Content::Qcow2(Box::new(image)), head, size)
        }
        Format::Other(format) => {
            check_declared(&url, format, declared)?;
            return Err(Failure::UnsupportedFormat { url, format }.into());
        }
    };
    Ok(Survey { url, source_total, content, head, size })
}

/// Reads the tables of a qcow2 image, and the first MiB of the disk in it.
fn survey_qcow2(
    fetcher: &mut Fetcher,
    first: &[u8],
    expected: &Expected,
) -> Result<(qcow2::Image, Vec<u8>), Stop> {
    let url = fetcher.describe();
    let file = fetcher.total();
    let mut read = |offset: u64, buf: &mut [u8]| {
        let here = usize::try_from(offset).ok().and_then(|start| first.get(start..)?.get(..buf.len()));
        match here {
            Some(bytes) => {
                buf.copy_from_slice(bytes);
                Ok(())
            }
            None => fetcher.read_at(offset, buf),
        }
    };
    let refused = |source| Failure::Qcow2 { url: url.clone(), source };
    let image = qcow2::Image::survey(file, expected.room, &mut read).map_err(|error| match error {
        SurveyError::Read(stop) => stop,
        SurveyError::Refused(Refusal::TooLarge { size, disk }) => Failure::TooLarge {
            url: url.clone(),
            image: size,
            exact: true,
            device: expected.device.clone(),
            disk,
        }
        .into(),
        SurveyError::Refused(refusal) => refused(refusal).into(),
    })?;
    let head = image.head(&mut read).map_err(|error| match error {
        HeadError::Read(stop) => stop,
        HeadError::Unpack { offset, source } => {
            Failure::Qcow2Cluster { url: url.clone(), offset, source }.into()
        }
    })?;
    Ok((image, head))
}

/// Refuses a declaration that says another format than the content.
fn check_declared(url: &str, found: &str, declared: Option<&str>) -> Result<(), Failure> {
    match declared {
        Some(declared) if !declares(declared, found) => Err(Failure::FormatContradicts {
            url: url.to_owned(),
            declared: declared.trim().to_owned(),
            found: found.to_owned(),
        }),
        _ => Ok(()),
    }
}
