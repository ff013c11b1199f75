//! [`Bmc`]: what a node's driver offers, whichever it is.

use serde_json::{Map, Value};

use super::boot::BootTarget;
use super::client::Client;
use super::driver_info::ConnectionInfo;
use super::errors::{BmcError, BmcErrorKind};
use super::identity::SystemIdentity;
use super::manual;
use super::power::PowerState;
use super::timing::Timing;

/// The management of one machine. Cheap to clone; clones share one login.
#[derive(Clone, Debug)]
pub enum Bmc {
    Redfish(Client),
    /// No BMC: a person does what the log asks for.
    Manual,
}

impl Bmc {
    /// The BMC that a node's `driver` and `driver_info` describe. Opens no connection.
    ///
    /// # Errors
    /// [`BmcErrorKind::UnknownDriver`], or [`BmcErrorKind::DriverInfo`] that names the key.
    pub fn for_node(driver: &str, driver_info: &Map<String, Value>) -> Result<Self, BmcError> {
        Self::with_timing(driver, driver_info, Timing::default())
    }

    /// [`Bmc::for_node`] with other waits than the default.
    ///
    /// # Errors
    /// As [`Bmc::for_node`].
    pub fn with_timing(
        driver: &str,
        driver_info: &Map<String, Value>,
        timing: Timing,
    ) -> Result<Self, BmcError> {
        match driver {
            "redfish" => {
                Ok(Self::Redfish(Client::new(ConnectionInfo::from_driver_info(driver_info)?, timing)?))
            }
            "manual" | "manual-management" => Ok(Self::Manual),
            other => Err(BmcError::new("", "", BmcErrorKind::UnknownDriver(other.to_owned()))),
        }
    }

    /// Whether two handles are clones of one, so that they use one session.
    #[cfg(test)]
    pub(crate) fn shares_login_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Redfish(one), Self::Redfish(other)) => one.is_same(other),
            _ => false,
        }
    }

    #[must_use]
    pub fn is_manual(&self) -> bool {
        matches!(self, Self::Manual)
    }

    /// Whether power can be switched without a person.
    #[must_use]
    pub fn can_power(&self) -> bool {
        !self.is_manual()
    }

    /// Checks credentials and that the system can be reached, and returns what the BMC says about it.
    ///
    /// # Errors
    /// Any [`BmcErrorKind`]; `Denied` for bad credentials.
    pub async fn verify(&self) -> Result<SystemIdentity, BmcError> {
        match self {
            Self::Redfish(client) => client.identity().await.map_err(|e| e.during("verify")),
            Self::Manual => Ok(SystemIdentity::default()),
        }
    }

    /// The settled power state; `None` while it changes or when nobody knows.
    ///
    /// # Errors
    /// Any [`BmcErrorKind`] of a read.
    pub async fn power_state(&self) -> Result<Option<PowerState>, BmcError> {
        match self {
            Self::Redfish(client) => client.power_state().await.map_err(|e| e.during("read power state")),
            Self::Manual => Ok(None),
        }
    }

    /// Switches on and waits (60 s) until the BMC reports it. Does nothing when the machine is on.
    ///
    /// # Errors
    /// [`BmcErrorKind::Unmoved`] when the BMC accepted but the state did not follow; others as they come.
    pub async fn power_on(&self) -> Result<(), BmcError> {
        match self {
            Self::Redfish(client) => client.power_on().await.map_err(|e| e.during("power on")),
            Self::Manual => {
                manual::power_on();
                Ok(())
            }
        }
    }

    /// Cuts the power and waits (60 s) until the BMC reports it. Does nothing when the machine is off.
    ///
    /// # Errors
    /// As [`Bmc::power_on`].
    pub async fn power_off(&self) -> Result<(), BmcError> {
        match self {
            Self::Redfish(client) => client.power_off().await.map_err(|e| e.during("power off")),
            Self::Manual => {
                manual::power_off();
                Ok(())
            }
        }
    }

    /// Asks the operating system to shut down and waits (600 s) until the machine is off. Never cuts the power; that
    /// is the caller's policy.
    ///
    /// # Errors
    /// As [`Bmc::power_on`].
    pub async fn soft_off(&self) -> Result<(), BmcError> {
        match self {
            Self::Redfish(client) => client.soft_off().await.map_err(|e| e.during("soft power off")),
            Self::Manual => {
                manual::power_off();
                Ok(())
            }
        }
    }

    /// Off, then on. A boot device for the next start is better set between [`Bmc::power_off`] and
    /// [`Bmc::power_on`].
    ///
    /// # Errors
    /// As [`Bmc::power_on`].
    pub async fn reboot(&self) -> Result<(), BmcError> {
        match self {
            Self::Redfish(client) => client.reboot().await.map_err(|e| e.during("reboot")),
            Self::Manual => {
                manual::reboot();
                Ok(())
            }
        }
    }

    /// Resets without ever switching off, for nodes with `disable_power_off`.
    ///
    /// # Errors
    /// As [`Bmc::power_on`].
    pub async fn restart(&self) -> Result<(), BmcError> {
        match self {
            Self::Redfish(client) => client.restart().await.map_err(|e| e.during("restart")),
            Self::Manual => {
                manual::reboot();
                Ok(())
            }
        }
    }

    /// Puts the medium at `url` into a virtual CD drive, after ejecting what is in there, and waits (60 s) until the
    /// BMC reports it. The URL must be new for every attempt and a plain path that ends in `.iso`: a stale medium with
    /// the same URL cannot be told from the new one, and several BMCs refuse queries.
    ///
    /// # Errors
    /// [`BmcErrorKind::NotSupported`] when there is no usable slot, `Unmoved` when the medium never appears.
    pub async fn insert_media(&self, url: &str) -> Result<(), BmcError> {
        match self {
            Self::Redfish(client) => {
                client.insert_media(url).await.map_err(|e| e.during("insert virtual media"))
            }
            Self::Manual => {
                manual::insert_media(url);
                Ok(())
            }
        }
    }

    /// Empties every virtual CD drive and waits until the BMC reports them empty. Switch the machine off first.
    ///
    /// # Errors
    /// As [`Bmc::insert_media`]; a BMC without virtual media has nothing to eject.
    pub async fn eject_media(&self) -> Result<(), BmcError> {
        match self {
            Self::Redfish(client) => client.eject_media().await.map_err(|e| e.during("eject virtual media")),
            Self::Manual => {
                manual::eject_media();
                Ok(())
            }
        }
    }

    /// Chooses the boot device, `once` for the next start only. Set it while the machine is off and before every
    /// start that depends on it: BMCs that refuse a lasting choice get one for the next start, and any unplanned start
    /// consumes that.
    ///
    /// # Errors
    /// [`BmcErrorKind::NotSupported`] when the BMC does not offer the device; others as they come.
    pub async fn set_boot(&self, target: BootTarget, once: bool) -> Result<(), BmcError> {
        match self {
            Self::Redfish(client) => {
                client.set_boot(target, once).await.map_err(|e| e.during("set boot device"))
            }
            Self::Manual => {
                manual::set_boot(target, once);
                Ok(())
            }
        }
    }

    /// Withdraws the choice of [`Bmc::set_boot`], so that the firmware's own order rules again.
    ///
    /// # Errors
    /// As [`Bmc::set_boot`].
    pub async fn clear_boot(&self) -> Result<(), BmcError> {
        match self {
            Self::Redfish(client) => client.clear_boot().await.map_err(|e| e.during("clear boot device")),
            Self::Manual => {
                manual::clear_boot();
                Ok(())
            }
        }
    }

    /// Logs out of the BMC, whose sessions are few. Dropping the last clone inside a tokio runtime does the same in
    /// the background.
    pub async fn close(&self) {
        if let Self::Redfish(client) = self {
            client.close().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flow runs as a task of its own, which may move between threads.
    #[test]
    fn calls_can_be_spawned() {
        fn spawnable(_: impl Send) {}
        let bmc = Bmc::Manual;
        spawnable(bmc.verify());
        spawnable(bmc.power_state());
        spawnable(bmc.power_on());
        spawnable(bmc.power_off());
        spawnable(bmc.soft_off());
        spawnable(bmc.reboot());
        spawnable(bmc.restart());
        spawnable(bmc.insert_media("http://192.0.2.1/a.iso"));
        spawnable(bmc.eject_media());
        spawnable(bmc.set_boot(BootTarget::Cd, true));
        spawnable(bmc.clear_boot());
        spawnable(bmc.close());
    }
}
