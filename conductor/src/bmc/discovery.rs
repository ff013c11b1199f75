//! Finding one's way from the service root to the system and its manager.

use std::collections::HashSet;

use reqwest::Method;
use serde_json::Value;
use tracing::debug;

use super::auth::Grant;
use super::client::Client;
use super::errors::{BmcError, BmcErrorKind};
use super::exchange::{Answer, Call};
use super::resource::Fields;

/// Bound on the pages of a collection, against one that links to itself.
const PAGES: usize = 64;

impl Client {
    /// The service root. Must be readable without credentials; some BMCs want them all the same.
    pub(super) async fn root(&self) -> Result<&Value, BmcError> {
        let call = self.root_call();
        self.inner
            .root
            .get_or_try_init(async || {
                match self.send_anonymous(&call).await {
                    Err(error) if matches!(error.kind(), BmcErrorKind::Denied { .. }) => {
                        self.send(&call).await
                    }
                    answer => answer,
                }
                .map(|answer| answer.body)
            })
            .await
    }

    /// The service root in one try; Null where it wants credentials, so that the login goes by the standard paths.
    pub(super) async fn root_for_login(&self) -> Result<Value, BmcError> {
        if let Some(root) = self.inner.root.get() {
            return Ok(root.clone());
        }
        match self.transmit(&self.root_call(), &Grant::Anonymous).await {
            Err(error) if matches!(error.kind(), BmcErrorKind::Denied { .. }) => Ok(Value::Null),
            answer => Ok(answer?.body),
        }
    }

    fn root_call(&self) -> Call<'_> {
        Call::new(Method::GET, self.inner.info.root.path(), self.timing().request)
    }

    /// A collection of the root; the standard path where the root lacks the link, as some do before a BMC reset.
    async fn root_collection(&self, name: &str) -> Result<String, BmcError> {
        let root = self.root().await?;
        Ok(match root.link(name) {
            Some(uri) => uri.to_owned(),
            None => format!("{}{name}", self.inner.info.root.path()),
        })
    }

    /// The members of a collection, one by one: `$expand` loses properties on several BMCs. Members that the BMC lists
    /// but does not have (404) are left out; an absent collection is empty.
    pub(super) async fn members(&self, collection: &str) -> Result<Vec<(String, Answer)>, BmcError> {
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        let mut page = Some(collection.to_owned());
        for _ in 0..PAGES {
            let Some(uri) = page.take() else { break };
            let Some(answer) = self.find(&uri).await? else { break };
            for uri in answer.body.links("Members") {
                if !seen.insert(uri.to_owned()) {
                    continue;
                }
                match self.find(uri).await? {
                    Some(member) => found.push((uri.to_owned(), member)),
                    None => debug!(uri, "the BMC lists a member that it does not have"),
                }
            }
            page = answer.body.text("Members@odata.nextLink").map(str::to_owned);
        }
        Ok(found)
    }

    /// The URI of the system: the configured one, else the only one there is to manage.
    ///
    /// # Errors
    /// [`BmcErrorKind::NoSystem`] when there is none or the choice is the operator's.
    pub(super) async fn system_uri(&self) -> Result<&str, BmcError> {
        self.inner.system_uri.get_or_try_init(|| self.find_system()).await.map(String::as_str)
    }

    async fn find_system(&self) -> Result<String, BmcError> {
        if let Some(id) = &self.inner.info.system_id {
            return Ok(match id.starts_with('/') {
                true => id.clone(),
                false => format!("{}/{id}", self.root_collection("Systems").await?),
            });
        }
        let systems = self.members(&self.root_collection("Systems").await?).await?;
        // Boards with accelerators list these as systems, too; only a host has a boot section.
        let has_boot = |system: &Value| {
            system.get("Boot").is_some_and(|boot| boot.as_object().is_some_and(|b| !b.is_empty()))
        };
        let is_host =
            |system: &Value| has_boot(system) && system.text("SystemType").is_none_or(|t| t == "Physical");
        let mut uris: Vec<&String> = systems.iter().map(|(uri, _)| uri).collect();
        if uris.len() > 1 {
            uris = systems.iter().filter(|(_, system)| is_host(&system.body)).map(|(uri, _)| uri).collect();
        }
        if let [only] = uris.as_slice() {
            return Ok((*only).clone());
        }
        let reason = if systems.is_empty() {
            "the BMC lists no system".to_owned()
        } else {
            let all: Vec<&str> = systems.iter().map(|(uri, _)| uri.as_str()).collect();
            format!(
                "the BMC has several systems, set driver_info[\"redfish_system_id\"] to one of {}",
                all.join(", ")
            )
        };
        Err(self.error("find the system", BmcErrorKind::NoSystem(reason)))
    }

    /// The system, freshly read.
    pub(super) async fn system(&self) -> Result<Answer, BmcError> {
        self.get(self.system_uri().await?).await
    }

    /// The managers of the system with their resources, the responsible one first.
    pub(super) async fn managers(&self, system: &Value) -> Result<Vec<Value>, BmcError> {
        let links = system.get("Links").unwrap_or(&Value::Null);
        // Huawei has them under another name.
        let mut uris = links.links("ManagedBy");
        if uris.is_empty() {
            uris = links.links("Managers");
        }
        let mut managers = Vec::new();
        for uri in &uris {
            managers.extend(self.find(uri).await?.map(|answer| answer.body));
        }
        if uris.is_empty() {
            let all = self.members(&self.root_collection("Managers").await?).await?;
            // With several, none of them named, guessing would reach into another machine.
            if all.len() == 1 {
                managers.extend(all.into_iter().map(|(_, answer)| answer.body));
            }
        }
        Ok(managers)
    }

    /// The maker's name in lower case: the root's vendor, the system's manufacturer and OEM keys, one after another.
    pub(super) async fn vendor(&self, system: &Value) -> Result<Vendor, BmcError> {
        let root = self.root().await?;
        let oem = root.get("Oem").and_then(Value::as_object).and_then(|oem| oem.keys().next().cloned());
        let names =
            [root.text("Vendor").map(str::to_owned), oem, system.text("Manufacturer").map(str::to_owned)];
        let manufacturer = system.text("Manufacturer").unwrap_or_default().to_lowercase();
        let names = names.into_iter().flatten().collect::<Vec<_>>().join(" ").to_lowercase();
        Ok(Vendor { names, manufacturer })
    }
}

/// Who made a machine, for the few procedures that depend on it.
#[derive(Clone, Debug, Default)]
pub(super) struct Vendor {
    /// Every name given, lower case.
    pub(super) names: String,
    /// `ComputerSystem.Manufacturer`, lower case.
    pub(super) manufacturer: String,
}

impl Vendor {
    pub(super) fn is(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}
