//! Is it the machine that the record speaks of?

use tacit_protocol::v2;
use uuid::Uuid;

use super::error::AgentError;

/// What the node's record knows about the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedIdentity {
    pub node_uuid: Uuid,
    /// SMBIOS UUID, in either byte order, as a BMC or an earlier inspection gave it.
    pub system_uuid: Option<String>,
    /// Addresses of the node's ports.
    pub macs: Vec<String>,
}

/// Values that firmware shows when nobody set one (boot contract §E.1).
const MEANINGLESS: [&str; 3] = [
    "03000200-0400-0500-0006-000700080009",
    "00020003-0004-0005-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
];

/// Compares what the agent says with the record: node UUID, SMBIOS UUID (either byte order) and at least one MAC,
/// each where both sides know it. At first contact, where nothing was delivered, at least one of the latter two must
/// agree.
///
/// # Errors
/// [`AgentError::WrongMachine`] that names both values.
pub fn check_identity(expected: &ExpectedIdentity, status: &v2::Status) -> Result<(), AgentError> {
    let wrong = |detail: String| Err(AgentError::WrongMachine { address: None, detail });
    let delivered = status.trust == v2::Trust::Media;
    let says = status.node_uuid.parse::<Uuid>().ok();
    if says != Some(expected.node_uuid) && (delivered || !status.node_uuid.is_empty()) {
        return wrong(format!("it says node {:?}, the record says {}", status.node_uuid, expected.node_uuid));
    }
    let mut agreed = false;
    if let (Some(known), Some(shown)) =
        (meaningful(expected.system_uuid.as_deref()), meaningful(status.identity.system_uuid.as_deref()))
    {
        if known != shown && swapped(known) != shown {
            return wrong(format!("its system UUID is {shown}, the record says {known}"));
        }
        agreed = true;
    }
    let known: Vec<String> = expected.macs.iter().map(|mac| plain_mac(mac)).collect();
    let shown: Vec<String> = status.identity.mac_addresses.iter().map(|mac| plain_mac(mac)).collect();
    if !known.is_empty() && !shown.is_empty() {
        if !known.iter().any(|mac| shown.contains(mac)) {
            let (shown, known) = (shown.join(", "), known.join(", "));
            return wrong(format!("its network interfaces are {shown}, the record says {known}"));
        }
        agreed = true;
    }
    if !delivered && !agreed {
        return wrong("neither its system UUID nor a MAC address is known to the record".to_owned());
    }
    Ok(())
}

fn meaningful(text: Option<&str>) -> Option<Uuid> {
    let uuid = text?.trim().parse::<Uuid>().ok()?;
    let useless = uuid.is_nil() || uuid.is_max() || MEANINGLESS.contains(&uuid.to_string().as_str());
    (!useless).then_some(uuid)
}

/// The same bytes with the first three fields in the other order (SMBIOS before and since 2.6).
fn swapped(uuid: Uuid) -> Uuid {
    Uuid::from_bytes(uuid.to_bytes_le())
}

fn plain_mac(text: &str) -> String {
    text.trim().to_ascii_lowercase().replace('-', ":")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: Uuid = Uuid::from_u128(0x6f3b_3c5e_0001_4000_8000_0000_0000_0001);
    const SYSTEM: &str = "00112233-4455-6677-8899-aabbccddeeff";

    fn status(trust: v2::Trust, node: &str, system: Option<&str>, macs: &[&str]) -> v2::Status {
        v2::Status {
            version: "0".to_owned(),
            boot_id: "b".to_owned(),
            started_at: 0.0,
            first_answer_uptime: None,
            agent_startup_seconds: 0.0,
            preparing: false,
            rss_bytes: 0,
            rss_peak_bytes: 0,
            node_uuid: node.to_owned(),
            trust,
            identity: v2::Identity {
                system_uuid: system.map(str::to_owned),
                serial_number: None,
                mac_addresses: macs.iter().map(|mac| (*mac).to_owned()).collect(),
            },
            running: None,
            last_event: 0,
        }
    }

    fn check(known: Option<&str>, macs: &[&str], status: &v2::Status) -> Result<(), String> {
        let macs = macs.iter().map(|mac| (*mac).to_owned()).collect();
        let expected = ExpectedIdentity { node_uuid: NODE, system_uuid: known.map(str::to_owned), macs };
        check_identity(&expected, status).map_err(|error| error.to_string())
    }

    #[test]
    fn facts_that_agree_or_are_unknown_pass() {
        let node = NODE.to_string();
        let media = |system: Option<&str>, macs: &[&str]| status(v2::Trust::Media, &node, system, macs);
        let mac = "52:54:00:00:00:01";
        check(None, &[], &media(Some(SYSTEM), &[mac])).unwrap();
        check(
            Some("00112233-4455-6677-8899-AABBCCDDEEFF"),
            &["52-54-00-00-00-01"],
            &media(Some(SYSTEM), &[mac]),
        )
        .unwrap();
        check(Some("33221100-5544-7766-8899-aabbccddeeff"), &[], &media(Some(SYSTEM), &[])).unwrap();
        check(Some("00000000-0000-0000-0000-000000000000"), &[], &media(Some(SYSTEM), &[])).unwrap();
        check(Some(SYSTEM), &[mac, "52:54:00:00:00:02"], &media(None, &["aa:bb:cc:dd:ee:ff", mac])).unwrap();
        check(None, &[mac], &status(v2::Trust::FirstContact, "", None, &[mac])).unwrap();
    }

    #[test]
    fn contradictions_name_both_values() {
        let node = NODE.to_string();
        let other = Uuid::from_u128(7).to_string();
        let error = check(None, &[], &status(v2::Trust::Media, &other, None, &[])).unwrap_err();
        assert!(error.contains(&node) && error.contains(&other), "{error}");

        let shown = status(v2::Trust::Media, &node, Some(SYSTEM), &["52:54:00:00:00:01"]);
        let error = check(Some(&other), &[], &shown).unwrap_err();
        assert!(error.contains(SYSTEM) && error.contains(&other), "{error}");
        let error = check(Some(SYSTEM), &["52:54:00:00:00:09"], &shown).unwrap_err();
        assert!(error.contains("00:00:01") && error.contains("00:00:09"), "{error}");

        check(None, &[], &status(v2::Trust::FirstContact, "", Some(SYSTEM), &[])).unwrap_err();
        check(None, &[], &status(v2::Trust::Media, "", None, &[])).unwrap_err();
    }
}
