//! What a bridge to a stock Ironic asks of an agent in Ironic's ramdisk (ADR 0014).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use tacit_protocol::v2::{Ipa, IpaToken};

use super::super::json::respond;
use super::super::{body, fault};
use crate::agent::Agent;

pub(super) async fn show(State(agent): State<Arc<Agent>>) -> Response<Body> {
    match agent.ipa() {
        Some(ipa) => respond(
            StatusCode::OK,
            &Ipa {
                agent_token: agent.access.token(),
                from_medium: agent.access.has_mediums_token(),
                certificate: ipa.certificate.clone(),
            },
        ),
        None => fault::not_found(),
    }
}

pub(super) async fn give(State(agent): State<Arc<Agent>>, request: Request<Body>) -> Response<Body> {
    if agent.ipa().is_none() {
        return fault::not_found();
    }
    let given: IpaToken = match body::read(request).await.and_then(|bytes| body::parse_as(&bytes)) {
        Ok(given) => given,
        Err(refusal) => return *refusal,
    };
    if given.agent_token.is_empty() {
        return fault::framework(StatusCode::BAD_REQUEST, "An empty token would be none.");
    }
    match agent.access.take_token(&given.agent_token) {
        Ok(true) => show(State(agent)).await,
        Ok(false) => fault::fault(StatusCode::CONFLICT, "The agent has another token."),
        Err(error) => {
            let text = format!("the token cannot be kept: {error}");
            fault::fault(StatusCode::INTERNAL_SERVER_ERROR, text)
        }
    }
}
