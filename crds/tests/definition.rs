//! The definition: generated, without what breaks stored objects, and saying the same as `load`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use kube_cel::Validator;
use serde::Deserialize;
use serde_json::{Value, json};
use stockwatch_crds::{LoadError, definition, definition_yaml, load};

#[derive(Deserialize)]
struct Case {
    says: String,
    with: Value,
    rule: Option<String>,
    schema: Option<String>,
    load: Option<String>,
}

#[derive(Deserialize)]
struct Change {
    says: String,
    from: Value,
    to: Value,
    #[serde(default)]
    refused: bool,
}

/// The least legal StockWatch with `with` merged in.
fn stockwatch(with: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "stockwatch.dev/v1alpha1",
        "kind": "StockWatch",
        "metadata": {"name": "tech"},
        "spec": {"tickers": [{"symbol": "META"}], "kafka": {"bootstrapServers": "localhost:9092"}},
    });
    merge(&mut object, with);
    object
}

/// RFC 7386: null removes.
fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, member) in members {
        if member.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            merge(into.as_object_mut().unwrap().entry(key).or_insert(Value::Null), member);
        }
    }
}

fn schema() -> Value {
    let definition = serde_json::to_value(definition().unwrap()).unwrap();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

fn rules_broken(schema: &Value, object: &Value, old: Option<&Value>) -> Vec<String> {
    match Validator::new().validate(schema, object, old) {
        Ok(()) => Vec::new(),
        Err(errors) => {
            errors.into_vec().iter().map(|error| format!("{}: {}", error.field_path, error.message)).collect()
        }
    }
}

#[test]
fn the_generated_file_is_what_the_types_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/stockwatch.yaml");
    let file = std::fs::read_to_string(path).unwrap();
    assert!(
        file == definition_yaml().unwrap(),
        "{path} is stale: cargo run --release -p stockwatch-crds --bin crdgen"
    );
}

#[test]
fn nothing_is_nullable_or_has_a_default_that_would_be_stored() {
    fn check(schema: &Value, path: &str) {
        assert!(schema.get("nullable").is_none(), "{path} is nullable");
        let default = schema.get("default");
        // Those of Kubernetes' own types are what it fills in anyhow.
        let ours = !path.starts_with(".spec.worker.");
        // An object that no operator has seen says so, for tools that wait.
        let ours = ours && path != ".status";
        assert!(default.is_none() || !ours, "{path} has the default {default:?}");
        for (key, member) in schema["properties"].as_object().into_iter().flatten() {
            check(member, &format!("{path}.{key}"));
        }
        for (word, suffix) in [("items", "[]"), ("additionalProperties", "{}")] {
            if let Some(member) = schema.get(word) {
                check(member, &format!("{path}{suffix}"));
            }
        }
    }
    check(&schema(), "");
    let worker = &schema()["properties"]["spec"]["properties"]["worker"]["properties"];
    assert_eq!(worker["replicas"].get("default"), None, "an absent count stays absent");
}

#[test]
fn every_text_and_list_of_ours_has_a_limit() {
    fn check(schema: &Value, path: &str) {
        // Pod fields are Kubernetes' own, and conditions too; enums limit themselves.
        if path.starts_with(".spec.worker.") || path.starts_with(".status.conditions[]") {
            return;
        }
        let limited = match schema["type"].as_str() {
            Some("string") => schema.get("maxLength").or(schema.get("enum")).is_some(),
            Some("array") => schema.get("maxItems").is_some(),
            Some("object") => {
                schema.get("additionalProperties").is_none() || schema.get("maxProperties").is_some()
            }
            _ => true,
        };
        assert!(limited, "{path} has no limit");
        for (key, member) in schema["properties"].as_object().into_iter().flatten() {
            check(member, &format!("{path}.{key}"));
        }
        for (word, suffix) in [("items", "[]"), ("additionalProperties", "{}")] {
            if let Some(member) = schema.get(word) {
                check(member, &format!("{path}{suffix}"));
            }
        }
    }
    check(&schema(), "");
}

#[test]
fn load_refuses_whatever_the_definition_refuses() {
    let cases: Vec<Case> = serde_saphyr::from_str(include_str!("rules.yaml")).unwrap();
    let schema = schema();
    for case in &cases {
        let object = stockwatch(&case.with);
        let says = &case.says;
        let broken = rules_broken(&schema, &object, None);
        // Where the schema refuses it, the API server does not get to the rules.
        if case.schema.is_none() {
            assert_eq!(!broken.is_empty(), case.rule.is_some(), "{says}: rules broken: {broken:#?}");
        }
        let expected = case.rule.as_ref().or(case.schema.as_ref()).or(case.load.as_ref());
        match (expected, load(&object.to_string())) {
            (None, Ok(_)) => {}
            (Some(path), Err(LoadError::Invalid(invalid))) => {
                let paths: Vec<_> = invalid.problems.iter().map(|problem| problem.path.as_str()).collect();
                assert_eq!(paths, [path], "{says}: {invalid}");
            }
            (_, result) => panic!("{says}: load says {result:#?}"),
        }
    }
}

#[test]
fn names_cannot_be_changed_added_or_removed() {
    let changes: Vec<Change> = serde_saphyr::from_str(include_str!("changes.yaml")).unwrap();
    let schema = schema();
    for change in &changes {
        let broken = rules_broken(&schema, &stockwatch(&change.to), Some(&stockwatch(&change.from)));
        assert_eq!(!broken.is_empty(), change.refused, "{}: rules broken: {broken:#?}", change.says);
    }
}

#[test]
fn the_bytes_of_the_tickers_are_counted_as_load_counts_them() {
    // 40 and the texts: a symbol of 32 and a name of 26 letters of four bytes and four digits are 180 bytes.
    let ticker =
        |i: usize| json!({"symbol": format!("{i:032}"), "name": format!("{}{i:04}", "🚀".repeat(26))});
    let mut most = stockwatch(&json!({"spec": {"tickers": (0..1000).map(ticker).collect::<Vec<_>>()}}));
    assert_eq!(rules_broken(&schema(), &most, None), [""; 0]);
    load(&most.to_string()).unwrap();
    let own = json!([{"window": "5m", "tolerance": "1%"}, {"window": "10m", "tolerance": "1%"}]);
    // One byte more.
    for (symbol, name, tolerances) in [("S", "🚀".repeat(35), json!([])), ("SSSSSSSS", "n".repeat(64), own)]
    {
        most["spec"]["tickers"][999] = json!({"symbol": symbol, "name": name, "tolerances": tolerances});
        let broken = rules_broken(&schema(), &most, None);
        assert!(broken.iter().any(|rule| rule.contains("more than 180000 bytes")), "{broken:?}");
        load(&most.to_string()).unwrap_err();
    }
}
