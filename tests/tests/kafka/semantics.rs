//! What is computed, against the oracle, over Kafka.

use rdkafka::producer::BaseRecord;
use serde_json::json;
use stockwatch_tests::{Broker, Market, Raw, Scene, Ticker, Topic, Worker, quote};

const T: u64 = Market::START;

fn raw(value: impl Into<Vec<u8>>) -> Raw {
    Raw { key: None, value: Some(value.into()) }
}

/// The counters of one worker that computed everything are what the outputs say.
fn assert_counted(worker: &Worker, scene: &Scene) {
    let outputs = scene.assert_right();
    let sum = |of: &dyn Fn(&stockwatch_tests::Outputs) -> usize| outputs.iter().map(of).sum::<usize>();
    let metric = |name: &str| worker.metric(name);
    let expected = |count: usize| f64::from(u32::try_from(count).unwrap());
    assert_eq!(metric("quotes_accepted"), expected(sum(&|o| o.accepted.len())));
    assert_eq!(metric("averages"), expected(sum(&|o| o.averages.len())));
    assert_eq!(metric("dead_letters"), expected(sum(&|o| o.dead.len())));
    for reason in ["not_json", "no_entity", "no_price", "price_not_finite", "time_in_milliseconds"] {
        let dead = sum(&|o| o.dead.iter().filter(|dead| dead.1 == reason).count());
        assert_eq!(worker.metric_where("dead_letters", &format!("\"{reason}\"")), expected(dead), "{reason}");
    }
    let alarms: usize = scene.read(Topic::Alarms).iter().map(Vec::len).sum();
    assert_eq!(metric("alarms"), expected(alarms));
    let raw: usize = scene.read(Topic::Raw).iter().map(Vec::len).sum();
    assert_eq!(metric("quotes_consumed"), expected(raw));
    let rest = metric("quotes_duplicate") + metric("quotes_late_dropped") + metric("quotes_unlisted");
    let accounted = rest + metric("quotes_accepted") + metric("dead_letters");
    assert_eq!(accounted, expected(raw), "every record has exactly one fate");
}

#[test]
fn random_quotes_with_duplicates_late_and_bad_ones_give_what_the_oracle_says() {
    for seed in 1..=3 {
        let scene = Scene::new(Broker::shared(), &format!("random-{seed}"), |watch| {
            watch.tickers = ["a", "b", "c", "d", "e", "F"].map(Ticker::of).to_vec();
            watch.tickers[5].name = Some("é x".into());
            watch.tickers[1].tolerances = vec![(5, "0.75".into()), (60, "0".into())];
            watch.windows =
                vec![(1, "0".into()), (5, "0.05%".into()), (15, "0.25".into()), (60, "0.001%".into())];
        });
        let mut market = Market::new(seed, &["a", "b", "c", "d", "e", "é x"]);
        scene.send_market(&mut market, 700);
        let worker = scene.worker("w");
        scene.send_market(&mut market, 1_300);
        assert_counted(&worker, &scene);
    }
}

#[test]
fn the_wildcard_stands_for_every_entity_that_is_not_listed() {
    let scene = Scene::new(Broker::shared(), "wildcard", |watch| {
        watch.tickers = ["*", "b"].map(Ticker::of).to_vec();
        watch.tickers[0].tolerances = vec![(5, "0.1".into())];
        watch.tickers[1].tolerances = vec![(10, "0.2".into())];
    });
    let worker = scene.worker("w");
    scene.send_market(&mut Market::new(4, &["a", "b", "c", "*", " ", "a\u{1}\n"]), 1_000);
    assert_counted(&worker, &scene);
    assert_eq!(worker.metric("quotes_unlisted"), 0.0);
}

#[test]
fn a_difference_of_exactly_the_tolerance_is_no_alarm() {
    let scene = Scene::new(Broker::shared(), "exactly", |watch| {
        watch.tickers = ["abs", "rel", "zero", "down"].map(Ticker::of).to_vec();
        watch.windows = vec![(1, "1".into())];
        watch.tickers[1].tolerances = vec![(1, "1%".into())];
        watch.tickers[2].tolerances = vec![(1, "999999999%".into())];
        watch.tickers[3].tolerances = vec![(1, "0.000000001".into())];
    });
    let _worker = scene.worker("w");
    // Two minutes apart, so that each average is one price.
    let prices: [(&str, &[&str]); 4] = [
        ("abs", &["100", "101", "102.000000001", "101.000000001", "99.999999999", "98.9999999985"]),
        ("rel", &["100", "101", "102.01", "103.030100001", "-100", "-101", "-102.010000001", "100"]),
        ("zero", &["0", "0", "0.000000001", "0", "-0.000000001", "-0.0", "1e-10", "5"]),
        ("down", &["9000000000", "8999999999.999999999", "8999999999.999999997", "-9e9", "9000000000"]),
    ];
    for (entity, prices) in prices {
        for (i, price) in prices.iter().enumerate() {
            scene.send_to(0, &quote(entity, price, T + 120 * u64::try_from(i).unwrap()));
        }
    }
    scene.assert_right();
    let alarms = scene.read(Topic::Alarms).remove(0);
    let of = |entity: &str| alarms.iter().filter(|alarm| alarm.json()["entityname"] == json!(entity)).count();
    assert_eq!([of("abs"), of("rel"), of("zero"), of("down")], [3, 4, 3, 3]);
    assert!(
        alarms.iter().any(|alarm| alarm.json()["deviation"].is_null()),
        "null where the last average is 0"
    );
}

#[test]
fn prices_are_exact_to_the_ninth_place_and_sums_never_drift() {
    let scene = Scene::new(Broker::shared(), "exact", |watch| {
        watch.windows = vec![(1, "0".into()), (7, "0".into()), (1440, "0".into())];
    });
    let _worker = scene.worker("w");
    let mut random = fastrand::Rng::with_seed(11);
    for i in 0..400_u64 {
        let digits = random.i64(-9_000_000_000_000_000_000..=9_000_000_000_000_000_000);
        let price = match random.u8(0..4) {
            0 => format!("{digits}e-9"),
            1 => format!("{digits}{}E-10", random.u8(0..10)),
            2 => format!("0.{:018}", digits.unsigned_abs() / 10),
            _ => format!("{}.5e-9", random.i32(-1_000..1_000)),
        };
        let time = format!("{}.{:09}", T + i * 17, random.u32(0..1_000_000_000));
        scene.send_to(0, &quote("a", &price, time));
    }
    assert!(scene.assert_right()[0].accepted.len() > 390);
}

#[test]
fn duplicates_and_late_quotes_are_told_by_event_time_alone() {
    let scene = Scene::new(Broker::shared(), "times", |watch| {
        watch.windows = vec![(5, "0".into()), (15, "0".into())]
    });
    let worker = scene.worker("w");
    for (time, price) in [
        ("1700000000", "1"),
        ("1700000000.0", "2"),         // the same time otherwise written
        ("17e8", "3"),                 // and again
        ("1700000000.000000001", "4"), // another time
        ("1700000600", "5"),
        ("1700000000", "6"), // an older answer comes back
        ("1700000300", "7"), // outside (T-5m, T], inside 15m
        ("1700000300.000000001", "8"),
        ("1700000900", "9"),
        ("1700000000", "10"), // exactly 15 minutes old: outside, but once accepted; older than all windows
        ("1700000000.5", "11"),
        ("1700009000", "12"),
        ("1700000600", "13"), // far older than all windows
        ("1700009000", "14"), // the newest again
        ("0", "15"),
    ] {
        scene.send_to(2, &quote("a", price, time));
    }
    assert_counted(&worker, &scene);
    assert_eq!(worker.metric("quotes_late_dropped"), 3.0);
    assert_eq!(worker.metric("quotes_late_joined"), 3.0);
    assert_eq!(worker.metric("quotes_duplicate"), 4.0);
}

#[test]
fn an_entity_in_two_partitions_is_two_entities() {
    let scene = Scene::new(Broker::shared(), "two", |watch| watch.windows = vec![(5, "0".into())]);
    let _worker = scene.worker("w");
    for partition in [0, 1, 2, 0, 1, 2] {
        scene.send_to(partition, &quote("a", "1", T));
    }
    let outputs = scene.assert_right();
    assert!(outputs.iter().all(|outputs| outputs.accepted.len() == 1));
}

#[test]
fn an_entitys_clock_that_lags_its_neighbours_loses_no_quotes() {
    let scene = Scene::new(Broker::shared(), "lag", |watch| watch.windows = vec![(5, "0".into())]);
    let _worker = scene.worker("w");
    for i in 0..50 {
        scene.send_to(0, &quote("a", &format!("{i}"), T + 1_000_000 + i));
        scene.send_to(0, &quote("b", &format!("{i}"), T + i));
    }
    assert_eq!(scene.assert_right()[0].accepted.len(), 100);
}

#[test]
fn every_record_that_is_no_quote_is_a_dead_letter_and_stops_nothing() {
    let scene = Scene::new(Broker::shared(), "bad", |_| {});
    let worker = scene.worker("w");
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let good = |field: &str| {
        format!(r#"{{"entityname":"a","currentstockprice":1,"lastupdatedate":{T},"x":{field}}}"#)
    };
    let with = |price: &str, time: &str| {
        format!(r#"{{"entityname":"a","currentstockprice":{price},"lastupdatedate":{time}}}"#)
    };
    let time = T.to_string();
    let mut values: Vec<Vec<u8>> = vec![
        b"\xef\xbb\xbf{}".to_vec(),
        b"\xff\xfe".to_vec(),
        b"{\"entityname\":\"a\xff\"}".to_vec(),
        b"{\"entityname\":\"a\",\"currentstockprice\":1,\"lastupdatedate\":1700000000,\"x\":\"\xff\"}"
            .to_vec(),
        b"\0".to_vec(),
        deep.clone().into_bytes(),
        "[".repeat(60_000).into_bytes(),
        format!("{}1", "{\"a\":".repeat(10_000)).into_bytes(),
    ];
    let texts = [
        "null",
        "true",
        "1",
        "\"text\"",
        "[]",
        "{",
        "}",
        "{}x",
        "{} {}",
        "{\"a\":1,}",
        "{'a':1}",
        "   ",
        r#"{"entityname":null,"currentstockprice":1,"lastupdatedate":1}"#,
        r#"{"entityname":1,"currentstockprice":1,"lastupdatedate":1}"#,
        r#"{"entityname":["a"],"currentstockprice":1,"lastupdatedate":1}"#,
        r#"{"EntityName":"a","currentstockprice":1,"lastupdatedate":1}"#,
    ];
    values.extend(texts.map(|text| text.as_bytes().to_vec()));
    for price in [
        "null",
        "\"512,3\"",
        "true",
        "[1]",
        "{}",
        "\"\"",
        "\"Infinity\"",
        "\"-Infinity\"",
        "\"NaN\"",
        "NaN",
        "Infinity",
        "-Infinity",
        "1e300",
        "-1e300",
        "9000000001",
        "-9000000001",
        "1e99999999999",
        "0x1",
        "01",
        "1.",
        ".5",
        "+1",
        "1_0",
    ] {
        values.push(with(price, &time).into_bytes());
    }
    for at in [
        "null",
        "\"yesterday\"",
        "\"2023-11-14T22:13:20\"",
        "\"2023-11-14T22:13:60Z\"",
        "true",
        "[]",
        "1700000000000",
        "100000000000",
        "99999999999",
        "1e300",
        "1e99999999999",
        "NaN",
        "9e9",
    ] {
        values.push(with("1", at).into_bytes());
    }
    values.push(r#"{"entityname":"a","lastupdatedate":1700000000}"#.into());
    values.push(r#"{"entityname":"a","currentstockprice":1}"#.into());
    for (i, value) in values.iter().enumerate() {
        scene.send_to(0, &raw(value.clone()));
        // A good quote after each bad one.
        scene.send_to(0, &quote("b", "1", T + u64::try_from(i).unwrap()));
    }
    scene.send_to(0, &raw(good(&deep)));
    let outputs = scene.assert_right();
    assert_eq!(outputs[0].dead.len(), values.len());
    assert_eq!(outputs[0].accepted.len(), values.len() + 1);
    assert_eq!(worker.metric("quotes_accepted"), f64::from(u32::try_from(values.len()).unwrap() + 1));
}

#[test]
fn a_time_may_be_five_minutes_ahead_of_its_records_timestamp_and_no_more() {
    let scene = Scene::new(Broker::shared(), "ahead", |_| {});
    let _worker = scene.worker("w");
    let topic = scene.watch.topic(Topic::Raw);
    // Near the present: brokers expire records with old stamps and refuse those far ahead.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for time in [format!("{}", now + 300), format!("{}.001", now + 300), format!("{}", now - 3_000)] {
        let raw = quote("a", "1", time);
        let record = BaseRecord::to(&topic).partition(0).timestamp(i64::try_from(now * 1_000).unwrap());
        scene.producer.send_record(record.payload(&raw.value.unwrap()[..]));
    }
    let outputs = scene.assert_right();
    assert_eq!(
        (outputs[0].accepted.len(), outputs[0].dead.as_slice()),
        (1, [(1, "time_in_future")].as_slice())
    );
}
