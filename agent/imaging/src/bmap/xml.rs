//! Writing a map, so that bmaptool reads it as well.

use std::fmt::Write;

use super::map::{Blocks, Bmap, Sha256};

/// Takes the checksum's place while it is computed.
const NO_CHECKSUM: &str = "0000000000000000000000000000000000000000000000000000000000000000";

pub(super) fn write(map: &Bmap) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" ?>\n");
    let mut line = |text: std::fmt::Arguments<'_>| {
        xml.write_fmt(text).expect("a string takes all that is written");
        xml.push('\n');
        xml.len()
    };
    line(format_args!("<!-- The blocks of a disk image that hold data. All others read as zeros. -->"));
    line(format_args!("<bmap version=\"2.0\">"));
    line(format_args!("    <ImageSize> {} </ImageSize>", map.image_size()));
    line(format_args!("    <BlockSize> {} </BlockSize>", map.block_size()));
    line(format_args!("    <BlocksCount> {} </BlocksCount>", map.block_count()));
    line(format_args!("    <MappedBlocksCount> {} </MappedBlocksCount>", map.mapped_blocks()));
    line(format_args!("    <ChecksumType> sha256 </ChecksumType>"));
    line(format_args!("    <!-- Of this file, with zeros in place of these digits. -->"));
    let checksum = "    <BmapFileChecksum> ".len()
        + line(format_args!("    <BmapFileChecksum> {NO_CHECKSUM} </BmapFileChecksum>"))
        - "    <BmapFileChecksum>  </BmapFileChecksum>\n".len()
        - NO_CHECKSUM.len();
    line(format_args!("    <BlockMap>"));
    for Blocks { first, last, sha256 } in map.blocks() {
        if first == last {
            line(format_args!("        <Range chksum=\"{sha256}\"> {first} </Range>"));
        } else {
            line(format_args!("        <Range chksum=\"{sha256}\"> {first}-{last} </Range>"));
        }
    }
    line(format_args!("    </BlockMap>"));
    line(format_args!("</bmap>"));
    let sum = Sha256::of(xml.as_bytes()).to_string();
    xml.replace_range(checksum..checksum + NO_CHECKSUM.len(), &sum);
    xml
}
