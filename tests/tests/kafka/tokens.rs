//! OAUTHBEARER: tokens of an endpoint, by client credentials.

use serde_json::{Value, json};
use stockwatch_tests::{Answer, Broker, Launch, Market, Provider, Scene, TokenEndpoint, soon, wait_for};

use crate::security::{launch, secret, secured};

/// A StockWatch whose client's secret is in a file, as Kubernetes mounts it.
fn scene(name: &str, oauth: Value) -> Scene<'static> {
    Scene::new(Broker::shared(), name, |watch| {
        secured(watch);
        let sasl = json!({
            "mechanism": "OAUTHBEARER", "username": TokenEndpoint::CLIENT, "secret": {"name": "client"}, "oauth": oauth,
        });
        watch.kafka.insert("sasl".into(), sasl);
    })
}

fn oauth(url: &str) -> Value {
    json!({
        "tokenUrl": url, "scope": "kafka.read kafka.write", "extensions": "tenant=a",
        "caSecret": {"name": "login-ca"},
    })
}

fn with_secret(scene: &Scene, client_secret: &str, server: &Provider) -> Launch {
    secret(scene, "client", "client-secret", client_secret);
    secret(scene, "login-ca", "ca.crt", std::fs::read(server.authority()).unwrap());
    launch(scene, "unused")
}

#[test]
fn tokens_are_renewed_before_they_expire() {
    const SECONDS: u64 = 20;
    let endpoint = TokenEndpoint::start(Broker::shared().login().token_key, "hunter2", SECONDS);
    let scene = scene("tokens", oauth(&endpoint.url()));
    let mut worker = with_secret(&scene, "hunter2\n", endpoint.provider()).start();
    worker.await_ready();
    let mut market = Market::new(1, &["a", "b", "c"]);
    scene.send_market(&mut market, 100);
    // The brokers end what is still logged in with an expired token.
    let enough = 4 * endpoint.given();
    wait_for(120, "every client has had four tokens", || {
        let given = endpoint.given();
        soon(given >= enough, given)
    });
    scene.send_market(&mut market, 100);
    scene.assert_right();
    let log = worker.terminate();
    assert!(!log.contains("hunter2"), "the log shows the client's secret");
}

#[test]
fn a_client_that_the_endpoint_refuses_is_named_until_it_is_taken() {
    let endpoint = TokenEndpoint::start(Broker::shared().login().token_key, "right", 60);
    let scene = scene("refused-client", oauth(&endpoint.url()));
    let mut worker = with_secret(&scene, "hunter2", endpoint.provider()).start();
    worker.await_not_ready(&["token", "invalid_client"]);
    endpoint.set_secret("hunter2");
    worker.await_ready();
    let log = worker.terminate();
    assert!(!log.contains("hunter2"), "the log shows the client's secret");
}

#[test]
fn a_token_endpoint_of_an_unknown_authority_is_named() {
    let endpoint = TokenEndpoint::start(Broker::shared().login().token_key, "hunter2", 60);
    let mut by_the_system = oauth(&endpoint.url());
    by_the_system.as_object_mut().unwrap().remove("caSecret");
    let scene = scene("unknown-login", by_the_system);
    let mut worker = with_secret(&scene, "hunter2", endpoint.provider()).start();
    worker.await_not_ready(&["token", "certificate"]);
    assert_eq!(endpoint.given(), 0);
    worker.terminate();
}

#[test]
fn a_token_endpoint_that_never_answers_does_not_keep_a_worker_from_ending() {
    let silent = Provider::start(|_| Answer::Silence);
    let scene = scene("silent-login", oauth(&format!("{}/token", silent.url())));
    let worker = with_secret(&scene, "hunter2", &silent).start();
    wait_for(60, "a token is asked for", || soon(!silent.asked().is_empty(), ()));
    // librdkafka waits for the answer as long as it likes; the worker does not.
    let (_, log) = worker.end();
    assert!(!log.contains("hunter2"), "the log shows the client's secret");
}
