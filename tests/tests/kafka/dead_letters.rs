//! Bad records and a dead-letter topic that does not take them as they are: the loop never stops, and whatever is not
//! written is said.

use std::time::{SystemTime, UNIX_EPOCH};

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use stockwatch_tests::{Broker, Market, Raw, Record, Scene, Topic, quote};

use crate::security;

const T: u64 = Market::START;

/// A scene whose dead-letter topic has these settings, and whose raw topic takes records of some megabytes.
fn scene(name: &str, settings: &[(&str, &str)]) -> Scene<'static> {
    let scene = Scene::without_topics(Broker::shared(), name, |_| {});
    create_topics(&scene, settings);
    scene
}

fn create_topics(scene: &Scene, settings: &[(&str, &str)]) {
    for topic in Topic::ALL {
        let settings = match topic {
            Topic::Raw => &[("max.message.bytes", "4000000")],
            Topic::DeadLetter => settings,
            _ => &[],
        };
        scene.create_topic(topic, 3, settings);
    }
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    (0..bytes).map(|_| random.u8(..)).collect()
}

fn bad(key: Option<&str>, value: Option<Vec<u8>>) -> Raw {
    Raw { key: key.map(|key| key.as_bytes().to_vec()), value }
}

/// The key of a dead letter whose raw record has none.
fn source(scene: &Scene, raw: &Record) -> Vec<u8> {
    format!("{}/{}/{}", scene.watch.topic(Topic::Raw), raw.partition, raw.offset).into_bytes()
}

#[test]
fn a_compacted_dead_letter_topic_takes_bad_records_of_every_kind() {
    let scene = scene("compacted", &[("cleanup.policy", "compact")]);
    let worker = scene.worker("w");
    let records = [
        (bad(None, Some(b"bad".to_vec())), "not_json"),
        (bad(None, None), "not_json"),
        (bad(None, Some(vec![])), "not_json"),
        (bad(Some(""), Some(b"{}".to_vec())), "no_entity"),
        (bad(Some("\"a\""), Some(b"[]".to_vec())), "not_an_object"),
        (bad(Some("\"a\""), None), "not_json"),
        (bad(None, Some(noise(100_000))), "value_too_large"),
        (bad(None, Some(noise(2_000_000))), "value_too_large"),
        (bad(Some(&"k".repeat(2_000_000)), Some(b"bad".to_vec())), "not_json"),
    ];
    for (record, _) in &records {
        scene.send_to(0, record);
        scene.send_to(0, &quote("a", "1", T));
    }
    scene.settle();
    let (raw, letters) = (scene.read(Topic::Raw).remove(0), scene.read(Topic::DeadLetter).remove(0));
    for (i, (record, reason)) in records.iter().enumerate() {
        let (raw, letter) = (&raw[2 * i], &letters[i]);
        scene.assert_headers(letter, raw, reason);
        let bytes = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
        let fits = bytes(&record.key) + bytes(&record.value) < 1_000_000;
        let key = raw.key.clone().filter(|_| fits).unwrap_or_else(|| source(&scene, raw));
        assert_eq!(letter.key, Some(key), "{reason}, record {i}");
        assert_eq!(letter.value, raw.value.clone().filter(|_| fits), "{reason}, record {i}");
    }
    assert_eq!(letters.len(), records.len());
    assert_eq!(worker.metric("transactions_aborted"), 0.0, "no broker refused anything");
    assert_eq!(worker.metric("dead_letters_lost"), 0.0);
}

#[test]
fn a_dead_letter_keeps_its_records_headers_and_gives_the_quote_once_it_is_put_back_by_its_own() {
    let scene = Scene::new(Broker::shared(), "put-back", |_| {});
    let _worker = scene.worker("w");
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    // Stamped 50 minutes before its own time.
    let early = quote("a", "1", now);
    let header = |key, value| Header { key, value };
    let headers = OwnedHeaders::new()
        .insert(header("trace", Some("7")))
        .insert(header("stockwatch-reason", Some("of an earlier one")))
        .insert::<str>(header("empty", None));
    let (topic, key, value) = (scene.watch.topic(Topic::Raw), early.key.unwrap(), early.value.unwrap());
    let record = BaseRecord::to(&topic).partition(2).key(&key[..]).payload(&value[..]);
    scene.producer.send_record(record.timestamp((now - 3_000) * 1_000).headers(headers));
    scene.send_to(0, &quote("b", "1", T));
    assert_eq!(scene.assert_right()[2].dead, [(0, "time_in_future")]);
    let letter = scene.read(Topic::DeadLetter)[2][0].clone();
    let names = letter.headers.iter().map(|(name, _)| name.as_str());
    assert_eq!(names.filter(|name| ["trace", "stockwatch-reason", "empty"].contains(name)).count(), 3);
    assert_eq!(letter.header("trace").as_deref(), Some("7"));

    let of = |name: &str| letter.header(&format!("stockwatch-{name}")).unwrap();
    let (topic, partition) = (of("topic"), of("partition").parse().unwrap());
    let headers = letter.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
        headers.insert(Header { key, value: Some(value) })
    });
    let record = BaseRecord::to(&topic).partition(partition).headers(headers);
    let (key, value) = (letter.key.as_deref().unwrap(), letter.value.as_deref().unwrap());
    scene.producer.send_record(record.key(key).payload(value));
    let outputs = scene.assert_right();
    assert_eq!((outputs[2].accepted.len(), outputs[2].dead.len()), (1, 1));
}

#[test]
fn a_dead_letter_topic_that_takes_less_and_less_stops_nothing_and_what_is_lost_is_said() {
    let scene = scene("shrinks", &[]);
    let worker = scene.worker("w");
    let dead = scene.watch.topic(Topic::DeadLetter);
    let send = |time: u64| {
        for (key, bytes) in [(None, 10_000), (Some("k"), 20_000)] {
            scene.send_to(0, &bad(key, Some(noise(bytes))));
            scene.send_to(0, &quote("a", "1", T + time));
        }
        scene.settle();
        scene.read(Topic::DeadLetter).remove(0)
    };
    assert!(send(0).iter().all(|letter| letter.value.is_some()), "what fits is kept");
    scene.topics.set(&dead, &[("max.message.bytes", "2000")]);
    let described = send(1).split_off(2);
    assert_eq!(described.len(), 2);
    for letter in &described {
        assert_eq!((&letter.key, &letter.value), (&None, &None));
        assert!(letter.header("stockwatch-sha256").is_some());
    }
    scene.topics.set(&dead, &[("max.message.bytes", "100")]);
    assert_eq!(send(2).len(), 4, "nothing fits");
    assert_eq!(worker.metric("dead_letters"), 6.0, "each is counted once, however often it was tried");
    assert_eq!(worker.metric("dead_letters_lost"), 2.0);
    assert_eq!(worker.metric("quotes_accepted"), 3.0);
    let log = worker.log();
    let lost: Vec<&str> = log.lines().filter(|line| line.contains("a bad record is lost")).collect();
    for offset in [8, 10] {
        assert!(lost.iter().any(|line| line.contains(&format!("offset={offset} "))), "{offset} in {lost:?}");
    }
}

/// What brokers refuse is found out record by record where they do not tell why.
#[test]
fn a_dead_letter_topic_whose_settings_are_hidden_stops_nothing() {
    let scene = Scene::without_topics(Broker::shared(), "hidden", security::secured);
    create_topics(&scene, &[("cleanup.policy", "compact"), ("max.message.bytes", "2000")]);
    let (stream, dead) = (scene.watch.topic(Topic::Deduplicated), scene.watch.topic(Topic::DeadLetter));
    scene.topics.set(&stream, &[("max.message.bytes", "2000")]);
    for topic in [&stream, &dead] {
        Broker::shared().hide_settings(topic);
    }
    let mut worker = security::launch(&scene, &Broker::shared().login().password).start();
    worker.await_ready();
    assert!(worker.log().contains("settings cannot be read"), "{}", worker.log());
    let padded = format!(
        r#"{{"entityname":"a","currentstockprice":1,"lastupdatedate":{T},"p":"{}"}}"#,
        "x".repeat(3_000)
    );
    scene.send_to(0, &bad(None, Some(b"bad".to_vec())));
    scene.send_to(0, &bad(Some("k"), Some(noise(10_000))));
    scene.send_to(0, &Raw { key: None, value: Some(padded.into()) });
    scene.send_to(0, &quote("a", "2", T + 1));
    scene.settle();
    let (raw, letters) = (scene.read(Topic::Raw).remove(0), scene.read(Topic::DeadLetter).remove(0));
    for (i, (reason, key, value)) in [
        ("not_json", source(&scene, &raw[0]), Some(b"bad".to_vec())),
        ("not_json", source(&scene, &raw[1]), None),
        ("unwritable", source(&scene, &raw[2]), None),
    ]
    .into_iter()
    .enumerate()
    {
        scene.assert_headers(&letters[i], &raw[i], reason);
        assert_eq!((&letters[i].key, &letters[i].value), (&Some(key), &value), "{reason}, record {i}");
    }
    assert_eq!(letters.len(), 3);
    assert_eq!(scene.read(Topic::Deduplicated)[0].len(), 1);
    assert_eq!(scene.read(Topic::Averages)[0].len(), 6, "both quotes count");

    scene.topics.set(&dead, &[("cleanup.policy", "compact"), ("max.message.bytes", "100")]);
    scene.send_to(0, &bad(None, Some(b"bad".to_vec())));
    scene.send_to(0, &quote("a", "3", T + 2));
    scene.settle();
    worker.await_metric("dead_letters_lost", "", 1.0);
    assert_eq!(worker.metric("dead_letters"), 4.0);
    assert_eq!(scene.read(Topic::Averages)[0].len(), 9);
}

/// Where its settings are told, the worker says so before it writes anything.
#[test]
fn a_table_that_takes_too_little_and_hides_its_settings_is_named_until_it_takes_enough() {
    let scene = Scene::without_topics(Broker::shared(), "hidden-table", security::secured);
    create_topics(&scene, &[]);
    let table = scene.watch.topic(Topic::Table);
    scene.topics.set(&table, &[("max.message.bytes", "100"), ("cleanup.policy", "compact")]);
    Broker::shared().hide_settings(&table);
    let mut worker = security::launch(&scene, &Broker::shared().login().password).start();
    scene.send_to(0, &quote("a", "1", T));
    worker.await_not_ready(&[&table, "max.message.bytes", "DESCRIBE_CONFIGS"]);
    scene.topics.set(&table, &[("max.message.bytes", "1048588"), ("cleanup.policy", "compact")]);
    worker.await_ready();
    assert_eq!(scene.assert_right()[0].accepted.len(), 1);
}
