//! USB devices, from `/sys/bus/usb/devices`.

use std::path::Path;

use super::roots::{Roots, names_in, read_number, read_text};

/// One device on a bus; hubs are none.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct UsbDevice {
    /// Text of the device itself, else its id.
    product: String,
    vendor: String,
    /// `USB:bus:device`, as `lshw` writes it. Beyond ironic-python-agent, everything below.
    handle: String,
    /// Four hexadecimal digits, as all ids here.
    vendor_id: String,
    product_id: String,
    serial: Option<String>,
    /// Port path, `1-1.4`.
    port: String,
    /// Classes of its interfaces, two hexadecimal digits each (USB defined class codes).
    classes: Vec<String>,
    speed_mbps: Option<String>,
}

/// Class code of hubs.
const HUB: &str = "09";

pub(super) fn list(roots: &Roots) -> Vec<UsbDevice> {
    let folder = roots.sys.join("bus/usb/devices");
    let names = names_in(&folder);
    // `1-1.4` is a device, `1-1.4:1.0` one of its interfaces, `usb1` the hub in the controller.
    let ports = names.iter().filter(|name| !name.contains(':') && !name.starts_with("usb"));
    ports.filter_map(|port| read(&folder, &names, port)).collect()
}

fn read(folder: &Path, names: &[String], port: &str) -> Option<UsbDevice> {
    let device = folder.join(port);
    let text = |name: &str| read_text(&device.join(name));
    if text("bDeviceClass").as_deref() == Some(HUB) {
        return None;
    }
    let (vendor_id, product_id) = (text("idVendor")?, text("idProduct")?);
    let number = |name: &str| read_number(&device.join(name));
    let mut classes: Vec<String> = names
        .iter()
        .filter(|name| name.strip_prefix(port).is_some_and(|rest| rest.starts_with(':')))
        .filter_map(|interface| read_text(&folder.join(interface).join("bInterfaceClass")))
        .collect();
    classes.sort();
    classes.dedup();
    Some(UsbDevice {
        product: text("product").unwrap_or_else(|| product_id.clone()),
        vendor: text("manufacturer").unwrap_or_else(|| vendor_id.clone()),
        handle: format!("USB:{}:{}", number("busnum")?, number("devnum")?),
        vendor_id,
        product_id,
        serial: text("serial"),
        port: port.to_owned(),
        classes,
        speed_mbps: text("speed"),
    })
}
