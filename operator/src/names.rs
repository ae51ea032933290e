//! Every name that the operator, its worker's pods and its users share.

use std::collections::BTreeMap;

/// Owns the fields of the objects that a StockWatch needs.
pub const MANAGER: &str = "stockwatch-operator";
/// Owns the fields of a StockWatch's status.
pub const STATUS_MANAGER: &str = "stockwatch-operator-status";
/// Owns what the status of a StockWatch says while it cannot be read: the rest of that status stays as it is.
pub const UNREADABLE_MANAGER: &str = "stockwatch-operator-status-unreadable";

/// On each owned object: the hash of its desired form.
pub const HASH: &str = "stockwatch.dev/hash";
/// On the Deployment: the digest of its pod template as we want it. Another one replaces the pods.
pub const TEMPLATE: &str = "stockwatch.dev/template";
/// On the Deployment: the digest of what its StockWatch, and nobody else, has to say about the pods.
pub const WISHES: &str = "stockwatch.dev/wishes";
/// On the Deployment: the worker's image as it was asked for, whatever a webhook made of it.
pub const IMAGE: &str = "stockwatch.dev/image";
/// On the worker's pods: the digest of how they reach Kafka, Secrets included.
pub const CONNECTION: &str = "stockwatch.dev/connection";
/// On a StockWatch: it is not reconciled.
pub const PAUSED: &str = "stockwatch.dev/paused";
/// On a StockWatch: its deletion leaves Kafka alone.
pub const SKIP_KAFKA: &str = "stockwatch.dev/skip-kafka";
/// On a Secret: a StockWatch may use it.
pub const CREDENTIALS: &str = "stockwatch.dev/credentials";
/// The value of [`CREDENTIALS`] on a Secret that Kafka's clients may use.
pub const FOR_KAFKA: &str = "true";
/// The value of [`CREDENTIALS`] on a Secret that a StockWatch may send to its source.
pub const FOR_SOURCES: &str = "source";
/// The value of [`CREDENTIALS`] on a Secret that the worker's pods may be given.
pub const FOR_PODS: &str = "pod";
/// On the worker's pods: the digest of their ServiceAccount's annotations, where the user has some.
pub const SERVICE_ACCOUNT: &str = "stockwatch.dev/service-account";
/// On a StockWatch whose topics go with it.
pub const FINALIZER: &str = "stockwatch.dev/topics";

/// On everything that belongs to a StockWatch: its name.
pub const STOCKWATCH: &str = "stockwatch.dev/name";
const APP: &str = "app.kubernetes.io/name";
const APP_WORKER: &str = "stockwatch-worker";
const INSTANCE: &str = "app.kubernetes.io/instance";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

const SUFFIX: &str = "-stockwatch";

/// What all objects of the StockWatch `name` are called.
pub fn owned(name: &str) -> String {
    format!("{name}{SUFFIX}")
}

/// The StockWatch whose objects are called `owned`.
pub fn owner(owned: &str) -> Option<&str> {
    owned.strip_suffix(SUFFIX).filter(|name| !name.is_empty())
}

/// The labels of every object of a StockWatch.
pub fn labels(name: &str) -> BTreeMap<String, String> {
    let mut labels = selector(name);
    labels.insert(INSTANCE.into(), name.into());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    labels
}

/// The labels that choose a StockWatch's pods. A Deployment's selector never changes: neither do these.
pub fn selector(name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(APP.into(), APP_WORKER.into()), (STOCKWATCH.into(), name.into())])
}

/// [`selector`] as the API's query has it.
pub fn selector_text(name: &str) -> String {
    format!("{APP}={APP_WORKER},{STOCKWATCH}={name}")
}

/// Chooses the owned objects of every StockWatch.
pub fn owned_selector() -> String {
    format!("{MANAGED_BY}={MANAGER}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owned_objects_name_leads_back_to_its_stockwatch() {
        assert_eq!(owner(&owned("tech")), Some("tech"));
        assert_eq!(owner("tech"), None);
        assert_eq!(owner("-stockwatch"), None);
    }

    #[test]
    fn the_selector_as_text_says_what_the_selector_says() {
        let pairs: Vec<String> =
            selector("tech").iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(pairs.join(","), selector_text("tech"));
        assert!(selector("tech").iter().all(|(key, value)| labels("tech").get(key) == Some(value)));
    }
}
