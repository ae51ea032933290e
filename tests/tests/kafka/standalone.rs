//! The program by itself: its command line, its files, its topics, its health.

use rdkafka::producer::BaseRecord;
use serde_json::json;
use stockwatch_tests::{Broker, Market, Scene, Topic, Watch, program, quote, run, soon, wait_for};

const T: u64 = Market::START;

#[test]
fn a_bad_file_ends_it_with_2_and_every_field_named() {
    let directory = tempfile::tempdir().unwrap();
    let good = Watch::new("bad-file", "127.0.0.1:9").text();
    let file = directory.path().join("watch.yaml");
    for (text, words) in [
        (
            good.replace("0.05%", "-1"),
            vec!["spec.windows[0].tolerance", "spec.windows[1].tolerance", "spec.windows[2].tolerance"],
        ),
        (good.replace("duration: 5m", "duration: 1h"), vec!["spec.windows[0].duration", "60m"]),
        (good.replace("bootstrapServers", "bootstrapServer"), vec!["spec.kafka.bootstrapServers"]),
        (good.replace("symbol: b", "symbol: a"), vec!["spec.tickers[1]"]),
        (good.replace("external: {}", "external: {}\n    simulated: {}"), vec!["spec.source"]),
        (
            good.replace("symbol: c", "symbol: '*'").replace("external: {}", "simulated: {}"),
            vec!["spec.tickers[2]"],
        ),
        (good.replace("kind: StockWatch", "kind: Deployment"), vec!["kind", "StockWatch"]),
        (good.replace("v1alpha1", "v9"), vec!["apiVersion", "stockwatch.dev/v1alpha1"]),
        ("a: [".into(), vec!["watch.yaml"]),
        (String::new(), vec!["watch.yaml"]),
    ] {
        std::fs::write(&file, &text).unwrap();
        let (status, output) = run(&["run", "--watch-file"], &file);
        assert_eq!(status.code(), Some(2), "{output}");
        assert!(words.iter().all(|word| output.contains(word)), "{words:?} in:\n{output}");
        assert!(!output.contains("panicked"), "{output}");
    }
    let (status, output) = run(&["run", "--watch-file"], &directory.path().join("none.yaml"));
    assert_eq!(status.code(), Some(2), "{output}");
    assert!(output.contains("none.yaml"), "{output}");
    let (status, output) = run(&["run", "--nonsense"], &file);
    assert_eq!(status.code(), Some(2), "{output}");
}

#[test]
fn missing_topics_are_created_as_the_file_says() {
    let scene = Scene::without_topics(Broker::shared(), "creates", |watch| {
        watch.topics.insert("rawInput", json!({"partitions": 4, "config": {"retention.ms": "86400000"}}));
        watch.topics.insert("deadLetter", json!({"partitions": 5, "replicationFactor": 1}));
    });
    let worker = scene.worker("w");
    let name = |topic| scene.watch.topic(topic);
    for topic in Topic::ALL {
        let partitions = if topic == Topic::DeadLetter { 5 } else { 4 };
        assert_eq!(scene.topics.partitions(&name(topic)), partitions, "{topic:?}");
    }
    assert_eq!(scene.topics.settings(&name(Topic::Raw))["retention.ms"], "86400000");
    assert_eq!(scene.topics.settings(&name(Topic::Table))["cleanup.policy"], "compact");
    assert_eq!(scene.topics.settings(&name(Topic::Raw))["message.timestamp.type"], "LogAppendTime");
    scene.send(&quote("a", "1", T));
    scene.settle();
    worker.terminate();
    // Started again it finds them, and changes nothing.
    let _worker = scene.worker("w");
    scene.send(&quote("a", "2", T + 1));
    scene.assert_right();
}

#[test]
fn a_writer_whose_clock_is_fast_mutes_no_entity_where_brokers_stamp() {
    let scene = Scene::without_topics(Broker::shared(), "fast-clock", |_| {});
    let _worker = scene.worker("w");
    let raw = scene.watch.topic(Topic::Raw);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let fast = quote("a", "1", now + 3_000);
    let (key, value) = (fast.key.unwrap(), fast.value.unwrap());
    let stamp = i64::try_from((now + 3_000) * 1_000).unwrap();
    scene.producer.send_record(BaseRecord::to(&raw).key(&key[..]).payload(&value[..]).timestamp(stamp));
    for second in 0..3 {
        scene.send(&quote("a", "2", now + second));
    }
    let outputs = scene.assert_right();
    let dead: Vec<&str> = outputs.iter().flat_map(|o| &o.dead).map(|(_, reason)| *reason).collect();
    let accepted: usize = outputs.iter().map(|outputs| outputs.accepted.len()).sum();
    assert_eq!((dead, accepted), (vec!["time_in_future"], 3));
    assert!(scene.read(Topic::Raw).concat().iter().all(|record| record.is_appended));
}

#[test]
fn a_raw_topic_and_a_table_of_different_partition_counts_are_named() {
    let scene = Scene::without_topics(Broker::shared(), "unequal", |_| {});
    for topic in Topic::ALL {
        scene.create_topic(topic, if topic == Topic::Table { 2 } else { 3 }, &[]);
    }
    let mut worker = scene.launch("w").start();
    worker.await_not_ready_or_exit(&[&scene.watch.topic(Topic::Raw), &scene.watch.topic(Topic::Table)]);
}

/// A topic that somebody made with a `cleanup.policy` that loses state.
fn is_refused(name: &str, topic: Topic, policy: &str, right: &str) {
    let scene = Scene::without_topics(Broker::shared(), name, |_| {});
    let lossy = scene.watch.topic(topic);
    for other in Topic::ALL {
        if other == topic {
            scene.topics.create(&lossy, 3, &[("cleanup.policy", policy)]);
        } else {
            scene.create_topic(other, 3, &[]);
        }
    }
    let mut worker = scene.launch("w").start();
    let cure = format!("--alter --topic {lossy} --add-config cleanup.policy={right}");
    worker.await_not_ready(&[&lossy, &format!("cleanup.policy={policy}"), &cure]);
    scene.send(&quote("a", "1", T));
    scene.topics.set(&lossy, &[("cleanup.policy", right)]);
    worker.await_ready();
    scene.assert_right();
}

#[test]
fn a_storage_table_that_expires_is_refused_until_its_policy_is_altered() {
    is_refused("expires", Topic::Table, "delete", "compact");
    is_refused("expires-too", Topic::Table, "compact,delete", "compact");
}

#[test]
fn a_raw_topic_that_is_compacted_is_refused_until_its_policy_is_altered() {
    is_refused("is-compacted", Topic::Raw, "compact", "delete");
}

#[test]
fn without_a_broker_it_is_not_ready_and_says_why_until_one_comes() {
    let broker = Broker::start();
    let scene = Scene::new(&broker, "late-broker", |_| {});
    broker.stop();
    let mut worker = scene.launch("w").start();
    worker.await_not_ready(&[broker.bootstrap()]);
    assert_eq!(worker.get("/livez").unwrap().0, 200, "it lives, and waits");
    broker.restart();
    worker.await_ready();
    scene.send_market(&mut Market::new(1, &["a", "b", "c"]), 100);
    scene.assert_right();
    // And again while it runs.
    broker.kill();
    worker.await_not_ready(&[]);
    assert_eq!(worker.get("/livez").unwrap().0, 200, "a broker's outage is no reason to be restarted");
    broker.restart();
    worker.await_ready();
    scene.send_market(&mut Market::new(2, &["a", "b", "c"]), 100);
    scene.assert_right();
    worker.terminate();
}

#[test]
fn without_a_broker_sigterm_ends_it_within_5_seconds_too() {
    let scene =
        Scene::without_topics(Broker::shared(), "no-broker", |watch| watch.bootstrap = "127.0.0.1:9".into());
    let mut worker = scene.launch("w").start();
    worker.await_not_ready(&["127.0.0.1:9"]);
    worker.terminate();
}

#[test]
fn sigterm_in_the_middle_of_an_outage_ends_it_within_5_seconds() {
    let broker = Broker::start();
    for (name, frozen) in [("outage-killed", false), ("outage-frozen", true)] {
        let scene = Scene::new(&broker, name, |_| {});
        let worker = scene.worker("w");
        let feeder = scene.feed(Market::new(4, &["a", "b", "c"]), 2_000);
        scene.await_committed(2_000);
        if frozen {
            broker.pause()
        } else {
            broker.kill()
        }
        worker.end();
        if frozen {
            broker.resume()
        } else {
            broker.restart()
        }
        let _worker = scene.worker("w");
        feeder.stop();
        scene.assert_right();
    }
}

#[test]
fn a_topic_deleted_under_it_is_named() {
    for topic in [Topic::Raw, Topic::Averages, Topic::Table] {
        let scene = Scene::new(Broker::shared(), &format!("deleted-{}", topic.suffix()), |_| {});
        let mut worker = scene.worker("w");
        scene.send(&quote("a", "1", T));
        scene.settle();
        scene.topics.delete(&scene.watch.topic(topic));
        if topic != Topic::Raw {
            scene.send(&quote("a", "2", T + 1));
        }
        worker.await_not_ready_or_exit(&[&scene.watch.topic(topic)]);
    }
}

#[test]
fn sigterm_commits_what_was_begun_and_leaves_the_group_at_once() {
    let scene = Scene::new(Broker::shared(), "sigterm", |_| {});
    let mut market = Market::new(3, &["a", "b", "c"]);
    for round in 0..4 {
        let feeder = scene.feed(Market::new(round, &["a", "b", "c"]), 2_000);
        let worker = scene.worker(&format!("w{round}"));
        scene.await_committed(1_000);
        worker.terminate();
        // Nothing is left open: a reader of committed records reaches the end without a successor.
        let committed = scene.progress();
        let fates: usize = [Topic::Deduplicated, Topic::DeadLetter]
            .map(|t| scene.read(t).iter().map(Vec::len).sum())
            .iter()
            .sum();
        assert!(fates > 0 && i64::try_from(fates).unwrap() <= committed);
        feeder.stop();
    }
    scene.send_market(&mut market, 10);
    let _worker = scene.worker("last");
    scene.assert_right();
}

#[test]
fn its_http_server_answers_what_an_operator_asks() {
    let scene = Scene::new(Broker::shared(), "http", |_| {});
    let mut worker = scene.worker("w");
    assert_eq!(worker.get("/livez").unwrap().0, 200);
    let (status, metrics) = worker.get("/metrics").unwrap();
    assert_eq!(status, 200);
    for family in
        ["quotes_consumed", "quotes_accepted", "averages", "alarms", "transactions_committed", "restores"]
    {
        assert!(metrics.contains(&format!("# TYPE stockwatch_{family} counter")), "{family} in\n{metrics}");
    }
    let config = worker.config();
    for field in ["uid", "generation", "appliedGeneration", "ignored", "error", "version"] {
        assert!(config.get(field).is_some(), "{field} in {config}");
    }
    let (status, text) = worker.get("/config?generation=1&wait=1s").unwrap();
    assert_eq!((status, text.contains("\"appliedGeneration\":1")), (200, true), "{text}");
    let (status, _) = worker.get("/config?generation=x&wait=1s").unwrap();
    assert_eq!(status, 400);
    assert_eq!(worker.get("/nothing").unwrap().0, 404);
    assert!(worker.runs());
}

/// Whether a worker answers at each of these addresses, in a network of its own that `setup` makes.
fn answers_at(addresses: &[&str], setup: &str) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("watch.yaml");
    std::fs::write(&file, Watch::new("network", "127.0.0.1:9").text()).unwrap();
    let probes = addresses.iter().map(|address| format!("http://{address}:8080/livez"));
    let script = format!(
        "set -eu; ip link set lo up; {setup}; \"$1\" run --watch-file \"$2\" & \
         curl -sSg --fail --retry 20 --retry-connrefused --retry-delay 1 {}; kill $!; wait $!",
        probes.collect::<Vec<_>>().join(" ")
    );
    let output = std::process::Command::new("unshare")
        .args(["--map-root-user", "--net", "bash", "-c", &script, "bash"])
        .args([&program(), &file])
        .output()
        .unwrap();
    assert!(output.status.success(), "{addresses:?}: {output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok\n".repeat(addresses.len()));
}

#[test]
fn it_answers_where_there_is_ipv6_alone_or_ipv4_alone_or_both() {
    answers_at(&["127.0.0.1", "[::1]"], "true");
    answers_at(&["[::1]"], "ip address delete 127.0.0.1/8 dev lo");
    answers_at(&["127.0.0.1"], "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6");
    // As a kernel without IPv6 answers.
    let no_ipv6 = r#"
        #include <errno.h>
        #include <sys/socket.h>
        #include <sys/syscall.h>
        #include <unistd.h>
        int socket(int domain, int type, int protocol) {
          if (domain != AF_INET6) return syscall(SYS_socket, domain, type, protocol);
          errno = EAFNOSUPPORT;
          return -1;
        }"#;
    let setup = format!("cc -shared -fPIC -o \"$2.so\" -x c - <<<'{no_ipv6}'; export LD_PRELOAD=\"$2.so\"");
    answers_at(&["127.0.0.1"], &setup);
}

#[test]
fn the_simulated_source_gives_quotes_that_are_computed() {
    let scene = Scene::without_topics(Broker::shared(), "simulated", |watch| {
        watch.source = json!({"simulated": {"interval": "50ms", "seed": 7}});
    });
    let worker = scene.worker("w");
    wait_for(60, "averages", || soon(worker.metric("averages") > 300.0, worker.metric("averages")));
    worker.terminate();
    let _worker = scene.worker("w"); // goes on where the other ended; its own quotes come on top
    wait_for(60, "more averages", || {
        let count = scene.read(Topic::Averages).iter().map(Vec::len).sum::<usize>();
        soon(count > 400, count)
    });
}

#[test]
fn two_stockwatches_on_one_broker_do_not_meet() {
    let one = Scene::new(Broker::shared(), "neighbour-one", |_| {});
    let two = Scene::new(Broker::shared(), "neighbour-two", |watch| watch.windows = vec![(7, "0".into())]);
    let _workers = (one.worker("w"), two.worker("w"));
    for scene in [&one, &two] {
        scene.send_market(&mut Market::new(6, &["a", "b", "c"]), 200);
        scene.assert_right();
    }
}
