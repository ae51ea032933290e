//! Secrets for Kafka's secured listener, in a test's namespace.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::broker::Login;
use crate::helm::Release;
use crate::namespace::Namespace;
use crate::watch::Watch;

impl Watch {
    /// Points it to the secured listener, with the Secrets of [`Namespace::log_in`].
    pub fn secure(&mut self, login: &Login) {
        self.bootstrap.clone_from(&login.bootstrap);
        self.kafka.insert("tls".into(), json!({"caSecret": {"name": "ca"}}));
        let sasl = json!({"mechanism": "SCRAM-SHA-512", "secret": {"name": "login"}});
        self.kafka.insert("sasl".into(), sasl);
    }
}

impl Namespace {
    /// Applies the Secrets `ca` and `login`, labelled for StockWatches.
    pub fn log_in(&self, login: &Login) {
        self.secret("ca", &[("ca.crt", &read(&login.ca))], true);
        self.secret("login", &[("username", &login.user), ("password", &login.password)], true);
    }

    /// Applies a Secret, with or without the label that lets a StockWatch use it.
    pub fn secret(&self, name: &str, data: &[(&str, &str)], labelled: bool) {
        let labels = if labelled { json!({"stockwatch.dev/credentials": "true"}) } else { json!({}) };
        let data: Map<String, Value> =
            data.iter().map(|(key, value)| ((*key).into(), json!(value))).collect();
        let metadata = json!({"name": name, "labels": labels});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data});
        self.apply(&secret.to_string()).unwrap();
    }

    /// Lets a release's operator read the Secrets here.
    pub fn let_read_secrets(&self, release: &Release) {
        let role = format!("--clusterrole={}:stockwatch:secrets", release.namespace());
        let account = format!("--serviceaccount={}:stockwatch", release.namespace());
        self.kubectl(&["create", "rolebinding", "secrets", &role, &account]);
    }
}

/// A PEM file.
pub(crate) fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}
