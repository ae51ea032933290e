//! Where in which Secret certificates, keys and passwords are.

use crate::names::is_subdomain;
use crate::problem::{Problems, shown};
use crate::v1alpha1::{ClientSecretRef, SecretKeyRef};

/// As cert-manager and Strimzi have it, then as Confluent for Kubernetes does.
const DEFAULT_CA_KEYS: [&str; 2] = ["ca.crt", "cacerts.pem"];
/// As cert-manager and Kubernetes' own type of Secret have them, then as Strimzi and Confluent for Kubernetes do.
const DEFAULT_PAIRS: [(&str, &str); 3] =
    [("tls.crt", "tls.key"), ("user.crt", "user.key"), ("fullchain.pem", "privkey.pem")];

/// A Secret with the certificates of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaSecret {
    /// The Secret's name.
    pub name: String,
    /// Where they may be in its data; the first key that is there counts. At least one.
    pub keys: Vec<String>,
}

/// A Secret with a client's certificate and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSecret {
    /// The Secret's name.
    pub name: String,
    /// Where they may be in its data; the first pair that is there counts. At least one.
    pub pairs: Vec<KeyPair>,
}

/// Keys of a Secret's data that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// That of the certificate.
    pub certificate: String,
    /// That of the private key.
    pub key: String,
}

/// One key of a Secret in the StockWatch's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretKey {
    /// The Secret's name.
    pub name: String,
    /// The key in its data.
    pub key: String,
}

impl CaSecret {
    pub(super) fn parse(ca: &SecretKeyRef, path: &str, problems: &mut Problems) -> Self {
        check_secret_name(&ca.name, &format!("{path}.name"), problems);
        let key = |default: &&str| key_or(&ca.key, default, &format!("{path}.key"), problems);
        Self { name: ca.name.clone(), keys: tried(&DEFAULT_CA_KEYS, ca.key.is_some()).map(key).collect() }
    }
}

impl ClientSecret {
    pub(super) fn parse(client: &ClientSecretRef, problems: &mut Problems) -> Self {
        let ClientSecretRef { name, cert_key, key_key } = client;
        let path = "spec.kafka.tls.clientSecret";
        check_secret_name(name, &format!("{path}.name"), problems);
        let is_named = cert_key.is_some() || key_key.is_some();
        let pair = |(certificate, key): &(&str, &str)| KeyPair {
            certificate: key_or(cert_key, certificate, &format!("{path}.certKey"), problems),
            key: key_or(key_key, key, &format!("{path}.keyKey"), problems),
        };
        Self { name: name.clone(), pairs: tried(&DEFAULT_PAIRS, is_named).map(pair).collect() }
    }
}

/// All defaults; where the spec names a key, only the first one, which has what the spec does not name.
fn tried<T>(defaults: &[T], is_named: bool) -> impl Iterator<Item = &T> {
    defaults.iter().take(if is_named { 1 } else { defaults.len() })
}

/// The key as written, or the default.
pub(super) fn key_or(key: &Option<String>, default: &str, path: &str, problems: &mut Problems) -> String {
    let key = key.as_deref().unwrap_or(default);
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if !matches!(key.len(), 1..=253) || !key.bytes().all(allowed) {
        problems.add(
            path,
            format!(
                "{} is not a key of a Secret: 1 to 253 of a-z, A-Z, 0-9, '-', '_' and '.' are allowed",
                shown(key)
            ),
        );
    }
    key.to_owned()
}

pub(crate) fn check_secret_name(name: &str, path: &str, problems: &mut Problems) {
    if !is_subdomain(name) {
        problems.add(
            path,
            format!(
                "{} is not the name of a Secret: at most 253 of a-z, 0-9, '-' and '.', \
                 starting and ending with a letter or digit",
                shown(name)
            ),
        );
    }
}
