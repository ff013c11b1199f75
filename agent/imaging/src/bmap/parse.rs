//! Reading a map strictly: known elements only, each once, nothing that refers to anything outside.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use ring::digest::{Context, SHA256};

use super::error::BmapError;
use super::map::{Blocks, Bmap, BmapVersion, Sha256};

/// Longest piece of a map that an error repeats, in characters.
const QUOTED: usize = 80;

pub(super) fn parse(bytes: &[u8]) -> Result<Bmap, BmapError> {
    if bytes.len() > Bmap::MAX_BYTES {
        return Err(BmapError::TooLarge { bytes: bytes.len(), limit: Bmap::MAX_BYTES });
    }
    let text = std::str::from_utf8(bytes).map_err(BmapError::NotText)?;
    let mut document = Document::new(text);
    let version = document.open()?;
    let fields = document.fields()?;
    document.close()?;
    fields.check(text, version)
}

/// Text of an element without the white space around it.
#[derive(Clone, Copy)]
struct Leaf<'a> {
    text: &'a str,
    /// Where `text` begins in the document.
    offset: usize,
}

impl Leaf<'_> {
    fn number(&self) -> Result<u64, BmapError> {
        number(self.text).ok_or_else(|| self.not("number"))
    }

    fn not(&self, wanted: &'static str) -> BmapError {
        BmapError::Value { offset: self.offset as u64, text: quote(self.text), wanted }
    }
}

/// Decimal digits and nothing else.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn quote(text: &str) -> String {
    text.chars().take(QUOTED).collect()
}

struct Document<'a> {
    text: &'a str,
    reader: Reader<&'a [u8]>,
}

impl<'a> Document<'a> {
    fn new(text: &'a str) -> Self {
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.check_comments = true;
        Self { text, reader }
    }

    /// The next event and where it begins.
    fn next(&mut self) -> Result<(usize, Event<'a>), BmapError> {
        let offset = self.offset();
        match self.reader.read_event() {
            Ok(event) => Ok((offset, event)),
            Err(error) => {
                Err(BmapError::Xml { offset: self.reader.error_position(), source: Box::new(error) })
            }
        }
    }

    /// Where the next event begins.
    fn offset(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).expect("it lies within the document")
    }

    /// The next event that is neither a comment nor white space.
    fn next_markup(&mut self) -> Result<(usize, Event<'a>), BmapError> {
        loop {
            match self.next()? {
                (_, Event::Comment(_)) => {}
                (_, Event::Text(text)) if text.trim_ascii().is_empty() => {}
                other => return Ok(other),
            }
        }
    }

    /// Reads up to the root element's start tag.
    fn open(&mut self) -> Result<BmapVersion, BmapError> {
        let mut next = self.next_markup()?;
        if let (0, Event::Decl(declaration)) = &next {
            let utf8 = match declaration.encoding() {
                None => true,
                Some(Ok(name)) => name.eq_ignore_ascii_case("utf-8"),
                Some(Err(_)) => false,
            };
            if !utf8 {
                return Err(unexpected(0, "an encoding other than UTF-8"));
            }
            next = self.next_markup()?;
        }
        match next {
            (offset, Event::Start(tag)) if tag.name().as_ref() == "bmap" => {
                let version = attribute(offset, &tag, "version")?.unwrap_or_default();
                match version.as_str() {
                    "1.3" => Ok(BmapVersion::V1_3),
                    "1.4" => Ok(BmapVersion::V1_4),
                    "2.0" => Ok(BmapVersion::V2_0),
                    other => Err(BmapError::Version(quote(other))),
                }
            }
            (offset, event) => Err(unexpected_event(offset, &event)),
        }
    }

    /// Reads what is in the root element, and its end tag.
    fn fields(&mut self) -> Result<Fields<'a>, BmapError> {
        let mut fields = Fields::default();
        loop {
            let (offset, tag) = match self.next_markup()? {
                (offset, Event::Start(tag)) => (offset, tag),
                (_, Event::End(_)) => return Ok(fields),
                (offset, event) => return Err(unexpected_event(offset, &event)),
            };
            let (element, field) = match tag.name().as_ref() {
                "ImageSize" => ("ImageSize", &mut fields.image_size),
                "BlockSize" => ("BlockSize", &mut fields.block_size),
                "BlocksCount" => ("BlocksCount", &mut fields.block_count),
                "MappedBlocksCount" => ("MappedBlocksCount", &mut fields.mapped_blocks),
                "ChecksumType" => ("ChecksumType", &mut fields.checksum_type),
                "BmapFileChecksum" => ("BmapFileChecksum", &mut fields.checksum),
                "BmapFileSHA1" => return Err(BmapError::ChecksumType("sha1".to_owned())),
                "BlockMap" => {
                    no_attributes(offset, &tag)?;
                    if fields.ranges.is_some() {
                        return Err(BmapError::Twice { element: "BlockMap", offset: offset as u64 });
                    }
                    fields.ranges = Some(self.ranges()?);
                    continue;
                }
                _ => return Err(unexpected_event(offset, &Event::Start(tag))),
            };
            no_attributes(offset, &tag)?;
            if field.is_some() {
                return Err(BmapError::Twice { element, offset: offset as u64 });
            }
            *field = Some(self.leaf()?);
        }
    }

    /// Reads the ranges, and the end tag behind them.
    fn ranges(&mut self) -> Result<Vec<Blocks>, BmapError> {
        let mut ranges = Vec::new();
        loop {
            let (offset, tag) = match self.next_markup()? {
                (offset, Event::Start(tag)) if tag.name().as_ref() == "Range" => (offset, tag),
                (_, Event::End(_)) => return Ok(ranges),
                (offset, event) => return Err(unexpected_event(offset, &event)),
            };
            if ranges.len() == Bmap::MAX_RANGES {
                return Err(BmapError::TooManyRanges { limit: Bmap::MAX_RANGES });
            }
            let digest = attribute(offset, &tag, "chksum")?;
            let leaf = self.leaf()?;
            let (first, last) = leaf.text.split_once('-').unwrap_or((leaf.text, leaf.text));
            let blocks = number(first.trim_ascii()).zip(number(last.trim_ascii()));
            let (first, last) = blocks.ok_or_else(|| leaf.not("range of blocks"))?;
            let hex = digest.ok_or(BmapError::NoDigest { first, last })?;
            let sha256 = Sha256::parse(hex.trim_ascii()).ok_or_else(|| BmapError::Value {
                offset: offset as u64,
                text: quote(&hex),
                wanted: "sha256",
            })?;
            ranges.push(Blocks { first, last, sha256 });
        }
    }

    /// Reads the text of an element, and its end tag.
    fn leaf(&mut self) -> Result<Leaf<'a>, BmapError> {
        let mut leaf = Leaf { text: "", offset: self.offset() };
        let (mut offset, mut event) = self.next()?;
        if matches!(event, Event::Text(_)) {
            // As it stands in the document: the checksum's place is needed, and white space is all that may differ.
            let text = &self.text[offset..self.offset()];
            leaf =
                Leaf { text: text.trim_ascii(), offset: offset + text.len() - text.trim_ascii_start().len() };
            (offset, event) = self.next()?;
        }
        match event {
            Event::End(_) => Ok(leaf),
            event => Err(unexpected_event(offset, &event)),
        }
    }

    /// Reads what may follow the root element.
    fn close(&mut self) -> Result<(), BmapError> {
        match self.next_markup()? {
            (_, Event::Eof) => Ok(()),
            (offset, event) => Err(unexpected_event(offset, &event)),
        }
    }
}

#[derive(Default)]
struct Fields<'a> {
    image_size: Option<Leaf<'a>>,
    block_size: Option<Leaf<'a>>,
    block_count: Option<Leaf<'a>>,
    mapped_blocks: Option<Leaf<'a>>,
    checksum_type: Option<Leaf<'a>>,
    checksum: Option<Leaf<'a>>,
    ranges: Option<Vec<Blocks>>,
}

impl Fields<'_> {
    fn check(self, document: &str, version: BmapVersion) -> Result<Bmap, BmapError> {
        let missing = |element| BmapError::Missing { element };
        match self.checksum_type {
            Some(leaf) if leaf.text.eq_ignore_ascii_case("sha256") => {}
            Some(leaf) => return Err(BmapError::ChecksumType(quote(leaf.text))),
            None if version == BmapVersion::V1_3 => {
                return Err(BmapError::ChecksumType("sha1".to_owned()));
            }
            None => return Err(missing("ChecksumType")),
        }
        let checksum = self.checksum.ok_or(missing("BmapFileChecksum"))?;
        check_own(document, checksum)?;

        let field = |leaf: Option<Leaf<'_>>, element| leaf.ok_or(missing(element))?.number();
        let image_size = field(self.image_size, "ImageSize")?;
        let block_size = field(self.block_size, "BlockSize")?;
        let block_count = field(self.block_count, "BlocksCount")?;
        let mapped_blocks = field(self.mapped_blocks, "MappedBlocksCount")?;
        let map = Bmap::new(version, image_size, block_size, self.ranges.ok_or(missing("BlockMap"))?)?;
        for (element, said, found) in [
            ("BlocksCount", block_count, map.block_count()),
            ("MappedBlocksCount", mapped_blocks, map.mapped_blocks()),
        ] {
            if said != found {
                return Err(BmapError::Count { element, said, found });
            }
        }
        Ok(map)
    }
}

/// Checks the map's checksum, which is computed with zeros in place of its own digits.
fn check_own(document: &str, checksum: Leaf<'_>) -> Result<(), BmapError> {
    let expected = Sha256::parse(checksum.text).ok_or_else(|| checksum.not("sha256"))?;
    let mut context = Context::new(&SHA256);
    context.update(&document.as_bytes()[..checksum.offset]);
    context.update(&[b'0'; 64]);
    context.update(&document.as_bytes()[checksum.offset + 64..]);
    let found = Sha256::from(context.finish());
    if found == expected {
        return Ok(());
    }
    Err(BmapError::Checksum { expected: expected.to_string(), found: found.to_string() })
}

/// The value of the only attribute that a tag may have.
fn attribute(offset: usize, tag: &BytesStart<'_>, name: &str) -> Result<Option<String>, BmapError> {
    let mut found = None;
    for attribute in tag.attributes() {
        let attribute =
            attribute.map_err(|error| BmapError::Xml { offset: offset as u64, source: Box::new(error) })?;
        match attribute.key.as_ref() {
            key if key == name => found = Some(attribute.value.into_owned()),
            "sha1" => return Err(BmapError::ChecksumType("sha1".to_owned())),
            key => return Err(unexpected(offset, &format!("attribute {:?}", quote(key)))),
        }
    }
    Ok(found)
}

fn no_attributes(offset: usize, tag: &BytesStart<'_>) -> Result<(), BmapError> {
    attribute(offset, tag, "").map(drop)
}

fn unexpected(offset: usize, what: &str) -> BmapError {
    BmapError::Unexpected { offset: offset as u64, what: what.to_owned() }
}

fn unexpected_event(offset: usize, event: &Event<'_>) -> BmapError {
    let what = match event {
        Event::Start(tag) | Event::Empty(tag) => format!("element <{}>", quote(tag.name().as_ref())),
        Event::End(tag) => format!("end of <{}>", quote(tag.name().as_ref())),
        Event::Text(text) => format!("text {:?}", quote(text.trim_ascii())),
        Event::CData(_) => "a CDATA section".to_owned(),
        Event::Comment(_) => "a comment in a value".to_owned(),
        Event::Decl(_) | Event::PI(_) => "a processing instruction".to_owned(),
        Event::DocType(_) => "a document type".to_owned(),
        Event::GeneralRef(_) => "an entity".to_owned(),
        Event::Eof => "the end of the file".to_owned(),
    };
    unexpected(offset, &what)
}
