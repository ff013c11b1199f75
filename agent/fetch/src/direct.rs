//! The direct connector: dials the URL's host, as IPA does. Only used when an image's transport says so.

use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use tower::ServiceExt;

use crate::Url;
use crate::lent::{Sender, handshake};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// Dials http and https, verifying against the public authorities.
#[derive(Clone, Debug)]
pub(super) struct Direct {
    connector: HttpsConnector<HttpConnector>,
}

impl Direct {
    pub(super) fn new() -> Result<Self, rustls::Error> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        http.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        Ok(Self { connector })
    }

    pub(super) async fn connect(&self, url: &Url) -> Result<Sender, String> {
        let stream =
            self.connector.clone().oneshot(url.absolute_form()).await.map_err(|error| chain(&*error))?;
        handshake(stream).await.map_err(|error| error.to_string())
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
