//! Arrays that were made in this boot, and whether the system goes on one of them (IPA contract §5.6).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Kept in memory only, shared by all clones of a machine.
#[derive(Clone, Debug, Default)]
pub(super) struct RootVolumes {
    marked: Arc<Mutex<BTreeMap<String, bool>>>,
}

impl RootVolumes {
    pub(super) fn mark(&self, device: &str, is_root: bool) {
        let mut marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        if is_root {
            // There is one root volume at most.
            marked.retain(|_, is_root| !*is_root);
        }
        marked.insert(device.to_owned(), is_root);
    }

    pub(super) fn forget(&self) {
        self.marked.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The volume that the system goes on.
    pub(super) fn root(&self) -> Option<String> {
        let marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        marked.iter().find(|(_, is_root)| **is_root).map(|(device, _)| device.clone())
    }

    /// Volumes that were said not to be for the system.
    pub(super) fn others(&self) -> Vec<String> {
        let marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        marked.iter().filter(|(_, is_root)| !**is_root).map(|(device, _)| device.clone()).collect()
    }
}
