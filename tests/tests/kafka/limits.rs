//! Records at every size limit.

use stockwatch_tests::{Broker, Market, Raw, Scene, Ticker, Topic, quote, soon, wait_for};

const T: u64 = Market::START;
const LARGEST: usize = 64 * 1024;

/// A quote of entity `a` padded to exactly so many bytes.
fn padded(time: u64, bytes: usize) -> Raw {
    let value = |padding: usize| {
        let padding = "x".repeat(padding);
        format!(r#"{{"entityname":"a","currentstockprice":1.5,"lastupdatedate":{time},"p":"{padding}"}}"#)
    };
    let value = value(bytes - value(0).len());
    assert_eq!(value.len(), bytes);
    Raw { key: Some(b"\"a\"".to_vec()), value: Some(value.into()) }
}

/// A scene whose raw topic takes records of some megabytes.
fn scene(name: &str) -> Scene<'static> {
    let scene = Scene::without_topics(Broker::shared(), name, |_| {});
    for topic in Topic::ALL {
        let settings: &[(&str, &str)] =
            if topic == Topic::Raw { &[("max.message.bytes", "4000000")] } else { &[] };
        scene.create_topic(topic, 3, settings);
    }
    scene
}

fn sha256(value: &[u8]) -> String {
    use std::io::Write;
    let mut sum = std::process::Command::new("sha256sum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    sum.stdin.take().unwrap().write_all(value).unwrap();
    let output = String::from_utf8(sum.wait_with_output().unwrap().stdout).unwrap();
    output.split(' ').next().unwrap().to_owned()
}

#[test]
fn a_value_of_64_kib_is_a_quote_and_one_byte_more_is_not() {
    let scene = scene("value");
    let _worker = scene.worker("w");
    for (i, bytes) in [LARGEST - 1, LARGEST, LARGEST + 1, 2 * LARGEST, 900_000].into_iter().enumerate() {
        scene.send_to(0, &padded(T + u64::try_from(i).unwrap(), bytes));
    }
    let outputs = scene.assert_right();
    assert_eq!(outputs[0].accepted.len(), 2);
    assert_eq!(outputs[0].dead, [2, 3, 4].map(|offset| (offset, "value_too_large")));
}

#[test]
fn hundreds_of_the_largest_quotes_are_computed() {
    let scene = scene("many");
    for i in 0..300 {
        scene.send_to(0, &padded(T + i, LARGEST));
    }
    let _worker = scene.worker("w");
    assert_eq!(scene.assert_right()[0].accepted.len(), 300);
}

#[test]
fn what_the_dead_letter_topic_does_not_take_becomes_headers_with_size_and_digest() {
    let scene = Scene::without_topics(Broker::shared(), "letter", |_| {});
    for topic in Topic::ALL {
        let settings: &[(&str, &str)] = match topic {
            Topic::Raw => &[("max.message.bytes", "4000000")],
            Topic::DeadLetter => &[("max.message.bytes", "20000")],
            _ => &[],
        };
        scene.create_topic(topic, 3, settings);
    }
    let _worker = scene.worker("w");
    let mut random = fastrand::Rng::with_seed(1);
    let mut noise = |bytes: usize| (0..bytes).map(|_| random.u8(..)).collect::<Vec<u8>>();
    let large = [noise(30_000), noise(900_000), padded(T, 100_000).value.unwrap()];
    for value in &large {
        scene.send_to(0, &Raw { key: Some(b"key".to_vec()), value: Some(value.clone()) });
        scene.send_to(0, &quote("a", "1", T));
    }
    scene.send_to(0, &Raw { key: None, value: Some(noise(10_000)) });
    scene.send_to(0, &quote("a", "1", T + 1));
    scene.settle();
    let raw = scene.read(Topic::Raw).remove(0);
    let letters = scene.read(Topic::DeadLetter).remove(0);
    assert_eq!(letters.len(), 4);
    for (i, value) in large.iter().enumerate() {
        let reason = if value.len() > LARGEST { "value_too_large" } else { "not_json" };
        scene.assert_headers(&letters[i], &raw[2 * i], reason);
        assert!(letters[i].value.as_ref().is_none_or(Vec::is_empty), "nothing in its place");
        assert_eq!(letters[i].header("stockwatch-size"), Some(value.len().to_string()));
        assert_eq!(letters[i].header("stockwatch-sha256"), Some(sha256(value)));
    }
    assert_eq!(letters[3].value, raw[6].value, "what fits is kept");
    assert_eq!(scene.read(Topic::Deduplicated)[0].len(), 2);
}

#[test]
fn raw_records_larger_than_any_buffer_pass() {
    let scene = scene("megabytes");
    let _worker = scene.worker("w");
    for i in 0..5 {
        scene.send_to(0, &Raw { key: None, value: Some(vec![b'x'; 3_900_000]) });
        scene.send_to(0, &quote("a", "1", T + i));
    }
    scene.settle();
    assert_eq!(scene.read(Topic::DeadLetter)[0].len(), 5);
    assert_eq!(scene.read(Topic::Averages)[0].len(), 15);
}

#[test]
fn a_large_key_only_routes() {
    let scene = scene("key");
    let _worker = scene.worker("w");
    let key = Some(vec![b'k'; 500_000]);
    scene.send_to(0, &Raw { key: key.clone(), value: quote("a", "1", T).value });
    scene.send_to(0, &Raw { key, value: Some(b"bad".to_vec()) });
    scene.assert_right();
}

#[test]
fn a_name_of_64_characters_is_an_entity_and_one_more_is_not() {
    let names =
        ["x".repeat(64), "x".repeat(65), "é".repeat(64), "é".repeat(65), "☂".repeat(64), "x".repeat(10_000)];
    let scene = Scene::new(Broker::shared(), "name", |watch| watch.tickers = vec![Ticker::of("*")]);
    let _worker = scene.worker("w");
    for name in &names {
        scene.send_to(1, &quote(name, "1", T));
    }
    let outputs = scene.assert_right();
    assert_eq!(outputs[1].accepted.len(), 3);
    assert_eq!(outputs[1].dead, [1, 3, 5].map(|offset| (offset, "name_too_long")));
}

#[test]
fn tombstones_and_empty_values_are_dead_letters() {
    let scene = scene("empty");
    let _worker = scene.worker("w");
    for key in [None, Some(b"\"a\"".to_vec())] {
        scene.send_to(0, &Raw { key: key.clone(), value: None });
        scene.send_to(0, &Raw { key, value: Some(vec![]) });
    }
    scene.send_to(0, &quote("a", "1", T));
    let outputs = scene.assert_right();
    assert_eq!(outputs[0].dead, [0, 1, 2, 3].map(|offset| (offset, "not_json")));
}

#[test]
fn the_wildcard_takes_a_hundred_thousand_entities_for_each_partition_and_counts_the_rest() {
    let scene = Scene::new(Broker::shared(), "wild", |watch| {
        watch.tickers = vec![Ticker::of("*")];
        watch.windows = vec![(5, "1".into())];
    });
    for i in 0..100_050 {
        scene.send_to(0, &quote(&format!("e{i}"), "1", T));
    }
    scene.send_to(1, &quote("e100049", "1", T));
    scene.send_to(0, &quote("e99999", "1", T + 1));
    scene.send_to(0, &quote("e100000", "1", T + 1));
    let worker = scene.worker("w");
    scene.settle();
    assert_eq!(worker.metric("quotes_over_limit"), 51.0);
    assert_eq!(scene.read(Topic::Deduplicated).iter().map(Vec::len).collect::<Vec<_>>(), [100_001, 1, 0]);
    worker.terminate();
    // After a restart the same entities are the ones that are kept.
    let again = scene.worker("w");
    scene.send_to(0, &quote("e7", "1", T + 2));
    scene.send_to(0, &quote("e100001", "1", T + 2));
    scene.settle();
    assert_eq!(scene.read(Topic::Deduplicated)[0].len(), 100_002);
    assert_eq!(again.metric("quotes_over_limit"), 1.0);
}

#[test]
fn an_entity_of_the_wildcard_goes_once_the_raw_topic_has_no_quote_of_it() {
    let scene = Scene::new(Broker::shared(), "silent", |watch| {
        watch.tickers = vec![Ticker::of("*")];
        watch.windows = vec![(15, "0".into())];
    });
    let worker = scene.worker("w");
    for (i, entity) in (0..).zip(["silent", "other", "other"]) {
        scene.send_to(0, &quote(entity, "1", T + i));
    }
    scene.settle();
    worker.terminate();
    scene.topics.delete_records(&scene.watch.topic(Topic::Raw), 0, 1);
    let _worker = scene.worker("w");
    wait_for(30, "a tombstone", || {
        let table = scene.read(Topic::Table).swap_remove(0);
        let last = table.into_iter().rfind(|record| record.key_text() == r#""silent""#);
        soon(last.as_ref().is_some_and(|record| record.value.is_none()), last)
    });
    scene.send_to(0, &quote("silent", "2", T + 3));
    scene.send_to(0, &quote("other", "2", T + 3));
    scene.settle();
    let averages = scene.read(Topic::Averages).swap_remove(0);
    let counts: Vec<_> = averages[3..].iter().map(|average| average.json()["count"].clone()).collect();
    assert_eq!(counts, [1, 3]);
}

#[test]
fn a_window_of_a_day_with_thousands_of_quotes_survives_a_crash() {
    let scene = Scene::new(Broker::shared(), "day", |watch| {
        watch.tickers = vec![Ticker::of("a")];
        watch.windows = vec![(5, "0".into()), (1440, "0".into())];
    });
    let mut market = Market::new(12, &["a"]);
    let worker = scene.worker("w");
    scene.send_market(&mut market, 6_000);
    scene.settle();
    worker.kill();
    let worker = scene.worker("w2");
    scene.send_market(&mut market, 1_000);
    scene.settle();
    worker.terminate();
    let _worker = scene.worker("w3");
    scene.send_market(&mut market, 500);
    scene.assert_right();
    let largest =
        scene.read(Topic::Table).iter().flatten().map(|r| r.value.as_ref().map_or(0, Vec::len)).max();
    assert!(largest.unwrap() <= 256 * 1024, "a checkpoint record is at most 256 KiB, not {largest:?}");
    let metadata = scene.committed().into_values().map(|(_, metadata)| metadata.len()).max();
    assert!(metadata.unwrap() <= 4 * 1024, "the commit's metadata is at most 4 KiB, not {metadata:?}");
}

#[test]
fn a_stockwatch_of_a_thousand_tickers_is_edited_again_and_again_while_no_quote_comes() {
    let name = |i: u32| Some(format!("{i:04}{}", "ä".repeat(45)));
    let mut scene = Scene::new(Broker::shared(), "edited", |watch| {
        watch.tickers = (0..1000).map(|i| Ticker { name: name(i), ..Ticker::of(&format!("S{i}")) }).collect();
    });
    let worker = scene.worker("w");
    for i in 0..40 {
        scene.edit(|watch| watch.windows = vec![(5, "0.1%".into()), (10 + i, "0.1%".into())]);
        worker.await_applied(scene.generation());
        assert_eq!(worker.get("/readyz").unwrap().0, 200, "after edit {i}");
    }
    worker.kill();
    scene.worker("w").await_applied(scene.generation());
    let records = scene.read(Topic::Table).into_iter().flatten().filter_map(|record| record.value);
    let sizes: Vec<usize> = records.map(|value| value.len()).collect();
    assert!(sizes.iter().all(|size| *size <= 256 * 1024), "{sizes:?}");
    // Each partition has the whole list once or twice, however often it was edited.
    assert!(sizes.iter().sum::<usize>() < 2_000_000, "{sizes:?}");
}
