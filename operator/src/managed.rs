//! Which fields of an object are still as we applied them, by the API server's own books (`managedFields`).
//!
//! Whoever changes or removes a field of ours takes it out of our entry there. So an object is as we applied it if
//! our entry covers every field of the desired form: no memory of the last apply is needed, nor lost by a restart.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::names::MANAGER;

/// The fields that we applied, as a trie of `f:<field>`, `k:<keys of a list's item>` and `v:<value>`.
///
/// Objects of one kind mostly have the same fields: equal tries are stored once.
#[derive(Debug, Clone, PartialEq)]
pub struct Fields(Arc<Value>);

/// Stores equal tries once.
#[derive(Debug, Default)]
pub struct Interner(Mutex<HashMap<[u8; 32], Weak<Value>>>);

impl Interner {
    /// Our entry of an object's managedFields; the rest is dropped.
    pub fn ours(&self, entries: Option<Vec<ManagedFieldsEntry>>) -> Option<Fields> {
        let ours = |entry: &ManagedFieldsEntry| {
            entry.manager.as_deref() == Some(MANAGER)
                && entry.operation.as_deref() == Some("Apply")
                && entry.subresource.as_deref().unwrap_or_default().is_empty()
        };
        let mut fields = entries?.into_iter().find(ours)?.fields_v1?.0;
        // It holds the owner's uid, which no two objects share; the owner is read from the object itself.
        if let Some(metadata) = fields.get_mut("f:metadata").and_then(Value::as_object_mut) {
            metadata.remove("f:ownerReferences");
        }
        Some(Fields(self.intern(fields)))
    }

    fn intern(&self, fields: Value) -> Arc<Value> {
        let digest: [u8; 32] = Sha256::digest(fields.to_string()).into();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = known.get(&digest).and_then(Weak::upgrade) {
            return same;
        }
        known.retain(|_, trie| trie.strong_count() > 0);
        let fields = Arc::new(fields);
        known.insert(digest, Arc::downgrade(&fields));
        fields
    }
}

impl Fields {
    /// Every field of `desired` is ours.
    pub fn cover(&self, desired: &Value) -> bool {
        let Some(members) = desired.as_object() else { return false };
        members.iter().all(|(name, value)| match name.as_str() {
            "apiVersion" | "kind" => true,
            "metadata" => ["labels", "annotations"].iter().all(|part| {
                let Some(value) = value.get(part) else { return true };
                self.0.get("f:metadata").is_some_and(|trie| covers_member(trie, part, value))
            }),
            _ => covers_member(&self.0, name, value),
        })
    }
}

fn covers_member(trie: &Value, name: &str, value: &Value) -> bool {
    trie.get(format!("f:{name}")).is_some_and(|trie| covers(trie, value))
}

fn covers(trie: &Value, value: &Value) -> bool {
    let Some(children) = trie.as_object() else { return false };
    // A leaf is owned as a whole: a scalar, and whatever the API server treats as one.
    if children.is_empty() {
        return true;
    }
    match value {
        Value::Object(members) => members.iter().all(|(name, value)| covers_member(trie, name, value)),
        Value::Array(items) => items.iter().all(|item| {
            children.iter().any(|(name, trie)| match name.split_at_checked(2) {
                Some(("k:", keys)) => names_item(keys, item) && covers(trie, item),
                Some(("v:", text)) => serde_json::from_str(text).is_ok_and(|value: Value| value == *item),
                _ => false,
            })
        }),
        _ => false,
    }
}

/// Whether these are the keys of the item. A key that the item leaves out has the API server's default.
fn names_item(keys: &str, item: &Value) -> bool {
    let Ok(Value::Object(keys)) = serde_json::from_str(keys) else { return false };
    keys.iter().all(|(key, value)| item.get(key).is_none_or(|is| is == value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldsV1;
    use serde_json::json;

    use super::*;

    fn desired() -> Value {
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "tech-stockwatch", "namespace": "default", "labels": {"a": "b"}},
            "spec": {
                "selector": {"matchLabels": {"a": "b"}},
                "template": {"spec": {"containers": [{
                    "name": "worker",
                    "args": ["run"],
                    "ports": [{"containerPort": 8080}],
                }]}},
            },
        })
    }

    fn trie() -> Value {
        json!({
            "f:metadata": {"f:labels": {"f:a": {}}, "f:ownerReferences": {"k:{\"uid\":\"1\"}": {}}},
            "f:spec": {
                "f:selector": {},
                "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"worker\"}": {
                    ".": {},
                    "f:name": {},
                    "f:args": {},
                    "f:ports": {"k:{\"containerPort\":8080,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
                }}}},
            },
        })
    }

    fn entry(manager: &str, operation: &str, fields: Value) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            manager: Some(manager.into()),
            operation: Some(operation.into()),
            fields_v1: Some(FieldsV1(fields)),
            ..ManagedFieldsEntry::default()
        }
    }

    fn fields(trie: Value) -> Fields {
        Interner::default().ours(Some(vec![entry(MANAGER, "Apply", trie)])).unwrap()
    }

    #[test]
    fn what_was_applied_and_not_touched_is_covered() {
        assert!(fields(trie()).cover(&desired()));
    }

    #[test]
    fn a_field_that_somebody_took_is_not_covered() {
        for pointer in [
            "/f:metadata/f:labels/f:a",
            "/f:spec/f:selector",
            "/f:spec/f:template/f:spec/f:containers/k:{\"name\":\"worker\"}/f:args",
            "/f:spec/f:template/f:spec/f:containers/k:{\"name\":\"worker\"}",
        ] {
            let (parent, member) = pointer.rsplit_once('/').unwrap();
            let mut trie = trie();
            trie.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(member).unwrap();
            // What has lost its last field is gone itself; an empty one would be a leaf.
            let text = trie.to_string().replace("\"f:labels\":{},", "").replace("\"f:labels\":{}", "");
            let text = text.replace("\"f:containers\":{}", "\"f:other\":{}");
            assert!(!fields(serde_json::from_str(&text).unwrap()).cover(&desired()), "{pointer}");
        }
    }

    #[test]
    fn a_new_field_of_the_desired_form_is_not_covered_yet() {
        let mut more = desired();
        more["spec"]["replicas"] = json!(2);
        assert!(!fields(trie()).cover(&more));
    }

    #[test]
    fn only_our_own_applies_count() {
        let interner = Interner::default();
        for other in [
            entry("kubectl", "Apply", trie()),
            entry(MANAGER, "Update", trie()),
            ManagedFieldsEntry { subresource: Some("status".into()), ..entry(MANAGER, "Apply", trie()) },
        ] {
            assert_eq!(interner.ours(Some(vec![other])), None);
        }
        assert_eq!(interner.ours(None), None);
    }

    #[test]
    fn equal_books_are_stored_once_whoever_the_owner_is() {
        let interner = Interner::default();
        let mut other = trie();
        other["f:metadata"]["f:ownerReferences"] = json!({"k:{\"uid\":\"2\"}": {}});
        let [a, b] = [trie(), other].map(|t| interner.ours(Some(vec![entry(MANAGER, "Apply", t)])).unwrap());
        assert!(Arc::ptr_eq(&a.0, &b.0));
    }
}
