//! A context over an API server that the test plays.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::net::Ipv6Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::{Method, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use stockwatch_crds::StockWatch;
use tower::service_fn;

use crate::context::{Context, Parts, Settings};
use crate::credentials::SecretAccess;
use crate::fence::Fence;
use crate::metrics::Metrics;
use crate::topics;

/// A request that the API server got.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// What follows the path: the manager of an apply, for one.
    pub(crate) query: String,
    pub(crate) body: String,
}

pub(crate) type Asked = Arc<Mutex<Vec<Request>>>;

/// The API server gives this answer, an HTTP status and a body, or none. Gives what it was asked, too.
pub(crate) fn context(
    answer: impl Fn(&Request) -> Option<(u16, Value)> + Send + Sync + 'static,
) -> (Context, Asked) {
    let asked = Asked::default();
    let (seen, answer) = (Arc::clone(&asked), Arc::new(answer));
    let service = service_fn(move |request: hyper::Request<Body>| {
        let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
        async move {
            let (head, body) = request.into_parts();
            let body = String::from_utf8(body.collect_bytes().await.unwrap().to_vec()).unwrap();
            let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
            let request = Request { method: head.method, path, query, body };
            let answer = answer(&request);
            seen.lock().unwrap().push(request);
            let Some((status, body)) = answer else { match std::future::pending::<Infallible>().await {} };
            let body = Body::from(body.to_string().into_bytes());
            Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap())
        }
    });
    let settings = Settings {
        worker_image: String::new(),
        pull_secrets: Vec::new(),
        pull_policy: None,
        listen: Ipv6Addr::UNSPECIFIED.into(),
        secret_access: SecretAccess { role: String::new(), service_account: Default::default() },
        instance: String::new(),
        quotes_interval: Duration::from_secs(60),
    };
    let metrics = Arc::new(Metrics::new());
    let (context, _) = Context::new(Parts {
        settings,
        client: Client::new(service, "default"),
        fence: Fence::open(),
        store: Arc::default(),
        synced: Arc::default(),
        queue: Arc::default(),
        kafka_metrics: metrics.register_with(topics::Metrics::new),
        metrics,
    });
    (context, asked)
}

/// A StockWatch with a Secret to log in with, so that Kafka is not asked where none can be read; `metadata` is what differs
/// of it.
pub(crate) fn stockwatch(metadata: &Value, policy: &str) -> StockWatch {
    let mut stockwatch = json!({
        "apiVersion": "stockwatch.dev/v1alpha1",
        "kind": "StockWatch",
        "metadata": {
            "name": "tech", "namespace": "market", "uid": "u", "generation": 7, "resourceVersion": "5",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "tickers": [{"symbol": "META"}],
            "windows": [{"duration": "5m", "tolerance": "1%"}],
            "kafka": {
                "bootstrapServers": "kafka:9092",
                "deletionPolicy": policy,
                "sasl": {"mechanism": "SCRAM-SHA-512", "secret": {"name": "login"}},
            },
        },
    });
    stockwatch["metadata"].as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
    serde_json::from_value(stockwatch).unwrap()
}
