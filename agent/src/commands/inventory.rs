//! `poll.get_hardware_info` and `poll.get_inspection_data` (IPA contract §7).

use std::time::Duration;

use serde_json::{Map, Value};
use tacit_hardware::{Collector, Inspection, LLDP_PATIENCE};
use tacit_protocol::medium::ImagePolicy;

use super::logs;
use super::table::Call;
use crate::init::with_links_up;
use crate::ipa::IpaFace;
use crate::jobs::CommandError;
use crate::power::Power;

/// Nobody waits longer for a switch.
const MAX_LLDP_PATIENCE: u64 = 300;

/// What ironic-python-agent collects when it is not told what.
const USUAL: [Collector; 2] = [Collector::Default, Collector::Logs];

pub(super) fn get_hardware_info(call: &Call<'_>) -> Result<Value, CommandError> {
    serde_json::to_value(call.agent.machine.inventory())
        .map_err(|error| CommandError::execution(format!("the inventory is no JSON: {error}")))
}

/// What an inspection wants to know.
struct Wanted {
    collectors: Vec<Collector>,
    lldp_patience: Duration,
}

impl Wanted {
    /// What the caller left open is as in the ramdisk's configuration.
    fn complete(&mut self, params: &Map<String, Value>, ipa: &IpaFace) {
        let open = |name: &str| params.get(name).is_none_or(Value::is_null);
        if let Some(collectors) = ipa.collectors.as_ref().filter(|_| open("collectors")) {
            self.collectors.clone_from(collectors);
        }
        if let Some(seconds) = ipa.lldp_timeout.filter(|_| open("lldp_timeout")) {
            self.lldp_patience = Duration::from_secs(seconds);
        }
    }
}

pub(super) fn validate_inspection(params: &Map<String, Value>, _: &ImagePolicy) -> Result<(), CommandError> {
    wanted(params).map(|_| ())
}

/// What ironic-python-agent posts to `continue_inspection`, for the conductor to take over.
pub(super) fn get_inspection_data(call: &Call<'_>) -> Result<Value, CommandError> {
    let mut wanted = wanted(call.params)?;
    if let Some(ipa) = call.agent.ipa() {
        wanted.complete(call.params, ipa);
    }
    let managers = &call.agent.managers;
    let listens = wanted.collectors.contains(&Collector::Lldp);
    if listens {
        managers.stop_firmware_lldp();
    }
    let bundle =
        || logs::bundle(call.agent).map_err(|error| format!("the log bundle could not be made: {error}"));
    let inspect = || {
        call.agent.machine.inspect(&Inspection {
            collectors: &wanted.collectors,
            managers: managers.versions().into_iter().collect(),
            lldp_patience: wanted.lldp_patience,
            logs: Some(&bundle),
        })
    };
    // The links of a machine that is not the agent's own are left as they are.
    let raises_links = listens && matches!(call.agent.power, Power::Machine);
    Ok(if raises_links { with_links_up(inspect) } else { inspect() })
}

fn wanted(params: &Map<String, Value>) -> Result<Wanted, CommandError> {
    let wrong = |name: &str, wants: &str, found: &Value| {
        CommandError::invalid_params(format!("{name} must be {wants}, not {found}"))
    };
    let names: Vec<&str> = match params.get("collectors") {
        None | Some(Value::Null) => Vec::new(),
        // As in `ipa-inspection-collectors`.
        Some(Value::String(text)) => text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect(),
        Some(Value::Array(names)) => names
            .iter()
            .map(|name| name.as_str().ok_or_else(|| wrong("collectors", "names", name)))
            .collect::<Result<_, _>>()?,
        Some(other) => return Err(wrong("collectors", "a list of names", other)),
    };
    let mut collectors: Vec<Collector> = names
        .into_iter()
        .map(|name| name.parse::<Collector>())
        .collect::<Result<_, _>>()
        .map_err(|error| CommandError::invalid_params(error.to_string()))?;
    if collectors.is_empty() {
        collectors = USUAL.to_vec();
    }
    let lldp_patience = match params.get("lldp_timeout") {
        None | Some(Value::Null) => LLDP_PATIENCE,
        Some(seconds) => seconds
            .as_u64()
            .filter(|seconds| (1..=MAX_LLDP_PATIENCE).contains(seconds))
            .map(Duration::from_secs)
            .ok_or_else(|| wrong("lldp_timeout", "1 to 300 seconds", seconds))?,
    };
    Ok(Wanted { collectors, lldp_patience })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(params: Value) -> Result<Wanted, CommandError> {
        wanted(params.as_object().unwrap())
    }

    #[test]
    fn collectors_are_named_as_for_ironic_python_agent() {
        let usual = of(json!({})).unwrap();
        assert_eq!((usual.collectors.as_slice(), usual.lldp_patience), (&USUAL[..], LLDP_PATIENCE));
        let wanted = of(json!({"collectors": "default, pci-devices,lldp", "lldp_timeout": 5})).unwrap();
        assert_eq!(wanted.collectors, [Collector::Default, Collector::PciDevices, Collector::Lldp]);
        assert_eq!(wanted.lldp_patience, Duration::from_secs(5));
        assert_eq!(of(json!({"collectors": ["dmi-decode"]})).unwrap().collectors, [Collector::DmiDecode]);
        for params in [
            json!({"collectors": "extra"}),
            json!({"collectors": [1]}),
            json!({"collectors": 1}),
            json!({"lldp_timeout": 0}),
            json!({"lldp_timeout": 301}),
            json!({"lldp_timeout": "soon"}),
        ] {
            let error = of(params.clone()).err().unwrap();
            assert_eq!(error.error.code, 400, "{params}");
        }
    }
}
