//! Why no client can be configured.

use std::io;
use std::path::PathBuf;

/// Why no client can be configured; each names the field and the file.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// A secret's file is missing or cannot be read.
    #[error("{field}: cannot read {}: {source} (secrets are read as DIRECTORY/<secret name>/<key>)", path.display())]
    Unreadable {
        /// The field that names the secret.
        field: &'static str,
        /// Where its key was looked for.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A secret's file is there but cannot be what it should be.
    #[error("{field}: {} {problem}", path.display())]
    Unusable {
        /// The field that names the secret.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A secret's name or key would lead out of the credentials directory.
    #[error("{field}: {name:?} is not the name of a secret or of a key")]
    NotAName {
        /// The field that names the secret.
        field: &'static str,
        /// The name as written.
        name: String,
    },
    /// A password or a token would travel readable.
    #[error(
        "spec.kafka.sasl: {0} sends what it proves readable: add spec.kafka.tls or use a SCRAM mechanism"
    )]
    ReadableWithoutTls(&'static str),
}
