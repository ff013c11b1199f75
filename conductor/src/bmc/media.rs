//! Virtual media: finding the slots, telling whether one is occupied, ejecting.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::{debug, info};

use super::client::Client;
use super::dell;
use super::discovery::Vendor;
use super::errors::{BmcError, BmcErrorKind};
use super::exchange::Answer;
use super::resource::Fields;

/// One virtual media device as the BMC last reported it.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) uri: String,
    pub(super) resource: Value,
    /// `PATCH` is in `Allow`.
    patchable: bool,
}

impl Slot {
    pub(super) fn new(uri: String, answer: Answer) -> Self {
        Self { patchable: answer.allows(&Method::PATCH), uri, resource: answer.body }
    }

    pub(super) fn insert_target(&self) -> Option<&str> {
        self.resource.action_target("#VirtualMedia.InsertMedia")
    }

    fn eject_target(&self) -> Option<&str> {
        self.resource.action_target("#VirtualMedia.EjectMedia")
    }

    /// Whether media are set by PATCH: no actions, but the method is allowed (Lenovo).
    pub(super) fn takes_patch(&self) -> bool {
        self.patchable && self.insert_target().is_none()
    }

    fn takes(&self, media_type: &str) -> bool {
        self.resource.texts("MediaTypes").iter().any(|t| t.eq_ignore_ascii_case(media_type))
    }

    fn id(&self) -> &str {
        self.resource.text("Id").or_else(|| self.uri.rsplit('/').next()).unwrap_or_default()
    }

    pub(super) fn image(&self) -> Option<&str> {
        self.resource.text("Image")
    }

    /// Whether the BMC says that a medium is in. Some firmware keeps `Inserted` and `Image` after an ejection and
    /// tells the truth only by `ConnectedVia`.
    pub(super) fn is_occupied(&self) -> bool {
        if self.resource.text("ConnectedVia") == Some("NotConnected") {
            return false;
        }
        self.resource.flag("Inserted").unwrap_or_else(|| self.image().is_some())
    }

    /// Whether exactly this medium is reported, connected to the host or not yet.
    pub(super) fn holds(&self, url: &str) -> bool {
        self.is_occupied() || (self.resource.flag("Inserted") == Some(true) && self.image() == Some(url))
    }
}

/// The slots of one place, by preference: CD, or DVD where there is no CD.
fn optical(slots: Vec<Slot>) -> Vec<Slot> {
    let media_type = if slots.iter().any(|slot| slot.takes("CD")) { "CD" } else { "DVD" };
    slots.into_iter().filter(|slot| slot.takes(media_type)).collect()
}

impl Client {
    /// Optical slots by place: the system's own first, then those of its managers.
    pub(super) async fn optical_slots(
        &self,
        system: &Value,
        vendor: &Vendor,
    ) -> Result<Vec<Vec<Slot>>, BmcError> {
        let managers = self.managers(system).await?;
        let mut collections: Vec<&str> = Vec::new();
        for uri in
            std::iter::once(system).chain(&managers).filter_map(|resource| resource.link("VirtualMedia"))
        {
            // Several systems link to their manager's collection.
            if !collections.contains(&uri) {
                collections.push(uri);
            }
        }
        let idrac10 = vendor.is("dell") && managers.iter().any(dell::is_idrac10);
        let mut places = Vec::new();
        for uri in collections {
            let slots =
                self.members(uri).await?.into_iter().map(|(uri, answer)| Slot::new(uri, answer)).collect();
            let mut slots = optical(slots);
            slots.retain(|slot| match slot.id() {
                // Files uploaded to the BMC and media of the remote console, not ours to fill.
                id if vendor.is("lenovo") => !id.starts_with("RDOC") && !id.starts_with("Remote"),
                // iDRAC10 boots from its first slot only.
                id if idrac10 && slot.uri.contains("/Systems/") => id == "1",
                _ => true,
            });
            if !slots.is_empty() {
                places.push(slots);
            }
        }
        Ok(places)
    }

    pub(super) async fn eject_media(&self) -> Result<(), BmcError> {
        let system = self.system().await?.body;
        let vendor = self.vendor(&system).await?;
        for slot in self.optical_slots(&system, &vendor).await?.into_iter().flatten() {
            if slot.is_occupied() {
                self.eject(&slot).await?;
            }
        }
        Ok(())
    }

    /// Empties one slot and waits until the BMC reports it empty.
    pub(super) async fn eject(&self, slot: &Slot) -> Result<(), BmcError> {
        match self.request_ejection(slot).await {
            Ok(answer) => self.follow_task(&answer, self.timing().media).await?,
            // Refused because there is nothing in it, or failed after it was done: the slot itself tells.
            Err(error) if matches!(error.status(), Some(400 | 409 | 500..)) => {
                if self.slot(&slot.uri).await?.is_occupied() {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        self.wait_for_slot(&slot.uri, "an empty slot", |slot| !slot.is_occupied()).await?;
        info!(bmc = self.inner.address, slot = slot.uri, "virtual medium ejected");
        Ok(())
    }

    async fn request_ejection(&self, slot: &Slot) -> Result<Answer, BmcError> {
        let Some(target) = slot.eject_target() else {
            if slot.takes_patch() {
                return self.patch(&slot.uri, &json!({"Image": null, "Inserted": false})).await;
            }
            return Err(self.unsupported(format!("{} is occupied and cannot be ejected", slot.uri)));
        };
        match self.post(target, None, self.timing().request).await {
            // HPE wants an empty object where the specification allows nothing at all.
            Err(error) if matches!(error.status(), Some(400 | 415)) => {
                debug!(%error, "ejecting with an empty object");
                self.post(target, Some(&json!({})), self.timing().request).await
            }
            result => result,
        }
    }

    pub(super) async fn slot(&self, uri: &str) -> Result<Slot, BmcError> {
        Ok(Slot::new(uri.to_owned(), self.get(uri).await?))
    }

    /// Polls a slot until it is as it should be.
    pub(super) async fn wait_for_slot(
        &self,
        uri: &str,
        wanted: &str,
        settled: impl Fn(&Slot) -> bool,
    ) -> Result<(), BmcError> {
        let start = Instant::now();
        loop {
            let slot = self.slot(uri).await?;
            if settled(&slot) {
                return Ok(());
            }
            let waited = start.elapsed();
            if waited >= self.timing().media {
                let seen = if slot.is_occupied() { "a medium in it" } else { "an empty slot" };
                let kind = BmcErrorKind::Unmoved { wanted: wanted.to_owned(), seen: seen.to_owned(), waited };
                return Err(self.error(format!("wait for {uri}"), kind));
            }
            sleep(self.timing().media_poll).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(resource: Value) -> Slot {
        Slot { uri: "/redfish/v1/Managers/1/VirtualMedia/2".into(), resource, patchable: false }
    }

    #[test]
    fn occupied_or_not() {
        for (resource, occupied) in [
            (json!({"Inserted": true, "ConnectedVia": "URI"}), true),
            (json!({"Inserted": true, "ConnectedVia": "NotConnected", "Image": "http://x/a.iso"}), false),
            (json!({"Inserted": false, "Image": ""}), false),
            (json!({"Inserted": null, "Image": "http://x/a.iso"}), true),
            (json!({"Image": null}), false),
        ] {
            assert_eq!(slot(resource.clone()).is_occupied(), occupied, "{resource}");
        }
    }

    #[test]
    fn dvd_only_where_there_is_no_cd() {
        let cd = slot(json!({"Id": "1", "MediaTypes": ["CD", "DVD"]}));
        let dvd = slot(json!({"Id": "2", "MediaTypes": ["DVD"]}));
        let stick = slot(json!({"Id": "3", "MediaTypes": ["USBStick"]}));
        let ids = |slots: Vec<Slot>| optical(slots).iter().map(|s| s.id().to_owned()).collect::<Vec<_>>();
        assert_eq!(ids(vec![stick.clone(), dvd.clone(), cd]), ["1"]);
        assert_eq!(ids(vec![stick.clone(), dvd]), ["2"]);
        assert!(ids(vec![stick]).is_empty());
        assert_eq!(slot(json!({})).id(), "2");
    }
}
