//! Intel's converged adapters, whose firmware keeps LLDP frames for itself (IPA contract §4.5).

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tacit_model::Step;

use super::error::StepError;
use super::manager::{HardwareManager, StepContext, SupportLevel, unsupported};
use crate::machine::{Roots, names_in, read_text};

/// Name of the driver.
const DRIVER: &str = "i40e";
/// What is written to the driver's command file.
const STOP: &str = "lldp stop";
/// Kernel parameter by which LLDP is wanted from the start.
const WANTED: &str = "ipa-collect-lldp";

/// Stops the firmware's LLDP agent where frames are wanted, so that the operating system sees them.
#[derive(Clone, Debug)]
pub struct IntelCnaHardwareManager {
    modules: PathBuf,
    commands: PathBuf,
    command_line: PathBuf,
}

impl IntelCnaHardwareManager {
    pub fn new(roots: &Roots) -> Self {
        Self {
            modules: roots.sys.join("module"),
            commands: roots.sys.join("kernel/debug").join(DRIVER),
            command_line: roots.proc.join("cmdline"),
        }
    }

    fn is_wanted(&self) -> bool {
        let line = read_text(&self.command_line).unwrap_or_default();
        let value = line.split_ascii_whitespace().rev().find_map(|word| {
            let (key, value) = word.split_once('=').unwrap_or((word, "1"));
            (key == WANTED).then_some(value)
        });
        value.is_some_and(|value| ["1", "true", "yes", "on"].contains(&value.to_ascii_lowercase().as_str()))
    }
}

impl HardwareManager for IntelCnaHardwareManager {
    fn name(&self) -> &str {
        "IntelCnaHardwareManager"
    }

    fn class(&self) -> &str {
        "IntelCnaHardwareManager"
    }

    fn version(&self) -> &str {
        "1.0"
    }

    fn evaluate_hardware_support(&self) -> SupportLevel {
        if self.modules.join(DRIVER).exists() { SupportLevel::Mainline } else { SupportLevel::None }
    }

    fn initialize(&self) -> Result<(), StepError> {
        if self.is_wanted()
            && let Err(error) = self.stop_firmware_lldp()
        {
            // Frames that are not seen are no reason to leave the machine alone.
            tracing::warn!("{error}");
        }
        Ok(())
    }

    fn clean_steps(&self) -> Vec<Step> {
        Vec::new()
    }

    fn deploy_steps(&self) -> Vec<Step> {
        Vec::new()
    }

    fn run_step(&self, step: &str, _: &StepContext<'_>) -> Result<Value, StepError> {
        Err(unsupported(self.name(), step))
    }

    fn stop_firmware_lldp(&self) -> Result<(), StepError> {
        let adapters = names_in(&self.commands);
        if adapters.is_empty() {
            let text = format!("{} has no adapters: is debugfs mounted?", self.commands.display());
            return Err(StepError::configuration(text));
        }
        for adapter in adapters {
            let path = self.commands.join(adapter).join("command");
            fs::write(&path, STOP)
                .map_err(|error| StepError::configuration(format!("{}: {error}", path.display())))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firmware_is_told_only_where_frames_are_wanted() {
        let top = tempfile::tempdir().unwrap();
        let roots = Roots::below(top.path());
        let manager = IntelCnaHardwareManager::new(&roots);
        assert_eq!(manager.evaluate_hardware_support(), SupportLevel::None);
        fs::create_dir_all(roots.sys.join("module/i40e")).unwrap();
        fs::create_dir_all(&roots.proc).unwrap();
        assert_eq!(manager.evaluate_hardware_support(), SupportLevel::Mainline);
        assert!(manager.stop_firmware_lldp().is_err());

        let command = |adapter: &str| roots.sys.join("kernel/debug/i40e").join(adapter).join("command");
        for adapter in ["0000:3b:00.0", "0000:3b:00.1"] {
            fs::create_dir_all(command(adapter).parent().unwrap()).unwrap();
        }
        for (line, told) in [
            ("quiet", false),
            ("ipa-collect-lldp=1 ipa-collect-lldp=0", false),
            ("ipa-collect-lldp=true quiet", true),
        ] {
            fs::write(roots.proc.join("cmdline"), line).unwrap();
            manager.initialize().unwrap();
            assert_eq!(command("0000:3b:00.0").exists(), told, "{line}");
        }
        assert_eq!(fs::read_to_string(command("0000:3b:00.1")).unwrap(), "lldp stop");
    }
}
