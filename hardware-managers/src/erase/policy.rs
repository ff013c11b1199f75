//! What the operator wants: Ironic's knobs, which Ironic puts into `driver_internal_info`, and the step's own
//! arguments, in the words of NIST SP 800-88r2.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tacit_model::EraseStandard;

use super::method::Method;
use crate::managers::StepError;

/// Devices that are worked on at the same time when nobody says how many: what Ironic sends.
const CONCURRENCY: u64 = 4;
/// More passes than this are a slip of the finger, not a policy.
const MOST_PASSES: u64 = 100;
const MOST_DEVICES: u64 = 1024;
/// Characters of a PSID (TCG Opal SSC Feature Set: PSID, 4.4).
const PSID_LENGTH: usize = 32;

/// Which methods come into question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    /// What the device offers, best first, within Ironic's knobs.
    #[default]
    Auto,
    /// Whatever reaches at least this standard, best first.
    AtLeast(EraseStandard),
    /// This one and no other.
    Only(Method),
    /// Only what a system recognises; not sanitisation.
    Metadata,
    /// The quick commands of NVMe drives.
    Express,
}

/// How much of the last pass is read back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verify {
    /// Both ends and pieces spread over the whole device.
    #[default]
    Sample,
    Full,
}

/// Everything that decides how devices are erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) choice: Choice,
    /// What a method must reach to be used at all.
    pub(crate) require: EraseStandard,
    /// `agent_enable_ata_secure_erase`: erase commands of ATA and SCSI drives.
    pub(crate) ata_secure_erase: bool,
    /// `agent_enable_nvme_secure_erase`.
    pub(crate) nvme_secure_erase: bool,
    /// `agent_continue_if_secure_erase_failed`: whether overwriting may follow on a drive whose own commands failed.
    pub(crate) continue_if_failed: bool,
    /// `agent_enable_discard_erase`.
    pub(crate) discard: bool,
    /// `agent_erase_devices_iterations`: passes of random data.
    pub(crate) iterations: u32,
    /// `agent_erase_devices_zeroize`: a last pass of zeros.
    pub(crate) zeroize: bool,
    /// `agent_erase_skip_read_only`.
    pub(crate) skip_read_only: bool,
    /// `disk_erasure_concurrency`.
    pub(crate) concurrency: usize,
    /// `wipe_special_filesystems`: file systems that other machines may use are no obstacle.
    pub(crate) wipe_special: bool,
    pub(crate) verify: Verify,
    /// Whether a device with sectors that cannot be overwritten still counts as treated, without any standard.
    pub(crate) accept_bad_sectors: bool,
    /// PSID by serial number or world wide name.
    pub(crate) psids: BTreeMap<String, String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            choice: Choice::Auto,
            require: EraseStandard::None,
            ata_secure_erase: true,
            nvme_secure_erase: true,
            continue_if_failed: false,
            discard: false,
            iterations: 1,
            zeroize: true,
            skip_read_only: false,
            concurrency: CONCURRENCY as usize,
            wipe_special: false,
            verify: Verify::Sample,
            accept_bad_sectors: false,
            psids: BTreeMap::new(),
        }
    }
}

impl Policy {
    /// Reads the node's knobs and the step's arguments.
    ///
    /// # Errors
    ///
    /// [`StepError::InvalidParameter`] for everything that is not understood: a value that was meant to protect
    /// data must not be read as another one.
    pub(crate) fn read(node: &Value, args: &Map<String, Value>) -> Result<Self, StepError> {
        let knobs = Knobs { section: "driver_internal_info", values: &node["driver_internal_info"] };
        let default = Self::default();
        let continue_key = if knobs.given("agent_continue_if_secure_erase_failed") {
            "agent_continue_if_secure_erase_failed"
        } else {
            "agent_continue_if_ata_erase_failed"
        };
        let mut policy = Self {
            ata_secure_erase: knobs.flag("agent_enable_ata_secure_erase", default.ata_secure_erase)?,
            nvme_secure_erase: knobs.flag("agent_enable_nvme_secure_erase", default.nvme_secure_erase)?,
            continue_if_failed: knobs.flag(continue_key, default.continue_if_failed)?,
            discard: knobs.flag("agent_enable_discard_erase", default.discard)?,
            iterations: u32::try_from(knobs.number("agent_erase_devices_iterations", 0, MOST_PASSES, 1)?)
                .expect("bounded by MOST_PASSES"),
            zeroize: knobs.flag("agent_erase_devices_zeroize", default.zeroize)?,
            concurrency: usize::try_from(knobs.number(
                "disk_erasure_concurrency",
                1,
                MOST_DEVICES,
                CONCURRENCY,
            )?)
            .expect("bounded by MOST_DEVICES"),
            ..Self::guards(node)?
        };
        policy.read_psids("driver_info.opal_psids", &node["driver_info"]["opal_psids"])?;
        policy.read_arguments(args)?;
        if policy.iterations == 0 && !policy.zeroize {
            return Err(invalid(
                "driver_internal_info.agent_erase_devices_iterations",
                "is 0 and agent_erase_devices_zeroize is false: nothing would be written",
            ));
        }
        Ok(policy)
    }

    /// What decides which disks may be overwritten at all, for a step that overwrites them for another reason than to
    /// erase them.
    ///
    /// # Errors
    ///
    /// As [`Policy::read`].
    pub(crate) fn overwriting(node: &Value) -> Result<Self, StepError> {
        Ok(Self { choice: Choice::Only(Method::Overwrite), ..Self::guards(node)? })
    }

    /// The default, but for the knobs of the guards.
    fn guards(node: &Value) -> Result<Self, StepError> {
        let [internal, info] =
            ["driver_internal_info", "driver_info"].map(|section| Knobs { section, values: &node[section] });
        Ok(Self {
            skip_read_only: internal.flag("agent_erase_skip_read_only", false)?,
            wipe_special: internal.flag("wipe_special_filesystems", false)?
                || info.flag("wipe_special_filesystems", false)?,
            ..Self::default()
        })
    }

    /// What has to be reached at least, by whichever argument.
    pub(crate) fn floor(&self) -> EraseStandard {
        match self.choice {
            Choice::AtLeast(standard) => standard.max(self.require),
            _ => self.require,
        }
    }

    fn read_arguments(&mut self, args: &Map<String, Value>) -> Result<(), StepError> {
        if let Some(word) = text(args, "method")? {
            self.choice = match word {
                "auto" => Choice::Auto,
                "purge" => Choice::AtLeast(EraseStandard::Purge),
                "clear" => Choice::AtLeast(EraseStandard::Clear),
                "metadata" => Choice::Metadata,
                named => Choice::Only(Method::by_name(named).ok_or_else(|| {
                    let known = Method::ALL.map(Method::name).join(", ");
                    let known = format!("auto, purge, clear, metadata, {known}");
                    invalid("method", &format!("there is no method {named}; there are {known}"))
                })?),
            };
        }
        if let Some(word) = text(args, "require")? {
            self.require = match word {
                "none" => EraseStandard::None,
                "clear" => EraseStandard::Clear,
                "purge" => EraseStandard::Purge,
                other => return Err(invalid("require", &format!("must be clear or purge, not {other}"))),
            };
        }
        if let Some(word) = text(args, "verify")? {
            self.verify = match word {
                "sample" => Verify::Sample,
                "full" => Verify::Full,
                other => return Err(invalid("verify", &format!("must be sample or full, not {other}"))),
            };
        }
        if let Some(word) = text(args, "bad_sectors")? {
            self.accept_bad_sectors = match word {
                "fail" => false,
                "accept" => true,
                other => return Err(invalid("bad_sectors", &format!("must be fail or accept, not {other}"))),
            };
        }
        self.read_psids("opal_psids", args.get("opal_psids").unwrap_or(&Value::Null))?;
        if self.choice == Choice::Metadata && self.require > EraseStandard::None {
            return Err(invalid("require", "a wipe of metadata reaches no standard"));
        }
        Ok(())
    }

    fn read_psids(&mut self, parameter: &str, psids: &Value) -> Result<(), StepError> {
        let psids = match psids {
            Value::Null => return Ok(()),
            Value::Object(psids) => psids,
            _ => return Err(invalid(parameter, "must be an object of PSIDs by serial number or WWN")),
        };
        for (drive, psid) in psids {
            // Not repeated in the message: whoever has it may revert the drive.
            let psid = psid
                .as_str()
                .map(|psid| psid.trim().replace('-', "").to_ascii_uppercase())
                .filter(|psid| {
                    psid.len() == PSID_LENGTH && psid.bytes().all(|byte| byte.is_ascii_alphanumeric())
                })
                .ok_or_else(|| {
                    let problem =
                        format!("the PSID of {drive} is not {PSID_LENGTH} letters and digits of a label");
                    invalid(parameter, &problem)
                })?;
            self.psids.insert(drive.trim().to_ascii_lowercase(), psid);
        }
        Ok(())
    }

    /// The PSID that was given for a drive of one of these names.
    pub(crate) fn psid<'a>(&self, names: impl IntoIterator<Item = Option<&'a str>>) -> Option<&str> {
        let known = |name: &str| self.psids.get(&name.trim().to_ascii_lowercase()).map(String::as_str);
        names.into_iter().flatten().find_map(known)
    }
}

/// One object of the node.
struct Knobs<'a> {
    section: &'static str,
    values: &'a Value,
}

impl Knobs<'_> {
    fn given(&self, name: &str) -> bool {
        !self.values[name].is_null()
    }

    fn flag(&self, name: &str, default: bool) -> Result<bool, StepError> {
        match &self.values[name] {
            Value::Null => Ok(default),
            Value::Bool(value) => Ok(*value),
            other => Err(self.wrong(name, &format!("must be true or false, not {other}"))),
        }
    }

    fn number(&self, name: &str, least: u64, most: u64, default: u64) -> Result<u64, StepError> {
        match &self.values[name] {
            Value::Null => Ok(default),
            value => value.as_u64().filter(|value| (least..=most).contains(value)).ok_or_else(|| {
                self.wrong(name, &format!("must be a whole number from {least} to {most}, not {value}"))
            }),
        }
    }

    fn wrong(&self, name: &str, problem: &str) -> StepError {
        invalid(&format!("{}.{name}", self.section), problem)
    }
}

fn text<'a>(args: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, StepError> {
    match args.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(invalid(name, &format!("must be text, not {other}"))),
    }
}

fn invalid(parameter: &str, problem: &str) -> StepError {
    StepError::InvalidParameter { parameter: parameter.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::drives::EraseMethod;

    fn read(knobs: Value, args: Value) -> Result<Policy, StepError> {
        let args = args.as_object().unwrap().clone();
        Policy::read(&json!({ "driver_internal_info": knobs }), &args)
    }

    #[test]
    fn ironic_s_knobs_are_understood() {
        assert_eq!(read(json!({}), json!({})).unwrap(), Policy::default());
        let policy = read(
            json!({
                "agent_enable_ata_secure_erase": false,
                "agent_enable_nvme_secure_erase": false,
                "agent_continue_if_ata_erase_failed": true,
                "agent_erase_devices_iterations": 3,
                "agent_erase_devices_zeroize": false,
                "agent_erase_skip_read_only": true,
                "agent_enable_discard_erase": true,
                "disk_erasure_concurrency": 2,
            }),
            json!({}),
        )
        .unwrap();
        assert!(!policy.ata_secure_erase && !policy.nvme_secure_erase && !policy.zeroize);
        assert!(policy.continue_if_failed && policy.skip_read_only && policy.discard);
        assert_eq!((policy.iterations, policy.concurrency), (3, 2));
        // The new key has the last word.
        let both = json!({
            "agent_continue_if_secure_erase_failed": false, "agent_continue_if_ata_erase_failed": true
        });
        assert!(!read(both, json!({})).unwrap().continue_if_failed);
    }

    #[test]
    fn arguments_choose_methods_by_the_standard_s_words() {
        let choice = |word: &str| read(json!({}), json!({ "method": word })).unwrap().choice;
        assert_eq!(choice("auto"), Choice::Auto);
        assert_eq!(choice("purge"), Choice::AtLeast(EraseStandard::Purge));
        assert_eq!(choice("overwrite"), Choice::Only(Method::Overwrite));
        let sanitize = Choice::Only(Method::Drive(EraseMethod::NvmeSanitizeBlock));
        assert_eq!(choice("nvme-sanitize-block"), sanitize);
        for method in Method::ALL {
            assert_eq!(Method::by_name(method.name()), Some(method));
        }
    }

    #[test]
    fn garbage_is_never_a_default() {
        for knobs in [
            json!({"agent_enable_ata_secure_erase": "no"}),
            json!({"agent_erase_devices_iterations": -1}),
            json!({"agent_erase_devices_iterations": 1.5}),
            json!({"agent_erase_devices_iterations": 101}),
            json!({"agent_erase_devices_iterations": 0, "agent_erase_devices_zeroize": false}),
            json!({"disk_erasure_concurrency": 0}),
            json!({"wipe_special_filesystems": 1}),
        ] {
            let error = read(knobs.clone(), json!({})).unwrap_err();
            assert_eq!(error.code(), 400, "{knobs}");
        }
        for args in [
            json!({"method": "shred"}),
            json!({"method": 1}),
            json!({"require": "destroy"}),
            json!({"verify": true}),
            json!({"bad_sectors": "ignore"}),
            json!({"opal_psids": ["A"]}),
            json!({"opal_psids": {"S1": "short"}}),
            json!({"method": "metadata", "require": "clear"}),
        ] {
            assert_eq!(read(json!({}), args.clone()).unwrap_err().code(), 400, "{args}");
        }
    }

    #[test]
    fn psids_are_found_by_serial_or_world_wide_name_and_never_repeated() {
        let psid = "ABCDEFGHJKLMNPQRSTUVWXYZ01234567";
        let node = json!({"driver_info": {"opal_psids": {"S3EW": psid, "0x5002": "x"}}});
        let error = Policy::read(&node, &Map::new()).unwrap_err();
        assert!(error.details().contains("0x5002") && !error.details().contains(psid));
        let node = json!({"driver_info": {"opal_psids": {"S3EW": psid.to_lowercase()}}});
        let policy = Policy::read(&node, &Map::new()).unwrap();
        assert_eq!(policy.psid([Some("other"), Some("s3ew ")]), Some(psid));
        assert_eq!(policy.psid([None]), None);
    }
}
