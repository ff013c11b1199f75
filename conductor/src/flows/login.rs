//! The flow's login at its BMC: one for steps that follow each other, none while the agent works.

use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};

use crate::bmc::{Bmc, BmcError};
use crate::node::Node;

/// Keeps the BMC of a flow between its steps. A BMC has a handful of sessions and takes its time to make one.
#[derive(Default)]
pub(super) struct Login(Mutex<Option<Kept>>);

struct Kept {
    driver: String,
    driver_info: Map<String, Value>,
    bmc: Bmc,
}

impl Login {
    /// The node's BMC: the same as before, unless somebody changed how it is reached.
    ///
    /// # Errors
    /// As [`Bmc::for_node`].
    pub(super) fn bmc(&self, node: &Node) -> Result<Bmc, BmcError> {
        // A panic elsewhere leaves a BMC here that is as good as any.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = &*kept
            && kept.driver == node.driver
            && kept.driver_info == node.driver_info
        {
            return Ok(kept.bmc.clone());
        }
        let bmc = Bmc::for_node(&node.driver, &node.driver_info)?;
        let (driver, driver_info) = (node.driver.clone(), node.driver_info.clone());
        *kept = Some(Kept { driver, driver_info, bmc: bmc.clone() });
        Ok(bmc)
    }

    /// Gives the BMC back; its session is closed with the last user of it.
    pub(super) fn leave(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node() -> Node {
        let mut node = Node::new("redfish");
        node.driver_info.insert("redfish_address".into(), json!("https://192.0.2.1"));
        node.driver_info.insert("redfish_username".into(), json!("admin"));
        node.driver_info.insert("redfish_password".into(), json!("one"));
        node
    }

    #[test]
    fn steps_share_a_login_until_it_is_left_or_changed() {
        let (login, mut node) = (Login::default(), node());
        let first = login.bmc(&node).unwrap();
        assert!(login.bmc(&node).unwrap().shares_login_with(&first));
        login.leave();
        let second = login.bmc(&node).unwrap();
        assert!(!second.shares_login_with(&first));
        node.driver_info.insert("redfish_password".into(), json!("another"));
        let third = login.bmc(&node).unwrap();
        assert!(!third.shares_login_with(&second));
        node.driver = "no-such-driver".into();
        assert!(login.bmc(&node).is_err());
    }
}
