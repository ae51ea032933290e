//! A StockWatch as the API server stores it, without what a worker never reads.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stockwatch_crds::LoadError;

use crate::config::accept::LiveSpec;

/// A stored StockWatch, or a copy of one. Whatever its spec holds, it can be read: whether that makes sense is for
/// [`Document::load`] to say, so one bad object never ends a watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    api_version: String,
    kind: String,
    /// Who and which state of it.
    pub metadata: Metadata,
    #[serde(default)]
    spec: Value,
}

/// The part of an object's metadata that a worker reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The object's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Tells it from others of its name, before and after.
    pub uid: String,
    /// Counts the changes of its spec.
    pub generation: u64,
}

impl Document {
    /// Reads a copy.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The spec that a worker starts with: every rule is checked.
    pub fn load(&self) -> Result<LiveSpec, LoadError> {
        let Self { api_version, kind, metadata, spec } = self;
        let document = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec});
        stockwatch_crds::load_value(document).map(LiveSpec::first)
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A document of the StockWatch default/tech with one window of this tolerance.
    pub(in crate::config::cluster) fn document(uid: &str, generation: u64, tolerance: &str) -> Document {
        document_at(uid, generation, tolerance, "kafka:9092")
    }

    pub(in crate::config::cluster) fn document_at(
        uid: &str,
        generation: u64,
        tolerance: &str,
        brokers: &str,
    ) -> Document {
        let object = json!({
            "apiVersion": "stockwatch.dev/v1alpha1",
            "kind": "StockWatch",
            "metadata": {
                "name": "tech", "namespace": "default", "uid": uid, "generation": generation,
                "resourceVersion": "7", "managedFields": [{"manager": "kubectl-edit"}],
            },
            "spec": {
                "tickers": [{"symbol": "META"}],
                "windows": [{"duration": "5m", "tolerance": tolerance}],
                "kafka": {"bootstrapServers": brokers},
                "colour": "red",
            },
            "status": {"tickers": 1},
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_copy_holds_what_is_read_and_nothing_else() {
        let document = document("a", 3, "1%");
        let text = serde_json::to_string(&document).unwrap();
        assert!(!text.contains("managedFields") && !text.contains("status"), "{text}");
        assert_eq!(Document::parse(&text).unwrap(), document);
    }

    #[test]
    fn unknown_fields_of_the_spec_are_listed() {
        let spec = document("a", 3, "1%").load().unwrap();
        assert_eq!((spec.uid.as_str(), spec.generation, spec.ignored.len()), ("a", Some(3), 1));
        assert_eq!(spec.ignored[0], "spec.colour");
    }

    #[test]
    fn an_object_whose_spec_is_nonsense_is_read_and_refused() {
        let text = r#"{"apiVersion":"stockwatch.dev/v1alpha1","kind":"StockWatch",
            "metadata":{"name":"tech","namespace":"default","uid":"a","generation":4},"spec":["?"]}"#;
        assert!(Document::parse(text).unwrap().load().is_err());
        assert!(Document::parse("{}").is_err());
    }
}
