//! Reads the Secrets that a StockWatch names.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::{Client, Error};
use sha2::{Digest, Sha256};
use stockwatch_crds::Kafka;

use super::problem::{ReadError, SecretProblem};
use crate::bounded::{CallError, READ, bounded};
use crate::key::Key;
use crate::names::CREDENTIALS;
use crate::resources::secrets;
use crate::status::Reason;
use crate::topics::{Connection, ConnectionError, Identity, Sasl, Tls};

/// How an administrator lets the operator read Secrets of a namespace.
#[derive(Debug, Clone)]
pub struct SecretAccess {
    /// The ClusterRole to bind.
    pub role: String,
    /// The operator's ServiceAccount: namespace and name.
    pub service_account: (String, String),
}

impl SecretAccess {
    /// The RoleBinding to apply, as one line of YAML.
    fn binding(&self, namespace: &str) -> String {
        let Self { role, service_account: (home, name) } = self;
        format!(
            "{{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, \
             metadata: {{name: {role}, namespace: {namespace}}}, \
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {role}}}, \
             subjects: [{{kind: ServiceAccount, name: {name}, namespace: {home}}}]}}"
        )
    }
}

/// The values of the Secrets.
pub(super) struct Material {
    values: BTreeMap<(String, String), Vec<u8>>,
    /// A hash of the values. It takes in the Secrets' uids, which only their readers know: a password cannot be
    /// guessed from what is made of it.
    pub(super) salted: Vec<u8>,
}

impl Material {
    pub(super) fn connection(&self, kafka: &Kafka) -> Result<Connection, ConnectionError> {
        let value = |secret: &str, key: &str| -> Vec<u8> {
            self.values.get(&(secret.to_owned(), key.to_owned())).cloned().unwrap_or_default()
        };
        let tls = kafka.tls.as_ref().map(|tls| Tls {
            ca: tls.ca.as_ref().map(|ca| value(&ca.name, &ca.key)),
            client: tls
                .client
                .as_ref()
                .map(|name| Identity { certificate: value(name, "tls.crt"), key: value(name, "tls.key") }),
        });
        let sasl = kafka.sasl.as_ref().map(|sasl| Sasl {
            mechanism: sasl.mechanism,
            username: value(&sasl.secret, "username"),
            password: value(&sasl.secret, "password"),
        });
        Connection::new(&kafka.bootstrap_servers, tls.as_ref(), sasl.as_ref())
    }
}

/// All that `kafka` names. The outer error is for later, the inner one for the user.
pub(super) async fn material(
    client: &Client,
    access: &SecretAccess,
    key: &Key,
    kafka: &Kafka,
) -> Result<Result<Material, SecretProblem>, ReadError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &key.namespace);
    let mut values = BTreeMap::new();
    let mut salted = Sha256::new();
    for (name, keys) in secrets(kafka) {
        let secret = match bounded(READ, api.get(name)).await {
            Ok(secret) => secret,
            Err(CallError::Api(Error::Api(status))) if status.code == 403 => {
                return Ok(Err(not_readable(access, key, name)));
            }
            Err(CallError::Api(Error::Api(status))) if status.code == 404 => {
                return Ok(Err(missing(key, name)));
            }
            Err(source) => return Err(ReadError { name: name.to_owned(), source }),
        };
        match usable(key, name, &keys, secret) {
            Ok((uid, found)) => {
                salted.update(uid);
                for (data_key, value) in found {
                    salted.update(value.len().to_be_bytes());
                    salted.update(&value);
                    values.insert((name.to_owned(), data_key), value);
                }
            }
            Err(problem) => return Ok(Err(problem)),
        }
    }
    Ok(Ok(Material { values, salted: salted.finalize().to_vec() }))
}

type Found = (String, Vec<(String, Vec<u8>)>);

fn usable(key: &Key, name: &str, keys: &BTreeSet<&str>, secret: Secret) -> Result<Found, SecretProblem> {
    let namespace = &key.namespace;
    let label = secret.metadata.labels.as_ref().and_then(|labels| labels.get(CREDENTIALS));
    if label.is_none_or(|value| value != "true") {
        return Err(SecretProblem {
            reason: Reason::SecretNotLabelled,
            message: format!(
                "Secret {name} is not for StockWatches: if it may be sent to the brokers, \
                 kubectl label secret {name} -n {namespace} {CREDENTIALS}=true"
            ),
        });
    }
    let mut data = secret.data.unwrap_or_default();
    let mut found = Vec::new();
    for data_key in keys {
        let Some(value) = data.remove(*data_key) else {
            return Err(SecretProblem {
                reason: Reason::SecretInvalid,
                message: format!("Secret {name} has no key {data_key}: spec.kafka needs it"),
            });
        };
        found.push(((*data_key).to_owned(), value.0));
    }
    Ok((secret.metadata.uid.unwrap_or_default(), found))
}

pub(super) fn not_readable(access: &SecretAccess, key: &Key, name: &str) -> SecretProblem {
    let Key { namespace, .. } = key;
    SecretProblem {
        reason: Reason::SecretNotReadable,
        message: format!(
            "the operator may not read Secret {name}: let an administrator apply {}, \
             or list the namespace in the chart's secrets.namespaces",
            access.binding(namespace)
        ),
    }
}

fn missing(key: &Key, name: &str) -> SecretProblem {
    SecretProblem {
        reason: Reason::SecretMissing,
        message: format!("Secret {name}, which spec.kafka names, is not in namespace {}", key.namespace),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn secret(labels: serde_json::Value) -> Secret {
        serde_json::from_value(json!({
            "metadata": {"name": "user", "uid": "s-1", "labels": labels},
            "data": {"username": "dQ==", "password": "cA=="},
        }))
        .unwrap()
    }

    fn key() -> Key {
        Key::new("market", "tech")
    }

    #[test]
    fn a_secret_that_nobody_labelled_is_not_used() {
        let keys = BTreeSet::from(["username"]);
        for labels in [json!({}), json!({"stockwatch.dev/credentials": "false"})] {
            let problem = usable(&key(), "user", &keys, secret(labels)).unwrap_err();
            assert_eq!(problem.reason, Reason::SecretNotLabelled);
            let command = "kubectl label secret user -n market stockwatch.dev/credentials=true";
            assert!(problem.message.contains(command), "{}", problem.message);
        }
    }

    #[test]
    fn only_the_keys_that_are_needed_are_taken() {
        let labelled = secret(json!({"stockwatch.dev/credentials": "true"}));
        let keys = BTreeSet::from(["username"]);
        let (uid, found) = usable(&key(), "user", &keys, labelled.clone()).unwrap();
        assert_eq!((uid.as_str(), found), ("s-1", vec![("username".to_owned(), b"u".to_vec())]));
        let problem = usable(&key(), "user", &BTreeSet::from(["tls.crt"]), labelled).unwrap_err();
        assert!(problem.message.contains("no key tls.crt"), "{}", problem.message);
    }

    #[test]
    fn the_binding_to_apply_is_yaml_that_binds_the_operator() {
        let access = SecretAccess {
            role: "stockwatch-secrets".into(),
            service_account: ("ops".into(), "stockwatch".into()),
        };
        let problem = not_readable(&access, &key(), "user");
        let text = access.binding("market");
        assert!(problem.message.contains(&text));
        for part in [
            "namespace: market",
            "name: stockwatch-secrets",
            "{kind: ServiceAccount, name: stockwatch, namespace: ops}",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
