//! TLS, passwords and certificates against a real secured listener.

use serde_json::json;
use std::path::Path;
use stockwatch_tests::{Broker, Launch, Market, Scene, Watch};

/// Points a StockWatch to the secured listener.
pub(crate) fn secured(watch: &mut Watch) {
    watch.bootstrap = Broker::shared().login().bootstrap;
    watch.kafka.insert("tls".into(), json!({"caSecret": {"name": "ca", "key": "ca.crt"}}));
    watch.kafka.insert("sasl".into(), json!({"mechanism": "SCRAM-SHA-512", "secret": {"name": "login"}}));
}

pub(crate) fn secret(scene: &Scene, name: &str, key: &str, value: impl AsRef<[u8]>) {
    let directory = scene.path("credentials").join(name);
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(key), value).unwrap();
}

pub(crate) fn launch(scene: &Scene, password: &str) -> Launch {
    let login = Broker::shared().login();
    secret(scene, "ca", "ca.crt", read(&login.ca));
    secret(scene, "login", "username", &login.user);
    secret(scene, "login", "password", password);
    secret(scene, "client", "tls.crt", read(&login.client_certificate));
    secret(scene, "client", "tls.key", read(&login.client_key));
    Launch { credentials: Some(scene.path("credentials")), ..scene.launch("w") }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn a_worker_logs_in_by_scram_over_tls() {
    let scene = Scene::new(Broker::shared(), "scram", secured);
    let mut worker = launch(&scene, &Broker::shared().login().password).start();
    worker.await_ready();
    scene.send_market(&mut Market::new(1, &["a", "b", "c"]), 200);
    scene.assert_right();
    worker.terminate();
}

#[test]
fn a_worker_shows_its_own_certificate() {
    let scene = Scene::new(Broker::shared(), "certificate", |watch| {
        secured(watch);
        watch.kafka.insert(
            "tls".into(),
            json!({"caSecret": {"name": "ca", "key": "ca.crt"}, "clientSecret": {"name": "client"}}),
        );
    });
    let mut worker = launch(&scene, &Broker::shared().login().password).start();
    worker.await_ready();
    scene.send_market(&mut Market::new(2, &["a"]), 20);
    scene.assert_right();
}

#[test]
fn secrets_are_taken_as_strimzi_writes_them() {
    let scene = Scene::new(Broker::shared(), "strimzi", |watch| {
        secured(watch);
        watch.kafka.insert(
            "tls".into(),
            json!({"caSecret": {"name": "cluster-ca"}, "clientSecret": {"name": "ann"}}),
        );
        let user = Broker::shared().login().user;
        let sasl = json!({"mechanism": "SCRAM-SHA-512", "username": user, "secret": {"name": "ann"}});
        watch.kafka.insert("sasl".into(), sasl);
    });
    let login = Broker::shared().login();
    let launch = launch(&scene, "unused");
    // While an authority is renewed there are two: the one that signed the brokers' certificates comes second.
    let two = [read(&login.client_certificate), read(&login.ca)].concat();
    secret(&scene, "cluster-ca", "ca.crt", two);
    for (key, value) in [("user.crt", read(&login.client_certificate)), ("user.key", read(&login.client_key))]
    {
        secret(&scene, "ann", key, value);
    }
    secret(&scene, "ann", "password", &login.password);
    let mut worker = launch.start();
    worker.await_ready();
    scene.send_market(&mut Market::new(3, &["a"]), 20);
    scene.assert_right();
}

#[test]
fn a_wrong_password_is_named_and_does_not_end_the_worker() {
    let scene = Scene::new(Broker::shared(), "password", secured);
    let mut worker = launch(&scene, "wrong").start();
    worker.await_not_ready(&["authentication"]);
    assert!(worker.runs());
    let log = worker.terminate();
    assert!(!log.contains("wrong"), "the log shows the password");
}

#[test]
fn a_certificate_of_an_unknown_authority_is_named() {
    let scene = Scene::new(Broker::shared(), "authority", secured);
    let launch = launch(&scene, &Broker::shared().login().password);
    // Another certificate in place of the authority's.
    secret(&scene, "ca", "ca.crt", read(&Broker::shared().login().client_certificate));
    let mut worker = launch.start();
    worker.await_not_ready(&["certificate"]);
    worker.terminate();
}

#[test]
fn a_missing_secret_is_named_with_its_key() {
    let scene = Scene::new(Broker::shared(), "missing", secured);
    let launch = launch(&scene, "x");
    std::fs::remove_file(scene.path("credentials/login/password")).unwrap();
    let mut worker = launch.start();
    let status = worker.await_exit();
    assert!(!status.success());
    let log = worker.log();
    assert!(log.contains("login") && log.contains("password"), "{log}");
}
