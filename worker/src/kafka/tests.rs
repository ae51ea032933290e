#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fs;

use rdkafka::producer::BaseProducer;
use stockwatch_crds::{LoginFile, Mechanism, OAuth, Tls};

use super::*;
use crate::topics::tests::kafka;

fn ca(name: &str) -> CaSecret {
    CaSecret { name: name.into(), keys: vec!["ca.crt".into(), "cacerts.pem".into()] }
}

fn secured(mechanism: Mechanism, tls: bool) -> Kafka {
    let ca = Some(ca("kafka-ca"));
    Kafka {
        tls: tls.then_some(Tls { ca, client: None }),
        sasl: Some(Sasl {
            mechanism,
            username: Username::Key("username".into()),
            password: SecretKey { name: "login".into(), key: "password".into() },
            file: Some(LoginFile::Plain),
            oauth: None,
        }),
        ..kafka("127.0.0.1:1")
    }
}

fn tokens(tls: bool) -> Kafka {
    let mut kafka = secured(Mechanism::OauthBearer, tls);
    kafka.sasl.as_mut().unwrap().oauth = Some(OAuth {
        // Nobody listens there.
        token_url: "https://127.0.0.1:1/token".into(),
        scope: Some("kafka".into()),
        extensions: Some("logicalCluster=lkc-1".into()),
        ca: Some(ca("login-ca")),
    });
    kafka
}

fn mounted(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

#[test]
fn every_mechanism_is_inside_this_librdkafka() {
    let dir = mounted(&[("login/username", "u\n"), ("login/password", "p"), ("kafka-ca/ca.crt", CA)]);
    for mechanism in [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512] {
        let connection = Connection::new(&secured(mechanism, true), dir.path()).unwrap();
        let config = connection.client();
        assert_eq!(config.get("security.protocol"), Some("sasl_ssl"));
        assert_eq!(config.get("sasl.username"), Some("u"), "the line end is not part of the name");
        assert_eq!(config.get("ssl.endpoint.identification.algorithm"), Some("https"));
        config.create_with_context::<_, BaseProducer<KafkaContext>>(KafkaContext::default()).unwrap();
    }
}

#[test]
fn tokens_are_fetched_by_this_librdkafka() {
    let files = [("login/username", "me\n"), ("login/password", "hunter2\n"), ("kafka-ca/ca.crt", CA)];
    let dir = mounted(&[&files[..], &[("login-ca/ca.crt", CA)]].concat());
    let connection = Connection::new(&tokens(true), dir.path()).unwrap();
    let config = connection.client();
    assert_eq!(config.get("sasl.mechanism"), Some("OAUTHBEARER"));
    assert_eq!(config.get("sasl.oauthbearer.client.id"), Some("me"));
    assert_eq!(config.get("sasl.oauthbearer.client.secret"), Some("hunter2"));
    assert_eq!((config.get("sasl.username"), config.get("sasl.password")), (None, None));
    assert!(config.get("https.ca.location").unwrap().ends_with("/login-ca/ca.crt"));
    assert!(!format!("{connection:?}").contains("hunter2"));
    config.create_with_context::<_, BaseProducer<KafkaContext>>(KafkaContext::default()).unwrap();
    fs::remove_file(dir.path().join("login-ca/ca.crt")).unwrap();
    let error = Connection::new(&tokens(true), dir.path()).unwrap_err().to_string();
    assert!(error.starts_with("spec.kafka.sasl.oauth.caSecret: cannot read "), "{error}");
}

#[test]
fn keys_are_those_that_are_there_and_a_given_user_needs_none() {
    let dir = mounted(&[("user/user.crt", CA), ("user/user.key", CA), ("user/pw", "p")]);
    let pair = |certificate: &str, key: &str| KeyPair { certificate: certificate.into(), key: key.into() };
    let pairs = vec![pair("tls.crt", "tls.key"), pair("user.crt", "user.key")];
    let client = Some(ClientSecret { name: "user".into(), pairs });
    let kafka = Kafka {
        tls: Some(Tls { ca: None, client }),
        sasl: Some(Sasl {
            mechanism: Mechanism::ScramSha512,
            username: Username::Given("ann".into()),
            password: SecretKey { name: "user".into(), key: "pw".into() },
            file: None,
            oauth: None,
        }),
        ..kafka("127.0.0.1:1")
    };
    let config = Connection::new(&kafka, dir.path()).unwrap().client();
    assert!(config.get("ssl.certificate.location").unwrap().ends_with("/user/user.crt"));
    assert!(config.get("ssl.key.location").unwrap().ends_with("/user/user.key"));
    assert_eq!((config.get("sasl.username"), config.get("sasl.password")), (Some("ann"), Some("p")));
    fs::remove_file(dir.path().join("user/user.key")).unwrap();
    let error = Connection::new(&kafka, dir.path()).unwrap_err().to_string();
    assert!(error.contains("user/tls.crt"), "{error}");
}

#[test]
fn secrets_as_confluent_for_kubernetes_writes_them_are_read() {
    let dir = mounted(&[
        ("tls/fullchain.pem", CA),
        ("tls/privkey.pem", CA),
        ("tls/cacerts.pem", CA),
        ("login/plain.txt", "username=ann\npassword=hunter2\n"),
    ]);
    let pair = |certificate: &str, key: &str| KeyPair { certificate: certificate.into(), key: key.into() };
    let pairs = vec![pair("tls.crt", "tls.key"), pair("fullchain.pem", "privkey.pem")];
    let client = Some(ClientSecret { name: "tls".into(), pairs });
    let mut kafka = secured(Mechanism::Plain, true);
    kafka.tls = Some(Tls { ca: Some(ca("tls")), client });
    let config = Connection::new(&kafka, dir.path()).unwrap().client();
    for (setting, file) in [
        ("ssl.ca.location", "/tls/cacerts.pem"),
        ("ssl.certificate.location", "/tls/fullchain.pem"),
        ("ssl.key.location", "/tls/privkey.pem"),
    ] {
        assert!(config.get(setting).unwrap().ends_with(file), "{setting}");
    }
    assert_eq!((config.get("sasl.username"), config.get("sasl.password")), (Some("ann"), Some("hunter2")));
    fs::write(dir.path().join("login/plain.txt"), "ann:hunter2").unwrap();
    let error = Connection::new(&kafka, dir.path()).unwrap_err().to_string();
    assert!(error.contains("login/plain.txt has no lines username=… and password=…"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
    let mut client = tokens(true);
    client.sasl.as_mut().unwrap().file = Some(LoginFile::OAuth);
    let files = [
        ("login/oauth.txt", "clientId=me\nclientSecret=s3\n"),
        ("kafka-ca/ca.crt", CA),
        ("login-ca/ca.crt", CA),
    ];
    let config = Connection::new(&client, mounted(&files).path()).unwrap().client();
    assert_eq!(config.get("sasl.oauthbearer.client.id"), Some("me"));
    assert_eq!(config.get("sasl.oauthbearer.client.secret"), Some("s3"));
    // Their own keys count before it.
    fs::write(dir.path().join("login/username"), "bob").unwrap();
    fs::write(dir.path().join("login/password"), "own").unwrap();
    let config = Connection::new(&kafka, dir.path()).unwrap().client();
    assert_eq!((config.get("sasl.username"), config.get("sasl.password")), (Some("bob"), Some("own")));
}

#[test]
fn a_password_never_shows_when_printed() {
    let dir = mounted(&[("login/username", "u"), ("login/password", "hunter2")]);
    let connection = Connection::new(&secured(Mechanism::ScramSha512, false), dir.path()).unwrap();
    assert!(!format!("{connection:?}").contains("hunter2"));
}

#[test]
fn a_missing_file_is_named_with_its_field() {
    let dir = mounted(&[("login/username", "u")]);
    let error = Connection::new(&secured(Mechanism::ScramSha256, false), dir.path()).unwrap_err().to_string();
    assert!(error.starts_with("spec.kafka.sasl.secret: cannot read "), "{error}");
    assert!(error.contains("login/password"), "{error}");
}

#[test]
fn an_empty_file_is_refused() {
    let dir = mounted(&[("login/username", "u"), ("login/password", "")]);
    let error = Connection::new(&secured(Mechanism::ScramSha256, false), dir.path()).unwrap_err().to_string();
    assert!(error.contains("login/password is empty"), "{error}");
}

#[test]
fn a_secrets_name_cannot_lead_out_of_the_directory() {
    let dir = mounted(&[]);
    for name in ["..", "/etc", "a/b", "", "."] {
        let mut kafka = secured(Mechanism::ScramSha256, false);
        kafka.sasl.as_mut().unwrap().password.name = name.into();
        let error = Connection::new(&kafka, dir.path()).unwrap_err();
        assert!(matches!(error, ConnectionError::NotAName { .. }), "{name}: {error}");
    }
}

#[test]
fn what_others_could_log_in_with_is_not_sent_without_tls() {
    for kafka in [secured(Mechanism::Plain, false), tokens(false)] {
        let error = Connection::new(&kafka, Path::new("/")).unwrap_err();
        assert!(matches!(error, ConnectionError::ReadableWithoutTls(_)), "{error}");
    }
}

/// A self-signed certificate of no one.
const CA: &str = "-----BEGIN CERTIFICATE-----\n\
    MIIBcTCCARegAwIBAgIUZV2wdcssHENgem6BzET//G/aWLcwCgYIKoZIzj0EAwIw\n\
    DTELMAkGA1UEAwwCY2EwIBcNMjYxMTIzMDQ0NzA5WhgPMjEyNjEwMzAwNDQ3MDla\n\
    MA0xCzAJBgNVBAMMAmNhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEHlsq2+wh\n\
    xW5ks2kjmFf/P63mLus66eKd7dWUYOkdfP+ZH4K4nZEbqORel9Z3MaPrRmczxRG5\n\
    mwS0RsoaSLQrtaNTMFEwHQYDVR0OBBYEFB9XwEihoNarrPwk1QIw06cxSItdMB8G\n\
    A1UdIwQYMBaAFB9XwEihoNarrPwk1QIw06cxSItdMA8GA1UdEwEB/wQFMAMBAf8w\n\
    CgYIKoZIzj0EAwIDSAAwRQIgVh+5OAs1u9jsklSe79v70NQLHROOti8W2OIsMD+j\n\
    VYUCIQD7uv9jMtWBgI/3CYUE++PE9LIduQRap4qVcXjjRAcTBA==\n\
    -----END CERTIFICATE-----\n";
