//! The client of the API server. Its connections differ from kube's own in what happens to bytes that nobody
//! acknowledges: they are given up, so that a leader that was cut off does not write when it is heard again.

use std::error::Error as StdError;
use std::time::Duration;

use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::{Client, Config};
use tower::{BoxError, ServiceBuilder};

/// To reach the API server.
const CONNECT: Duration = Duration::from_secs(5);
/// Longer than a watch lasts, which may have nothing to say.
const SILENCE: Duration = Duration::from_secs(75);
/// What was sent and not acknowledged for so long ends the connection (`TCP_USER_TIMEOUT`, RFC 5482). The kernel sends it
/// again and again until then, also once this process has ended: a write is heard before another may hold the Lease,
/// or never.
const UNHEARD: Duration = Duration::from_secs(3);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Neither a service account nor a kubeconfig.
    #[error("no API server is known: {0}")]
    Unknown(#[from] kube::config::InferConfigError),
    /// The kubeconfig says that the API server is behind a proxy.
    #[error("the kubeconfig names a proxy ({0}): the operator talks to the API server without one")]
    Proxy(String),
    /// Certificates or credentials that cannot be used.
    #[error("the API server's certificates or the operator's credentials cannot be used: {0}")]
    Unusable(#[source] Box<dyn StdError + Send + Sync>),
}

impl From<kube::Error> for ClientError {
    fn from(error: kube::Error) -> Self {
        Self::Unusable(error.into())
    }
}

/// A client of the API server of the pod that this process runs in, or else of the kubeconfig's.
///
/// A failed call is not repeated: that is for whoever knows whether it still matters.
pub async fn client() -> Result<Client, ClientError> {
    let config = Config::infer().await?;
    if let Some(proxy) = &config.proxy_url {
        return Err(ClientError::Proxy(proxy.to_string()));
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_tcp_user_timeout(Some(UNHEARD));
    let mut connector = TimeoutConnector::new(config.openssl_https_connector_with_connector(tcp)?);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_read_timeout(Some(SILENCE));
    connector.set_reset_reader_on_write(true);
    let http: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}
