//! Certificates of erasure of a node, and what was not erased: an addition to Ironic's API.

use axum::Json;
use axum::extract::{Path, State};
use uuid::Uuid;

use super::ApiState;
use super::call::Call;
use super::fault::Fault;
use crate::erasure::Erasures;

/// `GET .../erasures`: `{"erasures": [{"certificate": …, "jws": …}], "not_erased": [{"statement": …, "jws": …}]}`, oldest
/// first. Of a node that is forgotten, too, by its UUID.
pub(super) async fn list(
    State(state): State<ApiState>,
    Path(ident): Path<String>,
    call: Call,
) -> Result<Json<Erasures>, Fault> {
    call.only(&[])?;
    let (node, known) = match state.node(&call, &ident).await {
        Ok(node) => (node.uuid, true),
        Err(fault) => (Uuid::try_parse(&ident).map_err(|_| fault)?, false),
    };
    let signed = state.read(move |tx| tx.erasures(node)).await?;
    if signed.is_empty() && !known {
        return Err(Fault::no_node(&ident));
    }
    Ok(Json(signed.into_iter().collect()))
}
