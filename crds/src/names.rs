//! Which names Kafka and Kubernetes take.

use crate::limits::MAX_KAFKA_NAME;

/// [`is_kafka_name`] in words.
pub(crate) const KAFKA_NAME_RULE: &str =
    "1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-' are allowed, but not \".\" and \"..\"";

/// `^[a-zA-Z0-9._-]+$`, 1 to 249, neither `.` nor `..`: Kafka's own rule of a topic's name.
pub(crate) fn is_kafka_name(name: &str) -> bool {
    (1..=MAX_KAFKA_NAME).contains(&name.len())
        && name != "."
        && name != ".."
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// A DNS-1123 label of at most `most` characters.
pub(crate) fn is_label(label: &str, most: usize) -> bool {
    (1..=most).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A DNS-1123 subdomain, as the names of Secrets are.
pub(crate) fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(|label| is_label(label, 253))
}
