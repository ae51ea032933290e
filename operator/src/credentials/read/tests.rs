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
    assert!(message.ends_with("list the namespace market in the chart's secrets.namespaces"), "{message}");
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
