//! InfiniBand ports as DHCP servers and Ironic know them (IPA contract §4.5).

/// What a client identifier of Mellanox adapters begins with.
const CLIENT_ID_PREFIX: &str = "ff:00:00:00:00:00:02:00:00:02:c9:00:";
/// Twenty octets with colons between.
const INFINIBAND_ADDRESS_LENGTH: usize = 59;

/// How an InfiniBand port is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InfinibandIdentity {
    pub(crate) mac_address: String,
    pub(crate) client_id: String,
}

/// From the port's hardware address; `None` when that is not one of InfiniBand.
pub(crate) fn infiniband_identity(address: &str) -> Option<InfinibandIdentity> {
    let well_formed = address.len() == INFINIBAND_ADDRESS_LENGTH
        && address.split(':').all(|octet| octet.len() == 2 && octet.bytes().all(|b| b.is_ascii_hexdigit()));
    if !well_formed {
        return None;
    }
    let address = address.to_ascii_lowercase();
    // The last eight octets are the port's GUID; without its two middle ones it reads as an Ethernet address.
    Some(InfinibandIdentity {
        mac_address: format!("{}{}", &address[36..45], &address[51..]),
        client_id: format!("{CLIENT_ID_PREFIX}{}", &address[36..]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: &str = "80:00:02:48:fe:80:00:00:00:00:00:00:F4:52:14:03:00:7b:cb:a1";

    #[test]
    fn infiniband_ports_have_an_ethernet_like_address() {
        let identity = infiniband_identity(PORT).unwrap();
        assert_eq!(identity.mac_address, "f4:52:14:7b:cb:a1");
        assert_eq!(identity.client_id, "ff:00:00:00:00:00:02:00:00:02:c9:00:f4:52:14:03:00:7b:cb:a1");
        let other = "é".repeat(29) + ":";
        assert_eq!(other.len(), INFINIBAND_ADDRESS_LENGTH);
        for wrong in ["f4:52:14:7b:cb:a1", "", &PORT[1..], &PORT.replace(':', "-"), &other] {
            assert_eq!(infiniband_identity(wrong), None, "{wrong}");
        }
    }
}
