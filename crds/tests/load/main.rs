//! What `load` makes of a text: the defaults, the sentences, and that nothing makes it panic or hang.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod any;
mod largest;

use std::time::Duration;

use serde_json::{Value, json};
use stockwatch_crds::v1alpha1::WorkerSpec;
use stockwatch_crds::{
    Alarms, Bound, DeletionPolicy, Enter, GapPolicy, Http, HttpBatch, InvalidReason, Items, LoadError,
    Loaded, LoginFile, MAX_BYTES, Pointer, Source, TimeFormat, Trade, Username, YahooMode, load,
};

/// A StockWatch with this spec.
fn with_spec(spec: &str) -> String {
    let indented: Vec<String> = spec.lines().map(|line| format!("  {line}")).collect();
    let head = "apiVersion: stockwatch.dev/v1alpha1\nkind: StockWatch\nmetadata: {name: tech}\nspec:\n";
    format!("{head}{}\n", indented.join("\n"))
}

fn loads(spec: &str) -> Loaded {
    load(&with_spec(spec)).unwrap_or_else(|error| panic!("{error}\n{spec}"))
}

/// The lines of the error.
fn problems(text: &str) -> Vec<String> {
    load(text).expect_err(text).to_string().lines().map(str::to_owned).collect()
}

const LEAST: &str = "tickers: [{symbol: META}]\nkafka: {bootstrapServers: localhost:9092}";

#[test]
fn what_is_left_out_is_filled_in() {
    let loaded = loads(LEAST);
    assert_eq!((loaded.uid.as_str(), loaded.generation, loaded.ignored.len()), ("", None, 0));
    let spec = loaded.spec;
    assert_eq!((spec.namespace.as_str(), spec.name.as_str()), ("default", "tech"));
    assert_eq!((spec.wildcard, spec.suspend), (false, false));
    assert_eq!(spec.tickers[0].entity, "META");
    let windows: Vec<_> =
        spec.windows.iter().map(|w| (w.minutes, w.tolerance.text.as_str(), w.tolerance.bound)).collect();
    let tolerance = Bound::Relative(100_000_000);
    assert_eq!(windows, [(5, "0.1%", tolerance), (10, "0.1%", tolerance), (15, "0.1%", tolerance)]);
    let yahoo = Source::Yahoo {
        mode: YahooMode::Spark,
        interval: Duration::from_secs(60),
        base_url: "https://query1.finance.yahoo.com".into(),
        user_agent: format!("Mozilla/5.0 (compatible; StockWatch/{})", env!("CARGO_PKG_VERSION")),
        proxy: None,
    };
    assert_eq!(spec.alarms, Alarms { quiet: None, gaps: GapPolicy::Alarm, min_count: 1 });
    assert_eq!(spec.source, yahoo);
    assert_eq!(spec.kafka.group_id, "default.tech");
    assert_eq!(spec.kafka.deletion_policy, DeletionPolicy::Retain);
    let names: Vec<_> = spec.kafka.topics.iter().map(|topic| topic.name.as_str()).collect();
    let expected = [
        "default.tech.raw-input",
        "default.tech.after-dedup-stream",
        "default.tech.after-dedup-storage-table",
        "default.tech.averages-output",
        "default.tech.deviation-alarm",
        "default.tech.dead-letter",
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_provider_is_parsed_with_what_is_left_out() {
    let spec = loads(&format!(
        "{LEAST}\nsource: {{http: {{url: 'https://a/q?s={{symbols}}&f=1', items: /r, symbol: /s, price: /p, time: /t}}}}"
    ))
    .spec;
    let pointer = |text| Pointer::parse(text).unwrap();
    let provider = Http {
        before: "https://a/q?s=".into(),
        after: "&f=1".into(),
        batch: Some(HttpBatch { size: 100, separator: ",".into() }),
        interval: Duration::from_secs(60),
        per_minute: 60,
        headers_secret: None,
        items: Some(Items { list: pointer("/r"), symbol: pointer("/s") }),
        price: pointer("/p"),
        time: pointer("/t"),
        time_format: TimeFormat::Seconds,
        currency: None,
    };
    assert_eq!(spec.source, Source::Http(provider));
}

#[test]
fn the_secrets_of_a_source_are_named_once() {
    let secrets = |source: &str| {
        let spec = loads(&format!("{LEAST}\nsource: {source}")).spec;
        spec.source.secrets().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(secrets("{yahoo: {proxy: {urlSecret: {name: p}, caSecret: {name: p}}}}"), ["p"]);
    assert_eq!(
        secrets("{http: {url: 'https://a/{symbol}', price: /p, time: /t, headersSecret: {name: keys}}}"),
        ["keys"]
    );
    assert_eq!(secrets("{external: {expectEvery: 90s}}"), [""; 0]);
}

#[test]
fn the_storage_table_alone_is_compacted_and_the_users_settings_win() {
    let topics = loads(&format!(
        "{}, topics: {{afterDedupStorageTable: {{config: {{segment.ms: '60000'}}}}}}}}",
        LEAST.trim_end_matches('}')
    ))
    .spec
    .kafka
    .topics;
    let table = &topics.after_dedup_storage_table.config;
    assert_eq!((table["cleanup.policy"].as_str(), table["segment.ms"].as_str()), ("compact", "60000"));
    assert!(topics.raw_input.config.is_empty() && topics.averages_output.config.is_empty());
}

#[test]
fn an_account_is_filled_in_and_its_numbers_are_exact() {
    assert_eq!(loads(LEAST).spec.trade, None);
    let spec = loads(&format!("{LEAST}\ntrade: {{window: 15m}}")).spec;
    let least = Trade {
        minutes: 15,
        enter: Enter::Up,
        budget: 10_000_000_000_000,
        fee_bps: 0,
        fee_minimum: 0,
        slippage_bps: 0,
        max_wait: 15,
        stop_loss: None,
    };
    assert_eq!(spec.trade, Some(least.clone()));
    let ledger = spec.kafka.topics.ledger;
    assert_eq!((ledger.name.as_str(), ledger.config["retention.ms"].as_str()), ("default.tech.ledger", "-1"));
    let terms = "trade: {window: 5m, enter: Down, budget: '0.5', feeBps: '2.5', feeMinimum: '1', \
                 slippageBps: '0.000000001', maxWait: 90m, stopLoss: '5%'}";
    let trade = Trade {
        minutes: 5,
        enter: Enter::Down,
        budget: 500_000_000,
        fee_bps: 2_500_000_000,
        fee_minimum: 1_000_000_000,
        slippage_bps: 1,
        max_wait: 90,
        stop_loss: Some(5_000_000_000),
    };
    assert!(trade.is_legal() && !Trade { budget: 0, ..least }.is_legal());
    assert_eq!(loads(&format!("{LEAST}\n{terms}")).spec.trade, Some(trade));
}

#[test]
fn windows_and_overrides_are_put_in_order() {
    let spec = loads(
        "tickers: [{symbol: A, tolerances: [{window: 60m, tolerance: '1'}, {window: 5m, tolerance: '2'}]}]\n\
         windows: [{duration: 60m, tolerance: '3'}, {duration: 5m, tolerance: '4'}]\n\
         kafka: {bootstrapServers: 'localhost:9092'}",
    )
    .spec;
    assert_eq!(spec.windows.iter().map(|w| w.minutes).collect::<Vec<_>>(), [5, 60]);
    assert_eq!(spec.tickers[0].overrides.iter().map(|w| w.minutes).collect::<Vec<_>>(), [5, 60]);
}

#[test]
fn what_the_api_server_adds_is_read_or_passed_over() {
    let loaded = load(
        &json!({
            "apiVersion": "stockwatch.dev/v1alpha1", "kind": "StockWatch",
            "metadata": {
                "name": "tech", "namespace": "prod", "uid": "u-1", "generation": 7, "creationTimestamp": null,
                "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
            },
            "spec": {"tickers": [{"symbol": "META"}], "kafka": {"bootstrapServers": "localhost:9092"}},
            "status": {"conditions": 5},
        })
        .to_string(),
    )
    .unwrap();
    assert_eq!((loaded.uid.as_str(), loaded.generation), ("u-1", Some(7)));
    assert_eq!(loaded.spec.kafka.group_id, "prod.tech");
    assert!(loaded.ignored.is_empty(), "{:?}", loaded.ignored);
}

#[test]
fn unknown_fields_are_named_and_ignored() {
    let loaded = loads(
        "tickers: [{symbol: META}, {symbol: IBM, nmae: ibm}]\nsorce: {}\n\
         kafka: {bootstrapServers: 'localhost:9092', topics: {rawInput: {'a b': 1}}}",
    );
    let mut ignored = loaded.ignored;
    ignored.sort();
    assert_eq!(ignored, ["spec.kafka.topics.rawInput[\"a b\"]", "spec.sorce", "spec.tickers[1].nmae"]);
}

#[test]
fn every_problem_is_reported_at_once_with_its_path() {
    let found = problems(&with_spec(
        "tickers: [{symbol: META, name: 5}, {symbol: A B}, {name: x}]\n\
         windows: [{duration: 1h, tolerance: x}, {duration: 5m}]\nkafka: {topics: 3, tls: ~}",
    ));
    let expected = [
        "spec.kafka.tls: has no value",
        "spec.kafka.topics: 3 is not an object with fields",
        "spec.kafka.bootstrapServers: is required",
        "spec.tickers[0].name: 5 is not a text: put it in quotes, \"5\"",
        "spec.tickers[2].symbol: is required",
        "spec.windows[1].tolerance: is required",
        "spec.windows[0].duration: \"1h\" is not a window: whole minutes from 1m to 1440m are allowed; write \"60m\"",
        "spec.windows[0].tolerance: \"x\" is not a tolerance",
        "spec.tickers[1].symbol: \"A B\" is not a symbol",
    ];
    for start in expected {
        assert!(
            found.iter().any(|line| line.starts_with(start)),
            "{start} is missing of\n{}",
            found.join("\n")
        );
    }
    assert_eq!(found.len(), expected.len(), "{}", found.join("\n"));
}

#[test]
fn a_bare_number_is_told_to_go_in_quotes() {
    let found = problems(&with_spec(&format!("{LEAST}\nwindows: [{{duration: 5m, tolerance: 0.5}}]")));
    assert_eq!(found, ["spec.windows[0].tolerance: 0.5 is not a text: put it in quotes, \"0.5\""]);
}

#[test]
fn words_that_kubectl_reads_as_booleans_are_refused_here_too_and_told_to_go_in_quotes() {
    let with =
        |symbols: &str| with_spec(&format!("tickers: [{symbols}]\nkafka: {{bootstrapServers: 'a:1'}}"));
    for (word, read_as) in [
        ("ON", "true"),
        ("on", "true"),
        ("Yes", "true"),
        ("Y", "true"),
        ("NO", "false"),
        ("N", "false"),
        ("Off", "false"),
    ] {
        let found = problems(&with(&format!("{{symbol: {word}}}")));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with(&format!("spec.tickers[0].symbol: {read_as} is not a text")),
            "{found:?}"
        );
        assert!(found[0].contains("put what you mean in quotes"), "{found:?}");
    }
    let spec = load(&with("{symbol: 'ON'}, {symbol: \"NO\"}, {symbol: 'Y'}")).unwrap().spec;
    assert_eq!(spec.tickers.iter().map(|t| t.symbol.as_str()).collect::<Vec<_>>(), ["ON", "NO", "Y"]);
}

#[test]
fn windows_in_other_units_are_answered_with_the_minutes_to_write() {
    for (text, minutes) in
        [("300s", "5m"), ("1h", "60m"), ("1h30m", "90m"), ("05m", "5m"), ("5", "5m"), ("5 min", "5m")]
    {
        let error = stockwatch_crds::parse_window(text).unwrap_err().to_string();
        assert!(error.ends_with(&format!("write \"{minutes}\"")), "{text}: {error}");
    }
    for text in ["90s", "0m", "1441m", "", "m", "5x", "-5m", "18446744073709551616h", "٥m"] {
        let error = stockwatch_crds::parse_window(text).unwrap_err().to_string();
        assert!(error.ends_with("are allowed"), "{text}: {error}");
    }
}

#[test]
fn two_tickers_of_one_name_have_their_own_reason() {
    let text =
        with_spec("tickers: [{symbol: A, name: x}, {symbol: B, name: x}]\nkafka: {bootstrapServers: 'a:1'}");
    match load(&text) {
        Err(LoadError::Invalid(invalid)) => assert_eq!(invalid.reason(), InvalidReason::DuplicateEntity),
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_of_secrets_are_as_named_else_as_usual_tools_write_them() {
    let kafka = |more: &str| {
        loads(&format!("tickers: [{{symbol: META}}]\nkafka: {{bootstrapServers: 'a:1', {more}}}")).spec.kafka
    };
    let pairs = |more: &str| -> Vec<(String, String)> {
        let client =
            kafka(&format!("tls: {{clientSecret: {{name: user{more}}}}}")).tls.unwrap().client.unwrap();
        client.pairs.into_iter().map(|pair| (pair.certificate, pair.key)).collect()
    };
    let pair = |certificate: &str, key: &str| (certificate.to_owned(), key.to_owned());
    let usual =
        [pair("tls.crt", "tls.key"), pair("user.crt", "user.key"), pair("fullchain.pem", "privkey.pem")];
    assert_eq!(pairs(""), usual);
    assert_eq!(pairs(", certKey: fullchain.pem"), [pair("fullchain.pem", "tls.key")]);
    let ca =
        |more: &str| kafka(&format!("tls: {{caSecret: {{name: ca{more}}}}}")).tls.unwrap().ca.unwrap().keys;
    assert_eq!(
        (ca(""), ca(", key: root.pem")),
        (vec!["ca.crt".into(), "cacerts.pem".into()], vec!["root.pem".into()])
    );
    let sasl = |more: &str| kafka(&format!("sasl: {{mechanism: SCRAM-SHA-512, {more}}}")).sasl.unwrap();
    let usual = sasl("secret: {name: user}");
    assert_eq!((usual.username, &*usual.password.key), (Username::Key("username".into()), "password"));
    assert_eq!(usual.file, Some(LoginFile::Plain));
    let named = sasl("username: ann, secret: {name: user, passwordKey: pw}");
    assert_eq!((named.username, &*named.password.key), (Username::Given("ann".into()), "pw"));
    assert_eq!(named.file, None, "a key that is named is the one");
    let oauth = "sasl: {mechanism: OAUTHBEARER, secret: {name: client}, oauth: {tokenUrl: 'https://a/t', caSecret: {name: c}}}";
    let client = kafka(&format!("tls: {{}}, {oauth}")).sasl.unwrap();
    assert_eq!(
        (client.username, &*client.password.key),
        (Username::Key("client-id".into()), "client-secret")
    );
    assert_eq!((client.oauth.unwrap().ca.unwrap().keys, client.file), (ca(""), Some(LoginFile::OAuth)));
}

#[test]
fn what_pods_are_given_is_bounded_in_bytes() {
    let worker = |length: usize| {
        let env: Vec<Value> =
            (0..4).map(|i| json!({"name": format!("V{i}"), "value": "v".repeat(length)})).collect();
        with_spec(&format!("{LEAST}\nworker: {{env: {}}}", json!(env)))
    };
    load(&worker(1_900)).unwrap();
    let found = problems(&worker(2_000));
    assert!(found.len() == 1 && found[0].starts_with("spec.worker: 8"), "{found:?}");
    assert!(found[0].contains("at most 8000 are allowed"), "{found:?}");
}

#[test]
fn the_secrets_that_pods_would_see_are_found_wherever_they_are_named() {
    let worker: WorkerSpec = serde_json::from_value(json!({
        "env": [
            {"name": "A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "k"}}},
            {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "not", "key": "k"}}},
            {"name": "C", "value": "plain"},
        ],
        "envFrom": [{"secretRef": {"name": "b"}}, {"configMapRef": {"name": "not"}}],
        "volumes": [
            {"name": "c", "secret": {"secretName": "c"}},
            {"name": "d", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "d"}}},
            {"name": "e", "projected": {"sources": [
                {"secret": {"name": "e"}}, {"configMap": {"name": "not"}}, {"secret": {"name": "f"}},
            ]}},
        ],
    }))
    .unwrap();
    assert_eq!(worker.pod_secrets().into_iter().collect::<Vec<_>>(), ["a", "b", "c", "d", "e", "f"]);
}

#[test]
fn what_is_no_stockwatch_is_said_in_a_sentence() {
    for (text, start) in [
        ("", "apiVersion is missing"),
        ("kind: [", "not one YAML or JSON document"),
        ("{\"kind\": 1, \"kind\": 2}", "not one YAML or JSON document"),
        ("a: 1\n---\nb: 2", "not one YAML or JSON document"),
        ("apiVersion: stockwatch.dev/v2\nkind: StockWatch", "apiVersion is \"stockwatch.dev/v2\""),
        ("apiVersion: stockwatch.dev/v1alpha1\nkind: Deployment", "kind is \"Deployment\""),
        ("apiVersion: stockwatch.dev/v1alpha1\nkind: StockWatch", "spec: is required"),
        (
            "apiVersion: stockwatch.dev/v1alpha1\nkind: StockWatch\nspec: 5\nmetadata: []",
            "metadata: a list is",
        ),
        (
            "apiVersion: stockwatch.dev/v1alpha1\nkind: StockWatch\nspec: 5\nmetadata: {name: a}",
            "spec: 5 is not",
        ),
    ] {
        let found = problems(text);
        assert!(found.iter().any(|line| line.starts_with(start)), "{text}: {found:?}");
        assert!(found.len() < 3, "{text}: {found:?}");
    }
    assert_eq!(load(&" ".repeat(MAX_BYTES + 1)), Err(LoadError::TooLong(MAX_BYTES + 1)));
}

#[test]
fn a_long_list_of_problems_is_cut() {
    let tickers: Vec<String> = (0..1000).map(|_| "{symbol: A B}".to_owned()).collect();
    let found = problems(&with_spec(&format!(
        "tickers: [{}]\nkafka: {{bootstrapServers: 'a:1'}}",
        tickers.join(",")
    )));
    assert_eq!(found.len(), 101);
    assert_eq!(found[100], "and 1899 more problems");
}

#[test]
fn alias_bombs_and_deep_nesting_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..30 {
        let alias = format!("*a{}", i - 1);
        bomb.push_str(&format!("a{i}: &a{i} [{}]\n", vec![alias; 10].join(", ")));
    }
    let flat = format!("a: &a [{}]\nb: [{}]", "x,".repeat(10_000), "*a,".repeat(1_000_000));
    let inputs = [
        bomb,
        flat,
        "[".repeat(MAX_BYTES),
        "{a: ".repeat(MAX_BYTES / 4),
        "- ".repeat(MAX_BYTES / 2),
        "? ".repeat(MAX_BYTES / 2),
        "&a ".repeat(MAX_BYTES / 3),
        "\"".repeat(MAX_BYTES),
        "[x,".repeat(60) + &"x,".repeat(1_000_000),
        (0..500_000).map(|i| format!("{i}:\n")).collect(),
        format!("a: &a {{<<: *a}}\n{}", "<<: *a\n".repeat(1000)),
    ];
    for input in inputs {
        let start: String = input.chars().take(20).collect();
        assert!(load(&input).is_err(), "{start}");
    }
}
