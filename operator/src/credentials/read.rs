//! Reads the Secrets that a StockWatch names.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta};
use kube::{Client, Error};
use sha2::{Digest, Sha256};
use stockwatch_crds::{CaSecret, ClientSecret, Kafka, SecretKey, Username};

use super::problem::{ReadError, SecretProblem};
use crate::bounded::{CallError, READ, bounded};
use crate::key::Key;
use crate::names::{CREDENTIALS, FOR_KAFKA};
use crate::resources::{Need, secrets};
use crate::status::Reason;
use crate::topics::{Connection, ConnectionError, Identity, Sasl, Tls, TokenSource};

/// How an administrator lets the operator read Secrets of a namespace.
#[derive(Debug, Clone)]
pub struct SecretAccess {
    /// The ClusterRole to bind; empty: there is none, the chart has a Role in each namespace.
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
        let authority =
            |ca: &CaSecret| ca.keys.iter().find_map(|key| self.value(&ca.name, key)).unwrap_or_default();
        let identity = |ClientSecret { name, pairs }: &ClientSecret| {
            pairs.iter().find_map(|pair| {
                let certificate = self.value(name, &pair.certificate)?;
                Some(Identity { certificate, key: self.value(name, &pair.key)? })
            })
        };
        let tls = kafka.tls.as_ref().map(|tls| Tls {
            ca: tls.ca.as_ref().map(authority),
            client: tls.client.as_ref().and_then(identity),
        });
        let sasl = match &kafka.sasl {
            Some(sasl) => {
                let (username, password) = self.login(sasl)?;
                let tokens = sasl
                    .oauth
                    .as_ref()
                    .map(|oauth| TokenSource { oauth: oauth.clone(), ca: oauth.ca.as_ref().map(authority) });
                Some(Sasl { mechanism: sasl.mechanism, username, password, tokens })
            }
            None => None,
        };
        Connection::new(&kafka.bootstrap_servers, tls.as_ref(), sasl.as_ref())
    }

    /// The user's name and the password, or an OAuth client's id and secret.
    fn login(&self, sasl: &stockwatch_crds::Sasl) -> Result<(Vec<u8>, Vec<u8>), ConnectionError> {
        let SecretKey { name, key } = &sasl.password;
        // It was read only where the usual keys are not there.
        let file = sasl.file.and_then(|file| Some((file, self.value(name, file.key())?)));
        let (user, password) = match file {
            Some((file, text)) => {
                let login = str::from_utf8(&text).ok().and_then(|text| file.read(text));
                let (user, password) = login.ok_or(ConnectionError::Unusable {
                    field: "spec.kafka.sasl.secret",
                    key: file.key(),
                    problem: file.lacks(),
                })?;
                (Some(user.into_bytes()), password.into_bytes())
            }
            None => (None, self.value(name, key).unwrap_or_default()),
        };
        let user = match &sasl.username {
            Username::Given(given) => given.clone().into_bytes(),
            Username::Key(key) => user.or_else(|| self.value(name, key)).unwrap_or_default(),
        };
        Ok((user, password))
    }

    fn value(&self, secret: &str, key: &str) -> Option<Vec<u8>> {
        self.values.get(&(secret.to_owned(), key.to_owned())).cloned()
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
    for (name, needs) in secrets(kafka) {
        let secret = match bounded(READ, api.get(name)).await {
            Ok(secret) => secret,
            Err(CallError::Api(Error::Api(status))) if status.code == 403 => {
                return Ok(Err(not_readable(access, key, name)));
            }
            Err(CallError::Api(Error::Api(status))) if status.code == 404 => {
                return Ok(Err(missing(key, name, "spec.kafka")));
            }
            Err(source) => return Err(ReadError { name: name.to_owned(), source }),
        };
        match usable(key, name, &needs, secret) {
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

fn usable(key: &Key, name: &str, needs: &BTreeSet<Need<'_>>, secret: Secret) -> Result<Found, SecretProblem> {
    labelled(key, name, &secret.metadata, FOR_KAFKA, "it may be sent to the brokers")?;
    let mut data = secret.data.unwrap_or_default();
    let mut found = Vec::new();
    for need in needs {
        let Some(keys) = need.iter().find(|keys| keys.iter().all(|key| data.contains_key(*key))) else {
            return Err(lacks(name, need, data.keys()));
        };
        found.extend(keys.iter().copied());
    }
    let found: BTreeSet<&str> = found.into_iter().collect();
    let value = |key: &str| Some((key.to_owned(), data.remove(key)?.0));
    Ok((secret.metadata.uid.unwrap_or_default(), found.into_iter().filter_map(value).collect()))
}

/// The keys that are there are said, never their values.
fn lacks<'a>(name: &str, need: &Need<'_>, there: impl Iterator<Item = &'a String>) -> SecretProblem {
    const NAMED: usize = 10;
    let wanted: Vec<String> = need.iter().map(|keys| keys.join(" and ")).collect();
    let there: Vec<&str> = there.map(String::as_str).collect();
    let more = match there.len() {
        0 => "it is empty".to_owned(),
        n if n > NAMED => format!("it has {} and {} more", there[..NAMED].join(", "), n - NAMED),
        _ => format!("it has {}", there.join(", ")),
    };
    SecretProblem {
        reason: Reason::SecretInvalid,
        message: format!(
            "Secret {name} has no key {}: {more}. Add it, or name the right key in spec.kafka \
             (caSecret.key, certKey, keyKey, usernameKey, passwordKey)",
            wanted.join(", nor "),
        ),
    }
}

/// Refuses a Secret whose label does not allow this use; the message has the command that allows it.
pub(super) fn labelled(
    key: &Key,
    name: &str,
    metadata: &ObjectMeta,
    allows: &str,
    meaning: &str,
) -> Result<(), SecretProblem> {
    let namespace = &key.namespace;
    let label = metadata.labels.as_ref().and_then(|labels| labels.get(CREDENTIALS));
    match label {
        Some(value) if value == allows => Ok(()),
        other => {
            let overwrite = if other.is_some() { " --overwrite" } else { "" };
            Err(SecretProblem {
                reason: Reason::SecretNotLabelled,
                message: format!(
                    "Secret {name} is not for StockWatches: if {meaning}, \
                     kubectl label secret {name} -n {namespace} {CREDENTIALS}={allows}{overwrite}"
                ),
            })
        }
    }
}

pub(super) fn not_readable(access: &SecretAccess, key: &Key, name: &str) -> SecretProblem {
    let Key { namespace, .. } = key;
    SecretProblem {
        reason: Reason::SecretNotReadable,
        message: if access.role.is_empty() {
            format!(
                "the operator may not read Secret {name}: let an administrator list the namespace {namespace} in the \
                 chart's secrets.namespaces"
            )
        } else {
            format!(
                "the operator may not read Secret {name}: let an administrator apply {}, \
                 or list the namespace in the chart's secrets.namespaces",
                access.binding(namespace)
            )
        },
    }
}

pub(super) fn missing(key: &Key, name: &str, field: &str) -> SecretProblem {
    SecretProblem {
        reason: Reason::SecretMissing,
        message: format!("Secret {name}, which {field} names, is not in namespace {}", key.namespace),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use k8s_openapi::ByteString;
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
        let keys = BTreeSet::from([vec![vec!["username"]]]);
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
        let keys = BTreeSet::from([vec![vec!["username"]]]);
        let (uid, found) = usable(&key(), "user", &keys, labelled.clone()).unwrap();
        assert_eq!((uid.as_str(), found), ("s-1", vec![("username".to_owned(), b"u".to_vec())]));
        let tls = BTreeSet::from([vec![vec!["tls.crt", "tls.key"], vec!["user.crt", "user.key"]]]);
        let problem = usable(&key(), "user", &tls, labelled).unwrap_err();
        let says = "has no key tls.crt and tls.key, nor user.crt and user.key: it has password, username.";
        assert!(problem.message.contains(says), "{}", problem.message);
        assert!(!problem.message.contains("cA=="), "{}", problem.message);
    }

    #[test]
    fn the_first_keys_that_are_all_there_are_taken() {
        let strimzi: Secret = serde_json::from_value(json!({
            "metadata": {"labels": {"stockwatch.dev/credentials": "true"}},
            "data": {"ca.crt": "YQ==", "user.crt": "Yw==", "user.key": "aw==", "tls.crt": "dA=="},
        }))
        .unwrap();
        let tls = BTreeSet::from([vec![vec!["tls.crt", "tls.key"], vec!["user.crt", "user.key"]]]);
        let (_, found) = usable(&key(), "user", &tls, strimzi).unwrap();
        let expected = [("user.crt".to_owned(), b"c".to_vec()), ("user.key".to_owned(), b"k".to_vec())];
        assert_eq!(found, expected);
    }

    /// What is read of a Secret with this data, which the fields of `kafka` name `user`.
    fn material(kafka: &Kafka, data: serde_json::Value) -> Result<Material, SecretProblem> {
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {"labels": {"stockwatch.dev/credentials": "true"}},
            "stringData": data,
        }))
        .unwrap();
        let strings = secret.string_data.unwrap();
        let data = strings.into_iter().map(|(key, text)| (key, ByteString(text.into_bytes()))).collect();
        let secret = Secret { data: Some(data), metadata: secret.metadata, ..Secret::default() };
        let mut values = BTreeMap::new();
        for (name, needs) in secrets(kafka) {
            let (_, found) = usable(&key(), name, &needs, secret.clone())?;
            values.extend(found.into_iter().map(|(key, value)| ((name.to_owned(), key), value)));
        }
        Ok(Material { values, salted: Vec::new() })
    }

    fn kafka(spec: serde_json::Value) -> Kafka {
        let stockwatch: stockwatch_crds::StockWatch = serde_json::from_value(json!({
            "apiVersion": "stockwatch.dev/v1alpha1",
            "kind": "StockWatch",
            "metadata": {"name": "tech", "namespace": "market"},
            "spec": {"tickers": [{"symbol": "META"}], "kafka": spec},
        }))
        .unwrap();
        stockwatch_crds::Spec::parse(&stockwatch).unwrap().kafka
    }

    #[test]
    fn secrets_as_confluent_for_kubernetes_writes_them_are_read() {
        let spec = json!({
            "bootstrapServers": "kafka:9092",
            "tls": {"caSecret": {"name": "user"}, "clientSecret": {"name": "user"}},
            "sasl": {"mechanism": "PLAIN", "secret": {"name": "user"}},
        });
        let data = json!({
            "cacerts.pem": "a", "fullchain.pem": "c", "privkey.pem": "k", "plain-users.json": "{}",
            "plain.txt": "username=ann\npassword=secret\n",
        });
        let kafka = kafka(spec);
        let material = material(&kafka, data).unwrap();
        let keys: Vec<&str> = material.values.keys().map(|(_, key)| key.as_str()).collect();
        assert_eq!(keys, ["cacerts.pem", "fullchain.pem", "plain.txt", "privkey.pem"]);
        let login = material.login(kafka.sasl.as_ref().unwrap()).unwrap();
        assert_eq!(login, (b"ann".to_vec(), b"secret".to_vec()));
    }

    #[test]
    fn a_client_as_confluent_for_kubernetes_writes_it_logs_in() {
        let kafka = kafka(json!({
            "bootstrapServers": "kafka:9092",
            "tls": {},
            "sasl": {
                "mechanism": "OAUTHBEARER",
                "secret": {"name": "user"},
                "oauth": {"tokenUrl": "https://id.example/token"},
            },
        }));
        let login = |data| material(&kafka, data).unwrap().login(kafka.sasl.as_ref().unwrap());
        let file = "clientId=worker\nclientSecret=s3\n";
        assert_eq!(login(json!({"oauth.txt": file})).unwrap(), (b"worker".to_vec(), b"s3".to_vec()));
        let broken = login(json!({"oauth.txt": "username=ann\npassword=secret"})).unwrap_err().to_string();
        let says = "the key oauth.txt of the Secret has no lines clientId=… and clientSecret=…";
        assert!(broken.ends_with(says), "{broken}");
    }

    #[test]
    fn a_file_of_user_and_password_counts_only_where_their_own_keys_are_not_there() {
        let sasl = |more: &str| {
            let spec = format!(
                r#"{{"bootstrapServers": "k:1", "sasl": {{"mechanism": "SCRAM-SHA-512", {more} "secret": {{"name": "user"}}}}}}"#
            );
            kafka(serde_json::from_str(&spec).unwrap())
        };
        let login = |kafka: &Kafka, data: serde_json::Value| {
            material(kafka, data).unwrap().login(kafka.sasl.as_ref().unwrap())
        };
        let file = "username=ann\npassword=of the file";
        let both = json!({"username": "bob", "password": "own", "plain.txt": file});
        assert_eq!(login(&sasl(""), both).unwrap(), (b"bob".to_vec(), b"own".to_vec()));
        let half = json!({"username": "bob", "plain.txt": file});
        assert_eq!(login(&sasl(""), half).unwrap(), (b"ann".to_vec(), b"of the file".to_vec()));
        let given = sasl(r#""username": "eve","#);
        let alone = json!({"plain.txt": file});
        assert_eq!(login(&given, alone).unwrap(), (b"eve".to_vec(), b"of the file".to_vec()));
        let broken = login(&given, json!({"plain.txt": "ann:secret"})).unwrap_err().to_string();
        assert!(broken.ends_with("has no lines username=… and password=…"), "{broken}");
        let Err(problem) = material(&sasl(""), json!({"username": "bob"})) else { unreachable!() };
        let says = "has no key username and password, nor plain.txt: it has username.";
        assert!(problem.message.contains(says), "{}", problem.message);
    }

    #[test]
    fn without_a_cluster_role_the_charts_list_is_what_is_left_to_say() {
        let access = SecretAccess { role: String::new(), service_account: ("ops".into(), "sw".into()) };
        let message = not_readable(&access, &key(), "user").message;
        assert!(
            message.ends_with("list the namespace market in the chart's secrets.namespaces"),
            "{message}"
        );
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
