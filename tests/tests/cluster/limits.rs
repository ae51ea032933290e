//! The largest StockWatches that the definition allows, on the real API server.

use serde_json::{Value, json};
use stockwatch_tests::{Broker, Cluster, Market, Namespace, Release, Scene, Topic, Until, Watch};

const TOLERANCE: &str = "999999999.999999999%";

/// 1000 tickers with the longest symbols and names, and as many tolerances as fit beside them.
fn tickers() -> Value {
    let ticker = |i: usize| {
        let tolerances: Vec<Value> =
            (1438..=1440).map(|m| json!({"window": format!("{m}m"), "tolerance": TOLERANCE})).collect();
        let mut ticker = json!({"symbol": format!("S{i:031}"), "name": format!("N{i:063}")});
        if i < 266 {
            ticker["tolerances"] = json!(tolerances);
        }
        ticker
    };
    (0..1000).map(ticker).collect()
}

/// Ten windows of the greatest lengths and tolerances.
fn windows() -> Value {
    (1431..=1440).map(|m| json!({"duration": format!("{m}m"), "tolerance": TOLERANCE})).collect()
}

/// All topics with the longest names, and 32 of the longest settings each, which no broker knows.
fn topics() -> Value {
    let config: Value = (0..32).map(|i| (format!("k{i:063}"), json!("v".repeat(256)))).collect();
    let topic = |topic: &Topic| {
        let settings =
            json!({"name": format!("{:t<249}", topic.suffix()), "partitions": 3, "config": config});
        (topic.field().to_owned(), settings)
    };
    Topic::ALL.iter().map(topic).collect()
}

/// As many bytes as the pods may be given.
fn env() -> Value {
    (0..4).map(|i| json!({"name": format!("V{i}"), "value": "v".repeat(1970)})).collect()
}

/// The StockWatch as a manifest.
fn manifest(name: &str, spec: &Value) -> String {
    let metadata = json!({"name": name});
    json!({"apiVersion": "stockwatch.dev/v1alpha1", "kind": "StockWatch", "metadata": metadata, "spec": spec})
        .to_string()
}

/// `kubectl apply` on the server's side, of a file that was applied on the client's side before.
fn apply_by_server(home: &Namespace, manifest: &str) -> Result<String, String> {
    let arguments = ["-n", home.name(), "apply", "--server-side", "--force-conflicts", "-f", "-"];
    Cluster::shared().try_kubectl_with(&arguments, manifest)
}

#[test]
fn the_largest_stockwatch_is_applied_and_edited_by_client_and_by_server() {
    let home = Namespace::create(Cluster::shared(), "largest");
    let _release = Release::shared();
    let name = "n".repeat(40);
    let mut spec = json!({
        "tickers": tickers(), "windows": windows(), "suspend": true,
        "source": {"yahoo": {"interval": "86400000ms", "baseUrl": format!("https://{}", "h".repeat(1016)), "userAgent": "u".repeat(256)}},
        "kafka": {
            "bootstrapServers": format!("{}:9092", "b".repeat(1019)), "topics": topics(),
            "groupId": "g".repeat(249),
            "tls": {
                "caSecret": {"name": "c".repeat(253), "key": "k".repeat(253)},
                "clientSecret": {"name": "c".repeat(253), "certKey": "k".repeat(253), "keyKey": "k".repeat(253)},
            },
            "sasl": {
                "mechanism": "OAUTHBEARER",
                "secret": {"name": "s".repeat(253), "usernameKey": "u".repeat(253), "passwordKey": "p".repeat(253)},
                "oauth": {
                    "tokenUrl": format!("https://{}", "o".repeat(1016)),
                    "scope": "s".repeat(512),
                    "extensions": format!("e={}", "v".repeat(1022)),
                    "caSecret": {"name": "c".repeat(253), "key": "k".repeat(253)},
                },
            },
        },
        "worker": {"env": env(), "priorityClassName": "p".repeat(253)},
    });
    home.apply(&manifest(&name, &spec)).unwrap();
    spec["windows"][9]["tolerance"] = json!("1%");
    let said = home.apply(&manifest(&name, &spec)).unwrap();
    assert!(said.contains("configured"), "{said}");
    spec["tickers"][0]["tolerances"][0]["tolerance"] = json!("2%");
    apply_by_server(&home, &manifest(&name, &spec)).unwrap();
    let said = home.edit(&format!("stockwatch/{name}"), "0,/tolerance: 2%/s//tolerance: 3%/").unwrap();
    assert!(said.contains("edited"), "{said}");
    spec["tickers"][0]["tolerances"][0]["tolerance"] = json!("3%");
    let stored = home.get(&format!("stockwatch/{name}"));
    assert_eq!(
        (&stored["spec"]["tickers"], &stored["spec"]["windows"]),
        (&spec["tickers"], &spec["windows"])
    );

    spec["tickers"][999]["name"] = json!("🚀".repeat(64));
    for refused in [home.apply(&manifest(&name, &spec)), apply_by_server(&home, &manifest(&name, &spec))] {
        let refused = refused.unwrap_err();
        assert!(refused.contains("the tickers have more than 180000 bytes"), "{refused}");
    }
}

#[test]
fn one_worker_computes_a_thousand_tickers_and_takes_edits_of_them() {
    let cluster = Cluster::shared();
    let _release = Release::shared();
    let broker = Broker::shared_for_pods();
    let home = Namespace::create(cluster, "thousand");
    let mut spec = json!({
        "tickers": tickers(), "windows": windows(), "source": {"external": {}},
        "kafka": {"bootstrapServers": broker.bootstrap()},
    });
    let object = |spec: &Value| {
        let metadata = json!({"namespace": home.name(), "name": "thousand"});
        json!({"metadata": metadata, "spec": spec})
    };
    Scene::without_topics(broker, "raw", |watch| *watch = Watch::of(&object(&spec))).create_topic(
        Topic::Raw,
        3,
        &[],
    );
    home.apply(&manifest("thousand", &spec)).unwrap();
    home.wait(120, "stockwatch/thousand", &Until::ready());
    home.wait(10, "stockwatch/thousand", &Until::status("tickers", 1000));
    let mut scene = Scene::applied(broker, &home.get("stockwatch/thousand"));
    let names = [0, 265, 999].map(|i| format!("N{i:063}"));
    let mut market = Market::new(9, &names.each_ref().map(String::as_str));
    let workers = home.pods("stockwatch.dev/name=thousand");
    assert_eq!(workers.len(), 1);
    for (round, tolerance) in ["0.01%", "0.02%", "0.03%"].into_iter().enumerate() {
        scene.send_market(&mut market, 100);
        scene.settle();
        spec["windows"][9]["tolerance"] = json!(tolerance);
        spec["tickers"][265]["tolerances"][0]["tolerance"] = json!(tolerance);
        let manifest = manifest("thousand", &spec);
        if round == 0 { home.apply(&manifest) } else { apply_by_server(&home, &manifest) }.unwrap();
        let live = home.get("stockwatch/thousand");
        scene.applied_again(&live);
        home.wait(30, "stockwatch/thousand", &Until::applied(scene.generation()));
    }
    scene.send_market(&mut market, 300);
    scene.assert_right();
    assert!(scene.read(Topic::Alarms).iter().flatten().count() > 0);
    assert_eq!(home.pods("stockwatch.dev/name=thousand"), workers, "no pod was replaced or restarted");
}
