//! `kubectl edit` of what is hot: the running worker takes it, nothing is restarted, lost or judged twice.

use serde_json::json;
use stockwatch_tests::{Broker, Cluster, Market, Namespace, Release, Scene, Topic, Until, Watch};

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
    let event = home.events("Retuned", "tuned").pop().unwrap();
    assert!(event["message"].as_str().unwrap().contains("over the last 24 h"), "{event}");

    let refused = home.edit("stockwatch/tuned", "s/duration: 7m/duration: 300s/").unwrap_err();
    assert!(refused.contains("5m"), "it says what to write: {refused}");
    assert_eq!(home.get("stockwatch/tuned")["status"]["conditions"][0]["status"], json!("True"));
}
