//! Quotes that come as others write them: numbers as texts, marks and frames before them, another currency.

use stockwatch_tests::{Broker, Market, Raw, Scene, Topic};

const T: u64 = Market::START;

fn raw(value: impl Into<Vec<u8>>) -> Raw {
    Raw { key: None, value: Some(value.into()) }
}

/// A quote of `a` with price and time as written, and perhaps a currency.
fn quote(price: &str, time: impl std::fmt::Display, currency: Option<&str>) -> Raw {
    let currency = currency.map(|code| format!(r#","currency":"{code}""#)).unwrap_or_default();
    raw(format!(r#"{{"entityname":"a","currentstockprice":{price},"lastupdatedate":{time}{currency}}}"#))
}

#[test]
fn numbers_in_texts_are_read_and_written_as_numbers() {
    let scene = Scene::new(Broker::shared(), "texts", |watch| watch.windows = vec![(5, "0".into())]);
    let worker = scene.worker("w");
    for (i, (price, time)) in [
        ("\"512.340\"", "\"1700000000\""),
        ("51234e-2", "\"2023-11-14T22:13:21.5Z\""),
        ("\"5.1234E+2\"", "\"2023-11-15T00:13:22+02:00\""),
        ("\"512,34\"", "1700000003"),
        ("512.34", "\"2023-11-14T22:13:60Z\""),
        ("512.34", "\"yesterday\""),
    ]
    .into_iter()
    .enumerate()
    {
        scene.send_to(0, &quote(price, time, None));
        let Raw { value, .. } = quote("\"1.0\"", T + 100 + u64::try_from(i).unwrap(), None);
        scene.send_to(0, &raw([&b"\xef\xbb\xbf"[..], &value.clone().unwrap()].concat()));
        scene.send_to(0, &raw([&b"\0\0\0\0\x07"[..], &value.unwrap()].concat()));
    }
    let outputs = scene.assert_right();
    assert_eq!((outputs[0].accepted.len(), outputs[0].dead.len()), (9, 9));
    let first = &scene.read(Topic::Deduplicated)[0][0];
    assert_eq!(
        first.text(),
        r#"{"entityname":"a","currentstockprice":512.340,"lastupdatedate":1700000000,"isduplicate":false}"#
    );
    for (reason, count) in [("schema_framed", 6.0), ("price_not_a_number", 1.0), ("time_not_a_number", 2.0)] {
        assert_eq!(worker.metric_where("dead_letters", &format!("\"{reason}\"")), count, "{reason}");
    }
}

#[test]
fn a_quote_in_pence_does_not_move_an_average_in_pounds_also_after_a_restart() {
    let scene = Scene::new(Broker::shared(), "pence", |watch| watch.windows = vec![(5, "1%".into())]);
    let worker = scene.worker("w0");
    for i in 0..10 {
        scene.send_to(0, &quote("3.07", T + 60 * i, Some("GBP")));
        scene.send_to(0, &quote("307.7", T + 60 * i + 30, Some("GBp")));
    }
    scene.settle();
    assert_eq!(worker.metric_where("dead_letters", "\"other_currency\""), 10.0);
    worker.terminate();
    let _worker = scene.worker("w1");
    scene.send_to(0, &quote("307.7", T + 600, Some("GBp")));
    assert!(scene.read(Topic::Alarms)[0].is_empty());
    // A quarter of an hour after the last quote in pounds, pence it is.
    scene.send_to(0, &quote("307.7", T + 540 + 900, Some("GBp")));
    scene.send_to(0, &quote("400", T + 540 + 930, Some("GBp")));
    scene.send_to(0, &quote("3.08", T + 540 + 960, Some("GBP")));
    let outputs = scene.assert_right();
    assert_eq!((outputs[0].accepted.len(), outputs[0].dead.len()), (12, 12));
    let alarms = scene.read(Topic::Alarms).remove(0);
    assert_eq!(alarms.len(), 1);
    assert_eq!(alarms[0].json()["currency"], "GBp");
}

#[test]
fn of_two_prices_at_one_time_the_first_wins_and_the_other_is_counted_apart() {
    let scene = Scene::new(Broker::shared(), "other-price", |_| {});
    let worker = scene.worker("w");
    for price in ["1", "1.0", "2", "3"] {
        scene.send_to(0, &quote(price, T, None));
    }
    assert_eq!(scene.assert_right()[0].accepted.len(), 1);
    let counted = ["\"same\"", "\"other\""].map(|price| worker.metric_where("quotes_duplicate", price));
    assert_eq!(counted, [1.0, 2.0]);
}
