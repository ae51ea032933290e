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
use crate::resources::{KeyChoice, secrets};
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

fn usable(
    key: &Key,
    name: &str,
    needs: &BTreeSet<KeyChoice<'_>>,
    secret: Secret,
) -> Result<Found, SecretProblem> {
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
fn lacks<'a>(name: &str, need: &KeyChoice<'_>, there: impl Iterator<Item = &'a String>) -> SecretProblem {
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
mod tests;
