use std::error::Error as StdError;

/// Why a block map cannot be used. Offsets are bytes of the map.
#[derive(Debug, thiserror::Error)]
pub enum BmapError {
    #[error("the map has {bytes} bytes, at most {limit} are read")]
    TooLarge { bytes: usize, limit: usize },
    #[error("the map is not UTF-8 text")]
    NotText(#[source] std::str::Utf8Error),
    #[error("the map is not XML (at byte {offset})")]
    Xml { offset: u64, source: Box<dyn StdError + Send + Sync> },
    #[error("at byte {offset}: {what} is out of place")]
    Unexpected { offset: u64, what: String },
    #[error("<{element}> is missing")]
    Missing { element: &'static str },
    #[error("<{element}> is there twice (again at byte {offset})")]
    Twice { element: &'static str, offset: u64 },
    #[error("at byte {offset}: {text:?} is not a {wanted}")]
    Value { offset: u64, text: String, wanted: &'static str },
    #[error("version {0:?} of the format is not known (1.3, 1.4, 2.0)")]
    Version(String),
    #[error("its digests are {0}, only sha256 vouches for an image; make the map anew")]
    ChecksumType(String),
    #[error("the map is damaged: its own sha256 is {found}, it says {expected}")]
    Checksum { expected: String, found: String },
    #[error("an image of {0} bytes is not possible")]
    ImageSize(u64),
    #[error("blocks of {0} bytes are not possible")]
    BlockSize(u64),
    #[error("<{element}> is {said}, but it must be {found}")]
    Count { element: &'static str, said: u64, found: u64 },
    #[error("blocks {first} to {last} have no digest")]
    NoDigest { first: u64, last: u64 },
    #[error("blocks {first} to {last} do not follow the range before them")]
    Order { first: u64, last: u64 },
    #[error("blocks {first} to {last} do not lie within the image of {blocks} blocks")]
    Beyond { first: u64, last: u64, blocks: u64 },
    #[error("there are more than {limit} ranges")]
    TooManyRanges { limit: usize },
}
