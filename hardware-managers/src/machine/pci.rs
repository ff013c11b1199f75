//! PCI functions, from `/sys/bus/pci/devices`.

use std::path::{Path, PathBuf};

use tacit_model::PciLink;

use super::roots::{Roots, link_name, names_in, read_text};

/// One function; ids are four hexadecimal digits, the class is six, without `0x`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PciFunction {
    pub(super) address: String,
    pub(super) vendor: String,
    pub(super) device: String,
    pub(super) class: String,
    folder: PathBuf,
}

/// All functions, by address. One that does not tell its ids and class is left out.
pub(super) fn list(roots: &Roots) -> Vec<PciFunction> {
    let folder = roots.sys.join("bus/pci/devices");
    names_in(&folder)
        .into_iter()
        .filter_map(|address| {
            let folder = folder.join(&address);
            let id = |name: &str| hexadecimal(&folder, name);
            let (vendor, device, class) = (id("vendor")?, id("device")?, id("class")?);
            Some(PciFunction { address, vendor, device, class, folder })
        })
        .collect()
}

impl PciFunction {
    pub(super) fn revision(&self) -> Option<String> {
        hexadecimal(&self.folder, "revision")
    }

    /// As the kernel writes it: -1 where the machine does not tell.
    pub(super) fn numa_text(&self) -> Option<String> {
        read_text(&self.folder.join("numa_node"))
    }

    pub(super) fn numa_node(&self) -> Option<u32> {
        self.numa_text()?.parse().ok()
    }

    pub(super) fn subsystem(&self) -> (Option<String>, Option<String>) {
        (hexadecimal(&self.folder, "subsystem_vendor"), hexadecimal(&self.folder, "subsystem_device"))
    }

    pub(super) fn driver(&self) -> Option<String> {
        link_name(&self.folder.join("driver"))
    }

    /// `None` for a function that is not on PCI Express, where both widths are absent or 0.
    pub(super) fn link(&self) -> Option<PciLink> {
        let text = |name: &str| read_text(&self.folder.join(name));
        // The kernel writes 255 for an unknown width.
        let width = |name: &str| text(name)?.parse::<u32>().ok().filter(|&lanes| lanes != 0 && lanes != 255);
        let link = PciLink {
            speed_gts: text("current_link_speed").as_deref().and_then(gigatransfers),
            max_speed_gts: text("max_link_speed").as_deref().and_then(gigatransfers),
            width: width("current_link_width"),
            max_width: width("max_link_width"),
        };
        (link != PciLink::default()).then_some(link)
    }
}

/// `16.0 GT/s PCIe` as `16.0`; older kernels write `8 GT/s`.
fn gigatransfers(text: &str) -> Option<String> {
    let (number, unit) = text.split_once(' ')?;
    (unit.starts_with("GT/s") && number.parse::<f32>().is_ok())
        .then(|| if number.contains('.') { number.to_owned() } else { format!("{number}.0") })
}

fn hexadecimal(folder: &Path, name: &str) -> Option<String> {
    Some(read_text(&folder.join(name))?.strip_prefix("0x")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::gigatransfers;

    #[test]
    fn speeds_are_numbers() {
        assert_eq!(gigatransfers("16.0 GT/s PCIe").as_deref(), Some("16.0"));
        assert_eq!(gigatransfers("8 GT/s").as_deref(), Some("8.0"));
        assert_eq!(gigatransfers("2.5 GT/s").as_deref(), Some("2.5"));
        for text in ["Unknown", "Unknown speed", "", "GT/s"] {
            assert_eq!(gigatransfers(text), None, "{text}");
        }
    }
}
