//! A virtual media slot of the fake BMC.

use serde_json::{Value, json};

use super::fake_bmc::{Reply, ok, refuse};

/// A media slot; what it wants and how slow it is.
#[derive(Clone, Default)]
pub(super) struct SlotModel {
    pub(super) id: &'static str,
    pub(super) media_types: Vec<&'static str>,
    pub(super) image: Option<String>,
    /// No actions, set by PATCH.
    pub(super) patch_only: bool,
    /// Properties without which InsertMedia answers 400.
    pub(super) requires: Vec<&'static str>,
    /// Status for every InsertMedia.
    pub(super) refuses: Option<u16>,
    /// Reads after an ejection that still show the medium.
    pub(super) stale_reads: u32,
    /// Accepts an insertion and does nothing.
    pub(super) ignores: bool,
    /// Eject wants `{}` as its body.
    pub(super) eject_wants_object: bool,
    /// What is still shown, and for how many reads.
    pub(super) stale: Option<(String, u32)>,
}

impl SlotModel {
    pub(super) fn show(&mut self) -> Reply {
        let mut image = self.image.clone();
        if let Some((old, reads)) = self.stale.take()
            && reads > 0
        {
            image = Some(old.clone());
            self.stale = Some((old, reads - 1));
        }
        let path = format!("/redfish/v1/Managers/1/VirtualMedia/{}", self.id);
        let mut body = json!({"Id": self.id, "MediaTypes": self.media_types, "Image": image,
            "Inserted": image.is_some(), "ConnectedVia": if image.is_some() { "URI" } else { "NotConnected" }});
        if self.patch_only {
            return (
                200,
                vec![("allow", "GET, HEAD, PATCH".to_owned()), ("etag", "\"v1\"".to_owned())],
                body,
            );
        }
        body["Actions"] = json!({
            "#VirtualMedia.InsertMedia": {"target": format!("{path}/Actions/VirtualMedia.InsertMedia")},
            "#VirtualMedia.EjectMedia": {"target": format!("{path}/Actions/VirtualMedia.EjectMedia")}});
        ok(body)
    }

    pub(super) fn insert(&mut self, body: &Value) -> Reply {
        if let Some(status) = self.refuses {
            return refuse(status, "ActionNotSupported", "this slot is for the remote console");
        }
        if self.image.is_some() || self.stale.is_some() {
            return refuse(400, "ResourceInUse", "the slot is occupied");
        }
        if let Some(missing) = self.requires.iter().find(|property| body.get(**property).is_none()) {
            let mut refusal = refuse(400, "ActionParameterMissing", "a parameter is missing");
            refusal.2["error"]["@Message.ExtendedInfo"][0]["RelatedProperties"] =
                json!([format!("#/{missing}")]);
            return refusal;
        }
        if !self.ignores {
            self.image = body["Image"].as_str().map(str::to_owned);
        }
        (204, Vec::new(), Value::Null)
    }

    pub(super) fn eject(&mut self, body: &Value) -> Reply {
        if self.eject_wants_object && *body != json!({}) {
            return refuse(400, "MalformedJSON", "an object is wanted");
        }
        let Some(image) = self.image.take() else { return refuse(400, "ResourceInUse", "nothing to eject") };
        if self.stale_reads > 0 {
            self.stale = Some((image, self.stale_reads));
        }
        (204, Vec::new(), Value::Null)
    }
}
