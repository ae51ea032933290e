//! The API server, as far as a worker may ask it: for its own StockWatch and for changes of it.
//!
//! Two requests of one resource, by the HTTP client that fetches quotes: a Kubernetes client beside it would take a
//! fifth of the worker's memory.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use reqwest::{Certificate, Client, StatusCode, redirect};
use serde::Deserialize;
use tokio::time::timeout;

use super::document::Document;
use super::error::{ApiError, EventError};
use super::events::Events;
use super::resource::Resource;

/// For a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// For the answer that a watch has begun.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Of a refusal is read.
const MAX_REFUSAL: usize = 64 * 1024;

/// What the API server says of a refusal.
#[derive(Debug, Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Details,
}

#[derive(Debug, Default, Deserialize)]
struct Details {
    #[serde(default)]
    name: String,
}

/// A client for one StockWatch.
#[derive(Debug)]
pub struct Api {
    server: String,
    resource: Resource,
    account: PathBuf,
    client: Option<Client>,
}

impl Api {
    /// The API server of this pod, without asking it anything yet. `account` is the directory where the pod's service
    /// account is mounted.
    pub fn of_pod(resource: Resource, account: &Path) -> Result<Self, ApiError> {
        let variable = |name| env::var(name).map_err(|_| ApiError::NoPod(name));
        let (host, port) = (variable("KUBERNETES_SERVICE_HOST")?, variable("KUBERNETES_SERVICE_PORT")?);
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        Ok(Self::at(format!("https://{host}:{port}"), resource, account))
    }

    fn at(server: String, resource: Resource, account: &Path) -> Self {
        Self { server, resource, account: account.to_owned(), client: None }
    }

    /// The StockWatch as it is now.
    pub async fn get(&mut self, limit: Duration) -> Result<Document, ApiError> {
        let path = format!("/{}", self.resource.name);
        let asked = bounded(limit, async { Ok(self.ask(&path).await?.bytes().await?) }).await;
        let body = self.settle(asked)?;
        Ok(serde_json::from_slice(&body).map_err(EventError::from)?)
    }

    /// The StockWatch as it is now, and every change of it, for about so many seconds.
    ///
    /// Without a version to go on from it begins with what is there: nothing falls between two watches, and no
    /// version expires.
    pub async fn watch(&mut self, seconds: u32) -> Result<Events, ApiError> {
        let name = &self.resource.name;
        let query = format!("?watch=true&fieldSelector=metadata.name%3D{name}&timeoutSeconds={seconds}");
        let asked = bounded(ANSWER_LIMIT, self.ask(&query)).await;
        self.settle(asked).map(Events::new)
    }

    /// Begins anew with the next request: with the authority's certificates of then.
    pub fn reset(&mut self) {
        self.client = None;
    }

    /// `rest` is what follows the path of all StockWatches of the namespace; an answer is a good one.
    async fn ask(&mut self, rest: &str) -> Result<reqwest::Response, ApiError> {
        let client = self.client()?;
        let Self { server, resource: Resource { namespace, .. }, .. } = &*self;
        let url = format!("{server}/apis/stockwatch.dev/v1alpha1/namespaces/{namespace}/stockwatches{rest}");
        // It is rotated.
        let token = self.read("token")?;
        let mut answer = client.get(url).bearer_auth(token.trim()).send().await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let mut body = Vec::new();
        while body.len() < MAX_REFUSAL
            && let Some(chunk) = answer.chunk().await?
        {
            body.extend_from_slice(&chunk);
        }
        let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
        // Without the object's name it is the resource that is not served, as while a server starts.
        if status == StatusCode::NOT_FOUND && refusal.details.name == self.resource.name {
            return Err(ApiError::NotFound);
        }
        Err(ApiError::Refused { status, message: refusal.message })
    }

    fn client(&mut self) -> Result<Client, ApiError> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let authority = self.read("ca.crt")?;
        let authority = Certificate::from_pem_bundle(authority.as_bytes()).map_err(ApiError::Authority)?;
        let client = Client::builder()
            .tls_certs_only(authority)
            .connect_timeout(CONNECT_LIMIT)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("stockwatch-worker/", env!("CARGO_PKG_VERSION")))
            // A server may compress each event by itself, which the decoder takes for the end.
            .no_gzip()
            .http1_only()
            .no_proxy()
            .build();
        let client = client.map_err(ApiError::Authority)?;
        self.client = Some(client.clone());
        Ok(client)
    }

    fn read(&self, file: &str) -> Result<String, ApiError> {
        let path = self.account.join(file);
        fs::read_to_string(&path).map_err(|source| ApiError::Account { path, source })
    }

    fn settle<T>(&mut self, answer: Result<T, ApiError>) -> Result<T, ApiError> {
        if answer.is_err() {
            self.reset();
        }
        answer
    }
}

/// Waits for an answer, for `limit` at most.
async fn bounded<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    timeout(limit, answer).await.unwrap_or(Err(ApiError::Silent(limit)))
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};
    use tempfile::TempDir;
    use wiremock::matchers::{header, method, path, query_param};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::super::document::tests::document;
    use super::*;

    const PATH: &str = "/apis/stockwatch.dev/v1alpha1/namespaces/default/stockwatches";
    const LIMIT: Duration = Duration::from_secs(20);

    /// A server, and a client of it with the token `first`.
    pub(in crate::config::cluster) async fn server() -> (MockServer, TempDir, Api) {
        let (server, account) = (MockServer::start().await, tempfile::tempdir().unwrap());
        fs::write(account.path().join("token"), "first\n").unwrap();
        fs::write(account.path().join("ca.crt"), "").unwrap();
        let api = Api::at(server.uri(), "default/tech".parse().unwrap(), account.path());
        (server, account, api)
    }

    async fn answers(server: &MockServer, token: &str, status: u16, body: Value) {
        let asked = Mock::given(method("GET")).and(path(format!("{PATH}/tech")));
        let asked = asked.and(header("authorization", format!("Bearer {token}")));
        asked.respond_with(ResponseTemplate::new(status).set_body_json(body)).mount(server).await;
    }

    /// The next watch tells these events and ends.
    pub(in crate::config::cluster) async fn tells(server: &MockServer, events: &[(&str, Document)]) {
        let line =
            |(kind, document): &(&str, Document)| json!({"type": kind, "object": document}).to_string();
        let lines: Vec<String> = events.iter().map(line).collect();
        Mock::given(path(PATH))
            .and(query_param("watch", "true"))
            .and(query_param("fieldSelector", "metadata.name=tech"))
            .respond_with(ResponseTemplate::new(200).set_body_string(lines.join("\n") + "\n"))
            .up_to_n_times(1)
            .mount(server)
            .await;
    }

    #[tokio::test]
    async fn the_token_of_the_moment_is_sent() {
        let (server, account, mut api) = server().await;
        for token in ["first", "second"] {
            answers(&server, token, 200, json!(document("a", 3, "1%"))).await;
            fs::write(account.path().join("token"), token).unwrap();
            assert_eq!(api.get(LIMIT).await.unwrap(), document("a", 3, "1%"));
        }
    }

    #[tokio::test]
    async fn a_stockwatch_that_is_gone_is_told_from_one_that_is_not_served() {
        let (server, _account, mut api) = server().await;
        answers(&server, "first", 404, json!({"kind": "Status", "details": {"name": "tech"}})).await;
        assert!(matches!(api.get(LIMIT).await, Err(ApiError::NotFound)));
        server.reset().await;
        answers(&server, "first", 404, json!("404 page not found")).await;
        assert!(matches!(api.get(LIMIT).await, Err(ApiError::Refused { .. })));
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_the_servers_words() {
        let (server, _account, mut api) = server().await;
        answers(&server, "first", 403, json!({"message": "tech is forbidden"})).await;
        let error = api.get(LIMIT).await.unwrap_err().to_string();
        assert!(error.contains("403") && error.contains("tech is forbidden"), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_given_up() {
        let (server, _account, mut api) = server().await;
        let late = ResponseTemplate::new(200).set_delay(Duration::from_secs(3600));
        Mock::given(method("GET")).respond_with(late).mount(&server).await;
        assert!(matches!(api.get(Duration::from_millis(10)).await, Err(ApiError::Silent(_))));
    }

    #[tokio::test]
    async fn a_watch_tells_what_is_and_what_changes() {
        let (server, _account, mut api) = server().await;
        tells(&server, &[("ADDED", document("a", 3, "1%")), ("MODIFIED", document("a", 4, "2%"))]).await;
        let mut events = api.watch(20).await.unwrap();
        for generation in [3, 4] {
            let event = events.next().await.unwrap().unwrap();
            assert!(matches!(event, super::super::Event::Is(is) if is.metadata.generation == generation));
        }
        assert_eq!(events.next().await.unwrap(), None);
    }
}
