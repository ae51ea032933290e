//! One `helm install` and one `kubectl apply` on a bare cluster: the chart's development Kafka.

use serde_json::{Value, json};
use stockwatch_tests::{Alone, Namespace, Release, Until, soon, wait_for};

#[test]
fn the_chart_with_its_own_kafka_shows_alarms() {
    let alone = Alone::new();
    let cluster = alone.without_release();
    cluster.load_kafka();
    let home = Namespace::create(cluster, "first");
    let values = ["kafka.enabled=true", "kafka.image.repository=stockwatch-test-kafka"];
    let release = Release::install(cluster, home.name(), "stockwatch", &values);
    let mut first: Value = serde_yaml::from_str(include_str!("../../../../examples/first.yaml")).unwrap();
    first["spec"]["kafka"]["bootstrapServers"] = json!(format!("kafka.{}:9092", home.name()));
    home.apply(&serde_yaml::to_string(&first).unwrap()).unwrap();
    home.wait(120, "stockwatch/first", &Until::ready());
    let workers = home.endpoints("stockwatch.dev/name=first");
    let worker = workers.values().next().unwrap();
    wait_for(120, "alarms of made-up quotes", || {
        let seen = worker.metric("alarms", "");
        soon(seen > 3.0, seen)
    });
    drop(home);
    drop(release);
}
