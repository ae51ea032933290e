//! A partition that cannot be restored is named where people look, in the conditions, with what to do about it.

use stockwatch_tests::{
    Broker, Cluster, Market, Namespace, Release, Scene, Topic, Until, condition, quote, soon, wait_for,
};

/// The partition that something is wrong with.
const BROKEN: i32 = 1;

#[test]
fn a_partition_that_cannot_be_restored_is_named_in_the_conditions_with_the_cure() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "partition");
    let scene = Scene::running(Broker::shared_for_pods(), &home, "tech", 1);
    let send = |round: u64| {
        for (partition, entity) in ["a", "b", "c"].into_iter().enumerate() {
            let price = format!("{}.5", 10 + round);
            let time = Market::START + 60 * round;
            scene.send_to(partition.try_into().unwrap(), &quote(entity, &price, time));
        }
        scene.settle();
    };
    (0..5).for_each(send);
    let table = scene.watch.topic(Topic::Table);
    let put = |value: Option<&str>| {
        let key = br#"{"stockwatch":"of-a-later-release"}"#;
        scene.producer.send(&table, Some(BROKEN), Some(key), value.map(str::as_bytes));
        scene.producer.flush();
    };
    put(Some("{}"));
    home.containers(&scene.pods()).swap_remove(0).kill();
    let partition = format!("partition {BROKEN}: ");
    wait_for(90, "the conditions name partition, record and cure", || {
        let watch = home.get(&scene.object());
        let says = |kind: &str| {
            let message = condition(&watch, kind)["message"].as_str().unwrap_or_default();
            [partition.as_str(), table.as_str(), "of-a-later-release", "tombstone"]
                .iter()
                .all(|word| message.contains(*word))
        };
        soon(says("Ready") && says("WorkerAvailable"), condition(&watch, "WorkerAvailable"))
    });
    put(None);
    home.wait(90, &scene.object(), &Until::ready());
    send(5);
    scene.assert_right();
}
