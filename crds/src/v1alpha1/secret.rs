//! References to Secrets, by the label that each of them needs.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

const MAX_SECRET_NAME: usize = 253;
const MAX_SECRET_KEY: usize = 253;
const IS_SECRET_KEY: &str = "self.matches('^[-._a-zA-Z0-9]+$')";
const SAY_SECRET_KEY: &str = "a key of a Secret is a-z, A-Z, 0-9, '-', '_' and '.'";
const IS_SECRET_NAME: &str =
    "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')";
const SAY_SECRET_NAME: &str =
    "the name of a Secret is a-z, 0-9, '-' and '.', starting and ending with a letter or digit";

/// One key of a Secret in the StockWatch's namespace, labelled stockwatch.dev/credentials: "true".
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = MAX_SECRET_NAME))]
    #[x_kube(validation = Rule::new(IS_SECRET_NAME).message(SAY_SECRET_NAME))]
    pub name: String,
    /// The key in its data. Absent: ca.crt, else cacerts.pem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_SECRET_KEY))]
    #[x_kube(validation = Rule::new(IS_SECRET_KEY).message(SAY_SECRET_KEY))]
    pub key: Option<String>,
}

/// A Secret with a certificate and its key, labelled stockwatch.dev/credentials: "true". Without keys named: tls.crt and
/// tls.key, as cert-manager writes them, else user.crt and user.key, as Strimzi does, else fullchain.pem and privkey.pem, as
/// Confluent for Kubernetes does.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ClientSecretRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = MAX_SECRET_NAME))]
    #[x_kube(validation = Rule::new(IS_SECRET_NAME).message(SAY_SECRET_NAME))]
    pub name: String,
    /// The key of the certificate (PEM, with its chain). Absent: tls.crt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_SECRET_KEY))]
    #[x_kube(validation = Rule::new(IS_SECRET_KEY).message(SAY_SECRET_KEY))]
    pub cert_key: Option<String>,
    /// The key of the private key (PEM). Absent: tls.key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_SECRET_KEY))]
    #[x_kube(validation = Rule::new(IS_SECRET_KEY).message(SAY_SECRET_KEY))]
    pub key_key: Option<String>,
}

/// A Secret with a password or a client's secret, labelled stockwatch.dev/credentials: "true". Without keys named, and where
/// username and password are not there: plain.txt, for OAUTHBEARER oauth.txt, as Confluent for Kubernetes writes them.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PasswordSecretRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = MAX_SECRET_NAME))]
    #[x_kube(validation = Rule::new(IS_SECRET_NAME).message(SAY_SECRET_NAME))]
    pub name: String,
    /// The key of the user name, where spec.kafka.sasl.username does not say it. Absent: username, for OAUTHBEARER
    /// client-id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_SECRET_KEY))]
    #[x_kube(validation = Rule::new(IS_SECRET_KEY).message(SAY_SECRET_KEY))]
    pub username_key: Option<String>,
    /// The key of the password. Absent: password, for OAUTHBEARER client-secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_SECRET_KEY))]
    #[x_kube(validation = Rule::new(IS_SECRET_KEY).message(SAY_SECRET_KEY))]
    pub password_key: Option<String>,
}

/// One key of a Secret in the StockWatch's namespace, labelled stockwatch.dev/credentials: "source".
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SourceSecretKeyRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = MAX_SECRET_NAME))]
    #[x_kube(validation = Rule::new(IS_SECRET_NAME).message(SAY_SECRET_NAME))]
    pub name: String,
    /// The key in its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_SECRET_KEY))]
    #[x_kube(validation = Rule::new("self.matches('^[-_a-zA-Z0-9][-._a-zA-Z0-9]*$')")
        .message("a key of a source's Secret is a-z, A-Z, 0-9, '-', '_' and '.', which is not the first"))]
    pub key: Option<String>,
}

/// A Secret in the StockWatch's namespace, labelled stockwatch.dev/credentials: "source".
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SourceSecretRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = MAX_SECRET_NAME))]
    #[x_kube(validation = Rule::new(IS_SECRET_NAME).message(SAY_SECRET_NAME))]
    pub name: String,
}
