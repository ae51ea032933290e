//! What is written to Kafka, byte for byte.

use serde_json::json;
use stockwatch_tests::{Broker, Isolation, Market, Raw, Record, Scene, Ticker, Topic, quote};

fn pairs(records: &[Record]) -> Vec<(String, String)> {
    records.iter().map(|record| (record.key_text(), record.text())).collect()
}

fn raw(key: Option<&str>, value: &str) -> Raw {
    Raw { key: key.map(|key| key.as_bytes().to_vec()), value: Some(value.as_bytes().to_vec()) }
}

#[test]
fn quotes_averages_and_alarms_are_written_byte_for_byte() {
    let scene = Scene::new(Broker::shared(), "bytes", |watch| {
        watch.tickers = vec![Ticker { symbol: "META".into(), name: Some("meta".into()), tolerances: vec![] }];
        watch.windows = vec![(5, "0.25".into()), (15, "0.09%".into())];
    });
    let _worker = scene.worker("w");
    scene.send_to(0, &quote("meta", "512.34", 1_700_000_000));
    scene.send_to(
        0,
        &raw(
            Some("\"meta\""),
            " {\"symbol\":\"META\", \"entityname\" : \"meta\",\"currentstockprice\":51334e-2,\"currency\":\"USD\",\"lastupdatedate\":1700000060.5 } \n",
        ),
    );
    scene.assert_right();
    assert_eq!(
        pairs(&scene.read(Topic::Deduplicated)[0]),
        [
            ("\"meta\"", r#"{"entityname":"meta","currentstockprice":512.34,"lastupdatedate":1700000000,"isduplicate":false}"#),
            (
                "\"meta\"",
                r#"{"symbol":"META", "entityname" : "meta","currentstockprice":51334e-2,"currency":"USD","lastupdatedate":1700000060.5 ,"isduplicate":false}"#
            ),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
    assert_eq!(
        pairs(&scene.read(Topic::Averages)[0]),
        [
            ("\"meta\"5", r#"{"entityname":"meta","windowtime":5,"stockpriceavg":512.34,"count":1,"lastupdatedate":1700000000}"#),
            ("\"meta\"15", r#"{"entityname":"meta","windowtime":15,"stockpriceavg":512.34,"count":1,"lastupdatedate":1700000000}"#),
            ("\"meta\"5", r#"{"entityname":"meta","windowtime":5,"stockpriceavg":512.84,"count":2,"lastupdatedate":1700000060.5}"#),
            ("\"meta\"15", r#"{"entityname":"meta","windowtime":15,"stockpriceavg":512.84,"count":2,"lastupdatedate":1700000060.5}"#),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
    let alarms = scene.read(Topic::Alarms).remove(0);
    let id = |record: &Record| record.json()["id"].as_str().unwrap().to_owned();
    let alarm = |minutes: u32, tolerance: &str, episode_end: &str, id: String| {
        let value = format!(
            concat!(
                r#"{{"entityname":"meta","windowtime":{},"deviation":0.000975914431823,"absolutedeviation":0.5,"#,
                r#""direction":"up","stockpriceavg":512.84,"previousstockpriceavg":512.34,"tolerance":"{}","#,
                r#""generation":1,"currentstockprice":513.34,"quotetime":1700000060.5,"symbol":"META","#,
                r#""currency":"USD","stockwatch":"{}/bytes","previouslastupdatedate":1700000000,"gap":false,"#,
                r#""episode":"{}","episodestart":1700000060.5,"alarmnumber":1,"episodeend":{},"#,
                r#""lastupdatedate":1700000060.5,"id":"{}"}}"#
            ),
            minutes, tolerance, scene.watch.namespace, id, episode_end, id
        );
        (format!("\"meta\"{minutes}"), value)
    };
    assert_eq!(
        pairs(&alarms),
        [
            alarm(5, "0.25", "1700000660.5", id(&alarms[0])),
            alarm(15, "0.09%", "1700001860.5", id(&alarms[1]))
        ]
    );
    assert_eq!(alarms[0].header("ce_time").as_deref(), Some("2023-11-14T22:14:20.5Z"));
}

#[test]
fn the_entity_is_that_of_the_value_whatever_the_key() {
    let names = ["plain", "with \"quotes\" and \\", "ünï ☂", "a/b<c>"];
    let scene = Scene::new(Broker::shared(), "keys", |watch| {
        watch.tickers = vec![];
        for (i, name) in names.iter().enumerate() {
            watch.tickers.push(Ticker {
                symbol: format!("S{i}"),
                name: Some((*name).into()),
                tolerances: vec![],
            });
        }
    });
    let _worker = scene.worker("w");
    for (i, name) in names.iter().enumerate() {
        let quoted = serde_json::to_string(name).unwrap();
        for (n, key) in
            [Some(quoted.as_str()), Some(*name), None, Some("other"), Some("")].into_iter().enumerate()
        {
            let value = String::from_utf8(quote(name, "1.5", 1_700_000_000 + n).value.unwrap()).unwrap();
            scene.send_to(i32::try_from(i).unwrap() % 3, &raw(key, &value));
        }
        // The same name, escaped otherwise by its writer.
        let escaped: String = name.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        let value =
            format!(r#"{{"entityname":"{escaped}","currentstockprice":2,"lastupdatedate":1700000060}}"#);
        scene.send_to(i32::try_from(i).unwrap() % 3, &raw(None, &value));
    }
    let outputs = scene.assert_right();
    assert_eq!(outputs.iter().map(|outputs| outputs.accepted.len()).sum::<usize>(), names.len() * 6);
}

#[test]
fn a_field_isduplicate_of_the_raw_quote_is_replaced() {
    let scene = Scene::new(Broker::shared(), "isduplicate", |_| {});
    let _worker = scene.worker("w");
    for (i, fields) in [
        r#""isduplicate":true,"entityname":"a","currentstockprice":1,"lastupdatedate":TIME"#,
        r#""entityname":"a","currentstockprice":1,"isduplicate":"x","lastupdatedate":TIME"#,
        r#""entityname":"a","currentstockprice":1,"lastupdatedate":TIME,"isduplicate":false"#,
        r#""entityname":"a","currentstockprice":1,"lastupdatedate":TIME,"x":"isduplicate","y":{"isduplicate":1}"#,
    ]
    .into_iter()
    .enumerate()
    {
        let value = format!("{{{}}}", fields.replace("TIME", &(1_700_000_000 + i).to_string()));
        scene.send_to(0, &raw(None, &value));
    }
    assert_eq!(scene.assert_right()[0].deduplicated.len(), 4);
}

#[test]
fn every_other_field_of_a_quote_is_kept_as_written() {
    let scene = Scene::new(Broker::shared(), "fields", |_| {});
    let _worker = scene.worker("w");
    let fields = [
        r#""symbol":"A","currency":"GBp""#,
        r#""checkpoint":1"#,
        r#""stockwatch":{"v":1}"#,
        r#""samples":[],"windows":null,"key":0.10"#,
        r#""currentstockprice":1"#,
        r#""":"","\u0061":"\ud83d\ude00""#,
        r#""large":1e400,"precise":0.1234567890123456789012345678901234567890"#,
    ];
    for (i, field) in fields.iter().enumerate() {
        let time = 1_700_000_000 + i;
        let value = format!(r#"{{{field},"entityname":"a","currentstockprice":2,"lastupdatedate":{time}}}"#);
        scene.send_to(0, &raw(None, &value));
    }
    assert_eq!(scene.assert_right()[0].deduplicated.len(), fields.len());
}

#[test]
fn dead_letters_keep_key_and_value_and_say_why_and_whence() {
    let scene = Scene::new(Broker::shared(), "letters", |_| {});
    let _worker = scene.worker("w");
    let binary: Vec<u8> = (0..=255).collect();
    for key in [None, Some(vec![]), Some(b"\"a\"".to_vec()), Some(binary.clone())] {
        for value in [None, Some(vec![]), Some(binary.clone()), Some(b"{}".to_vec()), Some(b" 7 ".to_vec())] {
            scene.send_to(1, &Raw { key: key.clone(), value });
        }
    }
    scene.send_to(1, &quote("a", "1", 1_700_000_000));
    let outputs = scene.assert_right();
    assert_eq!(outputs[1].dead.len(), 20);
}

#[test]
fn outputs_go_to_the_partition_of_their_raw_record_modulo_the_topics_partitions() {
    let scene = Scene::without_topics(Broker::shared(), "modulo", |_| {});
    for topic in Topic::ALL {
        let partitions = match topic {
            Topic::Raw | Topic::Table => 5,
            Topic::Averages => 7,
            _ => 2,
        };
        scene.create_topic(topic, partitions, &[]);
    }
    let _worker = scene.worker("w");
    for (partition, entity) in [(0, "a"), (1, "b"), (4, "c")] {
        for i in 0..3_u64 {
            scene.send_to(partition, &quote(entity, &format!("{}", 100 + i * 10), 1_700_000_000 + i));
            scene.send_to(partition, &quote(entity, "\"x\"", 1_700_000_000 + i));
        }
    }
    scene.settle();
    let counts = |topic| scene.read(topic).iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(counts(Topic::Deduplicated), [6, 3], "c of 4 beside a of 0, b in 1");
    assert_eq!(counts(Topic::Averages), [9, 9, 0, 0, 9, 0, 0]);
    assert_eq!(counts(Topic::Alarms), [12, 6]);
    assert_eq!(counts(Topic::DeadLetter), [6, 3]);
}

#[test]
fn topics_and_group_can_be_named() {
    let scene = Scene::new(Broker::shared(), "named", |watch| {
        for topic in Topic::ALL {
            watch.topics.insert(topic.field(), json!({"name": format!("seed_{}", topic.suffix())}));
        }
        watch.kafka.insert("groupId".into(), json!("seed-group"));
    });
    let _worker = scene.worker("w");
    scene.send(&quote("a", "1", 1_700_000_000));
    scene.assert_right();
}

#[test]
fn the_table_holds_the_last_accepted_quote_of_each_entity_after_an_orderly_stop() {
    let scene = Scene::new(Broker::shared(), "table", |_| {});
    let worker = scene.worker("w");
    scene.send_market(&mut Market::new(3, &["a", "b", "c"]), 500);
    let outputs = scene.assert_right();
    worker.terminate();
    for (partition, table) in scene.read(Topic::Table).iter().enumerate() {
        for entity in ["a", "b", "c"] {
            let key = serde_json::to_string(entity).unwrap();
            let quotes = outputs[partition].deduplicated.iter().filter(|quote| quote.0 == key);
            let quotes: Vec<serde_json::Value> =
                quotes.map(|quote| serde_json::from_str(&quote.1).unwrap()).collect();
            let Some(record) = table.iter().rev().find(|record| record.key_text() == key) else {
                assert!(quotes.is_empty(), "{entity} is not in table partition {partition}");
                continue;
            };
            let stored = record.json();
            assert_eq!(stored["isduplicate"], json!(false), "{stored}");
            let is_stored = |quote: &&serde_json::Value| {
                quote.as_object().unwrap().iter().all(|(field, value)| &stored[field] == value)
            };
            let at = quotes.iter().rposition(|quote| is_stored(&quote));
            assert!(at.is_some(), "the table's quote is one of the accepted ones: {stored}");
        }
    }
    // Everyone may read the table: compaction must keep the last of each key.
    assert_eq!(scene.topics.settings(&scene.watch.topic(Topic::Table))["cleanup.policy"], "compact");
}

#[test]
fn an_aborted_attempt_and_its_repetition_raise_alarms_of_the_same_id() {
    let scene =
        Scene::new(Broker::shared(), "ids", |watch| watch.windows = vec![(5, "0".into()), (10, "0".into())]);
    let mut market = Market::new(9, &["a", "b", "c"]);
    let feeder = scene.feed(Market::new(5, &["a", "b", "c"]), 2_000);
    for round in 1..=3 {
        let worker = scene.worker("w");
        scene.await_committed(round * 1_500);
        worker.kill();
    }
    feeder.stop();
    let _worker = scene.worker("w");
    scene.send_market(&mut market, 10);
    scene.assert_right();
    let topic = scene.watch.topic(Topic::Alarms);
    let ids = |isolation| -> std::collections::BTreeSet<String> {
        let records = scene.topics.read(&topic, isolation);
        records.iter().flatten().map(|record| record.json()["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(Isolation::Uncommitted), ids(Isolation::Committed));
}
