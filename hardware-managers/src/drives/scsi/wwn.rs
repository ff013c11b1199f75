//! World wide names (Device Identification page 83h; SPC-6, 7.8.6).

use crate::drives::fields::hex;

/// The name of the logical unit: NAA before EUI-64, the longest of a kind. Written as sysfs and udev do.
pub(crate) fn world_wide_name(page: &[u8]) -> Option<String> {
    let mut rest = page.get(4..)?;
    let mut best: Option<(u8, &[u8])> = None;
    while let [set, kind, _, length, tail @ ..] = rest {
        let Some((designator, after)) = tail.split_at_checked(usize::from(*length)) else { break };
        rest = after;
        let (binary, of_unit) = (set & 0x0f == 1, kind >> 4 & 3 == 0);
        // EUI-64 is designator type 2, NAA type 3.
        let fits = match kind & 0x0f {
            2 => matches!(designator.len(), 8 | 12 | 16),
            3 => matches!(designator.len(), 8 | 16),
            _ => false,
        };
        let candidate = (kind & 0x0f, designator);
        if binary
            && of_unit
            && fits
            && designator.iter().any(|byte| *byte != 0)
            && best.is_none_or(|(kind, held)| (candidate.0, designator.len()) > (kind, held.len()))
        {
            best = Some(candidate);
        }
    }
    best.map(
        |(kind, bytes)| if kind == 3 { format!("0x{}", hex(bytes)) } else { format!("eui.{}", hex(bytes)) },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(designators: &[(u8, u8, &[u8])]) -> Vec<u8> {
        let mut page = vec![0, 0x83, 0, 0];
        for (set, kind, bytes) in designators {
            page.extend([*set, *kind, 0, bytes.len() as u8]);
            page.extend(*bytes);
        }
        page[3] = (page.len() - 4) as u8;
        page
    }

    #[test]
    fn the_name_of_the_unit_and_not_of_its_port() {
        let naa = [0x50, 0, 0xc5, 0, 1, 2, 3, 4];
        let port = [0x50, 0, 0xc5, 0, 9, 9, 9, 9];
        let name = page(&[(2, 1, b"SEAGATE ST"), (1, 2, &[1; 8]), (1, 3, &naa), (1, 0x93, &port)]);
        assert_eq!(world_wide_name(&name).as_deref(), Some("0x5000c50001020304"));
        assert_eq!(world_wide_name(&page(&[(1, 2, &[1; 8])])).as_deref(), Some("eui.0101010101010101"));
    }

    #[test]
    fn what_is_cut_off_or_empty_is_no_name() {
        assert_eq!(world_wide_name(&page(&[(1, 3, &[0; 8])])), None);
        let mut cut = page(&[(1, 3, &[0x50; 8])]);
        cut.truncate(12);
        assert_eq!(world_wide_name(&cut), None);
        assert_eq!(world_wide_name(&[0, 0x83]), None);
    }
}
