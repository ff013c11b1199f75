//! Inserting a virtual medium, with the additions to the request that single BMCs insist on.

use serde_json::{Map, Value, json};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::client::Client;
use super::errors::BmcError;
use super::exchange::Answer;
use super::media::Slot;

/// Properties that a BMC may ask for beyond `Image`; each is added at most once.
const ADDITIONS: usize = 3;

/// How one slot took the request.
enum Attempt {
    Accepted(Answer),
    /// This slot does not take media from a URL; another may.
    WrongSlot(BmcError),
}

impl Client {
    pub(super) async fn insert_media(&self, url: &str) -> Result<(), BmcError> {
        if url.contains(['?', '&', '=']) || !url.ends_with(".iso") {
            warn!(
                bmc = self.inner.address,
                "several BMCs refuse media URLs with a query or without the ending .iso"
            );
        }
        let system = self.system().await?.body;
        let vendor = self.vendor(&system).await?;
        let places = self.optical_slots(&system, &vendor).await?;
        // Everything out first, even what looks like our own: only a slot seen empty can be seen filled.
        for slot in places.iter().flatten().filter(|slot| slot.is_occupied()) {
            self.eject(slot).await?;
        }
        let mut refusal = None;
        for slot in places.iter().flatten() {
            match self.request_insertion(slot, url).await? {
                Attempt::WrongSlot(error) => {
                    debug!(%error, slot = slot.uri, "slot takes no remote media");
                    refusal = Some(error);
                }
                Attempt::Accepted(answer) => {
                    self.follow_task(&answer, self.timing().insert_request).await?;
                    self.wait_for_slot(&slot.uri, "the medium (can it reach the URL?)", |slot| {
                        slot.holds(url)
                    })
                    .await?;
                    info!(bmc = self.inner.address, slot = slot.uri, "virtual medium inserted");
                    return Ok(());
                }
            }
        }
        Err(refusal.unwrap_or_else(|| {
            self.unsupported("no virtual CD or DVD drive (some BMCs need a licence for virtual media)")
        }))
    }

    async fn request_insertion(&self, slot: &Slot, url: &str) -> Result<Attempt, BmcError> {
        let Some(target) = slot.insert_target() else {
            if !slot.takes_patch() {
                return Ok(Attempt::WrongSlot(self.unsupported(format!("{} has no InsertMedia", slot.uri))));
            }
            let body = json!({"Image": url, "Inserted": true, "WriteProtected": true});
            return self.weigh(self.patch(&slot.uri, &body).await);
        };
        let mut body = Map::from_iter([("Image".to_owned(), json!(url))]);
        for _ in 0..ADDITIONS {
            let error = match self.post_insertion(target, &body).await {
                Ok(answer) => return Ok(Attempt::Accepted(answer)),
                Err(error) => error,
            };
            let missing = missing_properties(&error, url, &body);
            if missing.is_empty() {
                return self.weigh(Err(error));
            }
            debug!(%error, "inserting with more properties");
            body.extend(missing);
        }
        self.weigh(self.post_insertion(target, &body).await)
    }

    /// POSTs the insertion, and again while the BMC fails: it may still be busy with an ejection.
    async fn post_insertion(&self, target: &str, body: &Map<String, Value>) -> Result<Answer, BmcError> {
        let body = Value::Object(body.clone());
        let policy = self.timing().writes;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.post(target, Some(&body), self.timing().insert_request).await {
                Err(error)
                    if error.status().is_some_and(|status| status >= 500) && tries < policy.attempts =>
                {
                    debug!(%error, tries, "insertion failed, trying again");
                    sleep(policy.delay).await;
                }
                result => return result,
            }
        }
    }

    fn weigh(&self, result: Result<Answer, BmcError>) -> Result<Attempt, BmcError> {
        match result {
            Ok(answer) => Ok(Attempt::Accepted(answer)),
            Err(error)
                if matches!(error.status(), Some(400 | 404 | 405 | 422 | 501))
                    || error.says("MissingAction") =>
            {
                Ok(Attempt::WrongSlot(error))
            }
            Err(error) => Err(error),
        }
    }
}

/// The properties that a refusal asks for and the request did not have yet.
fn missing_properties(error: &BmcError, url: &str, sent: &Map<String, Value>) -> Map<String, Value> {
    let protocol = if url.starts_with("https:") { "HTTPS" } else { "HTTP" };
    let offers: [(&[&str], Value); 4] = [
        (&["TransferProtocolType"], json!({"TransferProtocolType": protocol})),
        (&["TransferMethod"], json!({"TransferMethod": "Stream"})),
        // Media without a login, on BMCs that insist on one.
        (&["UserName", "Password"], json!({"UserName": "none", "Password": "none"})),
        (&["Inserted", "WriteProtected"], json!({"Inserted": true, "WriteProtected": true})),
    ];
    let mut missing = Map::new();
    if !matches!(error.status(), Some(400..500)) {
        return missing;
    }
    let Some(said) = error.body() else { return missing };
    for (names, properties) in offers {
        let named = names.iter().any(|name| said.mentions(name));
        let new = names.iter().all(|name| !sent.contains_key(*name));
        if let (true, true, Value::Object(properties)) = (named, new, properties) {
            missing.extend(properties);
        }
    }
    missing
}
