//! `kubectl edit` of what is hot: the running worker takes it, nothing is restarted, lost or judged twice.

use serde_json::{Value, json};
use stockwatch_tests::{
    Broker, Cluster, Market, Namespace, Release, Scene, Topic, Until, Watch, soon, wait_for,
};

#[test]
fn edits_retune_the_running_workers_and_every_alarm_is_judged_by_the_tolerance_in_force() {
    let cluster = Cluster::shared();
    let broker = Broker::shared_for_pods();
    let _release = Release::shared();
    let home = Namespace::create(cluster, "edit");

    let mut watch = Watch::new("tuned", broker.bootstrap());
    watch.move_to(home.name());
    Scene::without_topics(broker, "raw", |other| *other = watch.clone()).create_topic(Topic::Raw, 3, &[]);
    home.apply(&watch.text()).unwrap();
    let mut scene = Scene::applied(broker, &home.get("stockwatch/tuned"));
    scene.scale(&home, 2);
    home.wait(120, "stockwatch/tuned", &Until::ready());
    home.wait(60, "stockwatch/tuned", &Until::status("readyReplicas", 2));
    let workers = home.pods("stockwatch.dev/name=tuned");
    assert_eq!(workers.len(), 2);

    let feeder = scene.feed(Market::new(4, &["a", "b", "c", "d"]), 300);
    for sed in [
        "s/tolerance: 0.05%/tolerance: 0.02%/",
        "/^  windows:$/a\\  - {duration: 7m, tolerance: \"0.3\"}",
        "/^  tickers:$/a\\  - {symbol: d, tolerances: [{window: 7m, tolerance: \"0.1\"}]}",
        "/- symbol: b/d",
        "s/tolerance: 0.02%/tolerance: \"1.5\"/",
    ] {
        let said = home.edit("stockwatch/tuned", sed).unwrap();
        assert!(said.contains("edited"), "{sed}: {said}");
        let live = home.get("stockwatch/tuned");
        scene.applied_again(&live);
        // It passes for this edit, not for what was said of the spec before it.
        home.kubectl(&["wait", "--for=condition=Ready", "stockwatch/tuned", "--timeout=30s"]);
        let waited = home.get("stockwatch/tuned");
        assert_eq!(
            waited["status"]["appliedGeneration"], waited["metadata"]["generation"],
            "{sed}: {waited}"
        );
        home.wait(30, "stockwatch/tuned", &Until::applied(scene.generation()));
        scene.await_progress(150); // judged by what this edit says
    }
    feeder.stop();
    scene.assert_right();
    assert_eq!(home.pods("stockwatch.dev/name=tuned"), workers, "no pod was replaced or restarted");

    home.wait(90, "stockwatch/tuned", &Until::evaluated(scene.generation()));
    let edit = &home.get("stockwatch/tuned")["status"]["lastEdit"];
    assert_eq!((&edit["hours"], &edit["complete"]), (&json!(24), &json!(true)), "{edit}");
    assert!(edit["alarmsBefore"].as_u64() > edit["alarmsAfter"].as_u64(), "the tolerance is larger: {edit}");
    let generation = format!("generation {}: ", scene.generation());
    let said = home.await_event(30, "Retuned", "tuned", |message| message.starts_with(&generation));
    assert!(said.contains("over the last 24 h"), "{said}");

    // As the pod computes with it, and with the pod's own way to Kafka.
    let whatif =
        ["exec", "deploy/tuned-stockwatch", "--", "stockwatch-worker", "whatif", "--set", "5m=0.01%"];
    let table = home.kubectl(&whatif);
    let named = format!("StockWatch {}/tuned, generation {}\n", home.name(), scene.generation());
    assert!(table.starts_with(&named), "{table}");
    let alarms = |rules: &str| -> u64 {
        let row = table.lines().find_map(|line| line.strip_prefix(rules)?.trim_start().strip_prefix("all"));
        let number = row.and_then(|row| row.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("no alarms of {rules}: {table}"))
    };
    assert!(alarms("5m=0.01%") > alarms("in force"), "the tolerance is smaller: {table}");

    let refused = home.edit("stockwatch/tuned", "s/duration: 7m/duration: 300s/").unwrap_err();
    assert!(refused.contains("5m"), "it says what to write: {refused}");
    assert_eq!(home.get("stockwatch/tuned")["status"]["conditions"][0]["status"], json!("True"));
}

const TECH: &str = "stockwatch/tech";

/// The changes that the status lists, the newest first: generation, ticker, window, from and to, or how many.
fn listed(home: &Namespace) -> Vec<String> {
    let edits = home.get(TECH)["status"]["edits"].clone();
    let text = |edit: &Value| {
        assert!(edit["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{edit}");
        let part = |field: &str| edit[field].as_str().unwrap_or("-").to_owned();
        let what = match edit["changes"].as_u64() {
            Some(count) => format!("{count} changes"),
            None => ["ticker", "window", "from", "to"].map(part).join(" "),
        };
        format!("{} {what}", edit["generation"])
    };
    edits.as_array().into_iter().flatten().map(text).collect()
}

/// Edits the spec, and waits until the operator has seen it.
fn edit(home: &Namespace, spec: &Value) -> u64 {
    let generation = home.patch(TECH, &json!({"spec": spec}))["metadata"]["generation"].as_u64().unwrap();
    home.wait(60, TECH, &Until::applied(generation));
    generation
}

fn windows(list: &[(&str, &str)]) -> Value {
    list.iter().map(|(duration, tolerance)| json!({"duration": duration, "tolerance": tolerance})).collect()
}

#[test]
fn changes_of_tolerances_are_listed_and_nothing_else_is() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "edits");
    home.simulate("tech", |watch| watch.windows = vec![(5, "1%".into()), (15, "2%".into())]);
    home.await_ready("tech");
    assert_eq!(listed(&home), Vec::<String>::new(), "a first apply is no edit");

    let first = edit(&home, &json!({"windows": windows(&[("5m", "1.5%"), ("7m", "3")])}));
    let changes = ["- 5m 1% 1.5%", "- 7m - 3", "- 15m 2% -"].map(|change| format!("{first} {change}"));
    assert_eq!(listed(&home), changes);
    edit(&home, &json!({"alarms": {"gaps": "Skip"}}));
    assert_eq!(listed(&home), changes, "no tolerance changed");

    // Nobody sees this edit when it is made.
    let paused = |value: Value| {
        home.patch(TECH, &json!({"metadata": {"annotations": {"stockwatch.dev/paused": value}}}));
    };
    paused(json!("true"));
    home.wait(60, TECH, &Until::because("Ready", "Paused"));
    let own = |window: &str, tolerance: &str| json!({"window": window, "tolerance": tolerance});
    let tickers = |own: &[Value]| -> Value {
        ["a", "b", "c"].iter().map(|symbol| json!({"symbol": symbol, "tolerances": own})).collect()
    };
    let mut one = tickers(&[]);
    one[1]["tolerances"] = json!([own("5m", "9%")]);
    home.patch(TECH, &json!({"spec": {"tickers": one}}));
    paused(Value::Null);
    let generation = home.get(TECH)["metadata"]["generation"].as_u64().unwrap();
    home.wait(60, TECH, &Until::applied(generation));
    assert_eq!(listed(&home)[0], format!("{generation} b 5m 1.5% 9%"));
    assert_eq!(listed(&home)[1..], changes);

    let large = edit(&home, &json!({"tickers": tickers(&[own("5m", "8%"), own("7m", "4")])}));
    assert_eq!(listed(&home)[0], format!("{large} 6 changes"));
    let copy = || home.get("configmap/tech-stockwatch")["data"]["stockwatch.json"].to_string();
    wait_for(30, "the workers' copy follows", || {
        soon(copy().contains(&format!(r#"\"generation\":{large}"#)), copy())
    });
}
