//! Routes, and what handlers share.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{any, delete, get, post, put};
use uuid::Uuid;

use super::call::Call;
use super::fault::Fault;
use super::verbs::Verbs;
use super::{
    conductors, drivers, erasures, events, history, layers, node_parts, node_patch, nodes, ports, provision,
    root, states, traits, unserved, values,
};
use crate::node::Node;
use crate::store::{Store, StoreError, Tx};

/// How often and how far apart a node's lock is tried (API contract §4.1).
const LOCK_TRIES: u32 = 3;
const LOCK_INTERVAL: Duration = Duration::from_secs(1);

/// What handlers work with.
#[derive(Clone)]
pub struct ApiState {
    pub store: Arc<Store>,
    pub engine: Arc<dyn Verbs>,
    /// `scheme://host:port` for links, where it is not the request's `Host`.
    pub public_url: Option<String>,
}

impl ApiState {
    /// Reads from the store, off the threads that serve.
    pub(super) async fn read<T, F>(&self, f: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let store = Arc::clone(&self.store);
        let result = tokio::task::spawn_blocking(move || store.read(f)).await;
        Ok(result.map_err(|error| Fault::internal(&error))??)
    }

    /// Runs one transaction of the store, off the threads that serve.
    pub(super) async fn write<T, F>(&self, f: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || store.transact(f))
            .await
            .map_err(|error| Fault::internal(&error))?
    }

    /// The node of this UUID or name.
    pub(super) async fn node(&self, call: &Call, ident: &str) -> Result<Node, Fault> {
        if Uuid::try_parse(ident).is_err() {
            if !values::is_name(ident) {
                return Err(Fault::invalid(format!("Expected UUID or name of a node: {ident}")));
            }
            // Names came with 1.5.
            if call.version.0 < 5 {
                return Err(Fault::no_node(ident));
            }
        }
        let wanted = ident.to_owned();
        self.read(move |tx| tx.node_by_ident(&wanted)).await?.ok_or_else(|| Fault::no_node(ident))
    }

    /// Waits a little until nothing works on the node, for changes that need it alone.
    pub(super) async fn unlocked(&self, node: &Node) -> Result<(), Fault> {
        for attempt in 1..=LOCK_TRIES {
            if !self.engine.is_locked(node.uuid) {
                return Ok(());
            }
            if attempt < LOCK_TRIES {
                tokio::time::sleep(LOCK_INTERVAL).await;
            }
        }
        Err(Fault::locked(node, self.store.conductor()))
    }
}

/// The whole API.
pub fn router(state: ApiState) -> Router {
    let node = "/v1/nodes/{node}";
    let under = |path: &str| format!("{node}/{path}");
    let routes = Router::new()
        .route("/", get(root::service))
        .route("/v1", get(root::v1))
        .route("/v1/nodes", get(nodes::list).post(nodes::create).delete(nodes::delete_none))
        .route("/v1/nodes/detail", get(nodes::list_detail))
        .route("/v1/nodes/validate", get(node_parts::validate_by_query))
        .route(node, get(nodes::show).patch(node_patch::patch).delete(nodes::delete))
        .route(&under("validate"), get(node_parts::validate))
        .route(&under("maintenance"), put(node_parts::set_maintenance).delete(node_parts::unset_maintenance))
        .route(&under("inventory"), get(node_parts::inventory))
        .route(&under("children"), get(node_parts::children))
        .route(&under("events"), get(events::events))
        .route(&under("erasures"), get(erasures::list))
        .route(&under("states"), get(states::show))
        .route(&under("states/provision"), put(provision::provision))
        .route(&under("states/power"), put(states::power))
        .route(&under("history"), get(history::list))
        .route(&under("history/{entry}"), get(history::show))
        .route(&under("traits"), get(traits::list).put(traits::replace).delete(traits::clear))
        .route(&under("traits/{trait}"), put(traits::add).delete(traits::remove))
        .route(&under("ports"), get(ports::list_of_node))
        .route(&under("ports/detail"), get(ports::list_of_node_detail))
        .route("/v1/ports", get(ports::list).post(ports::create))
        .route("/v1/ports/detail", get(ports::list_detail))
        .route("/v1/ports/{port}", get(ports::show).patch(ports::patch).delete(ports::delete))
        .route("/v1/drivers", get(drivers::list))
        .route("/v1/drivers/{driver}", get(drivers::show))
        .route("/v1/drivers/{driver}/properties", get(drivers::properties))
        .route("/v1/drivers/{driver}/raid/logical_disk_properties", get(drivers::raid_properties))
        .route("/v1/drivers/{driver}/vendor_passthru/methods", get(drivers::vendor_methods))
        .route("/v1/conductors", get(conductors::list))
        .route("/v1/conductors/{host}", get(conductors::show))
        .route("/v1/shards", get(conductors::shards))
        // What belongs to Ironic's API and is not done here: empty lists and clear refusals.
        .route(&under("states/console"), get(unserved::console).put(unserved::no_console))
        .route(&under("states/raid"), put(unserved::no_raid))
        .route(&under("states/{what}"), put(unserved::unsupported))
        .route(&under("management/{*what}"), any(unserved::unsupported))
        .route(&under("vifs"), get(unserved::vifs).post(unserved::attach_vif))
        .route(&under("vifs/{vif}"), delete(unserved::detach_vif))
        .route(&under("bios"), get(unserved::bios))
        .route(&under("bios/{setting}"), get(unserved::bios_setting))
        .route(&under("firmware"), get(unserved::firmware))
        .route(&under("portgroups"), get(unserved::node_portgroups))
        .route(&under("volume"), get(unserved::node_volume))
        .route(&under("volume/connectors"), get(unserved::volume_connectors))
        .route(&under("volume/targets"), get(unserved::volume_targets))
        .route(&under("allocation"), get(unserved::no_allocation).delete(unserved::no_allocation))
        .route(&under("vmedia"), any(unserved::unsupported))
        .route(&under("vendor_passthru/methods"), get(unserved::vendor_methods))
        .route(&under("vendor_passthru"), any(unserved::unsupported))
        .route(&under("{field}"), get(unserved::unknown_field))
        .route("/v1/portgroups", get(unserved::portgroups))
        .route("/v1/portgroups/detail", get(unserved::portgroups))
        .route("/v1/chassis", get(unserved::chassis))
        .route("/v1/chassis/detail", get(unserved::chassis))
        .route("/v1/volume", get(unserved::volume))
        .route("/v1/volume/connectors", get(unserved::volume_connectors))
        .route("/v1/volume/targets", get(unserved::volume_targets))
        .route("/v1/events", post(unserved::external_events))
        .fallback(layers::unknown_path)
        .method_not_allowed_fallback(layers::wrong_method)
        .layer(from_fn(layers::negotiate))
        .with_state(state);
    // Paths are rewritten before they are matched, so this cannot be a layer of the routes themselves.
    Router::new()
        .fallback_service(routes)
        .layer(from_fn(layers::request_id))
        .layer(from_fn(layers::normalise_path))
}
