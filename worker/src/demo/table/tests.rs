#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn spec(text: &str) -> Spec {
    let document = format!(
        "apiVersion: stockwatch.dev/v1alpha1\nkind: StockWatch\nmetadata: {{name: demo}}\nspec: {{{text}, \
         kafka: {{bootstrapServers: 'kafka:9092'}}}}\n"
    );
    stockwatch_crds::load(&document).unwrap().spec
}

fn two() -> Spec {
    spec(
        "tickers: [{symbol: B, name: b}, {symbol: A, name: a, tolerances: [{window: 1m, tolerance: '0.5'}]}], \
         windows: [{duration: 1m, tolerance: '1%'}, {duration: 5m, tolerance: '2%'}]",
    )
}

pub(in super::super) fn quote(entity: &str, price: f64) -> ShownRecord {
    let value = format!(
        r#"{{"entityname":"{entity}","currentstockprice":{price},"lastupdatedate":1,"isduplicate":false}}"#
    );
    ShownRecord::Quote(DeduplicatedRecord::parse(value.as_bytes()).unwrap())
}

pub(in super::super) fn average(entity: &str, minutes: u32, average: i64, time: i64) -> ShownRecord {
    let (average, time) = (average * NANO, time * NANO);
    ShownRecord::Average(AverageRecord { entity: entity.into(), minutes, average, count: 1, time })
}

pub(in super::super) fn order(entity: &str) -> ShownRecord {
    let value = format!(
        r#"{{"entityname":"{entity}","type":"order","side":"invest","id":"1","account":"1","cash":1,"shares":0,"lastupdatedate":1,"generation":1}}"#
    );
    ShownRecord::Entry(Box::new(LedgerRecord::parse(value.as_bytes()).unwrap()))
}

fn alarm(entity: &str, time: i64) -> AlarmRecord {
    AlarmRecord {
        entity: entity.into(),
        minutes: 1,
        deviation: Some(NANO / 50),
        absolute_deviation: 2 * NANO,
        direction: Direction::Up,
        average: 102 * NANO,
        previous_average: 100 * NANO,
        tolerance: "1%".into(),
        price: Some(104 * NANO),
        quote_time: Some(time * NANO),
        symbol: None,
        currency: None,
        watch: "default/demo".into(),
        previous_time: Some((time - 60) * NANO),
        is_gap: false,
        episode: "0".into(),
        episode_start: Some(time * NANO),
        number: 1,
        episode_end: Some((time + 120) * NANO),
        generation: 1,
        time: time * NANO,
        id: String::new(),
    }
}

#[test]
fn every_ticker_has_a_row_in_the_specs_order_before_any_record_came() {
    let rows = Table::default().rows(&two());
    let names: Vec<_> = rows.iter().map(|row| row.entity.as_str()).collect();
    assert_eq!(names, ["b", "a"]);
    assert_eq!((rows[0].price.as_str(), rows[0].cells.len()), ("", 2));
    assert_eq!((rows[0].cells[0].average.as_str(), rows[0].cells[1].tolerance.as_str()), ("", "2%"));
}

#[test]
fn a_deviation_is_against_the_average_before_in_the_tolerances_own_terms() {
    let mut table = Table::default();
    for entity in ["a", "b"] {
        table.take(average(entity, 1, 100, 1));
        table.take(average(entity, 5, 50, 1));
        table.take(average(entity, 1, 101, 2));
    }
    let rows = table.rows(&two());
    assert_eq!(
        (rows[0].cells[0].average.as_str(), rows[0].cells[0].deviation.as_str()),
        ("101.0000", "+1.0000%")
    );
    assert_eq!(
        (rows[1].cells[0].tolerance.as_str(), rows[1].cells[0].deviation.as_str()),
        ("0.5", "+1.0000")
    );
    assert_eq!(rows[0].cells[1].deviation, "", "a first average has none before");
}

#[test]
fn a_cell_is_alarmed_until_its_next_average() {
    let mut table = Table::default();
    table.take(average("b", 1, 102, 2));
    table.take(ShownRecord::Alarm(Box::new(alarm("b", 2))));
    assert!(table.rows(&two())[0].cells[0].alarmed);
    assert!(!table.rows(&two())[0].cells[1].alarmed);
    table.take(average("b", 1, 102, 3));
    assert!(!table.rows(&two())[0].cells[0].alarmed);
    assert_eq!((table.alarm_count(), table.episode_count()), (1, 1));
}

#[test]
fn the_alarms_of_an_episode_are_one_line() {
    let mut table = Table::default();
    for number in 1..=3 {
        let time = i64::try_from(number).unwrap();
        let alarm = AlarmRecord { number, episode_start: Some(NANO), ..alarm("b", time) };
        table.take(ShownRecord::Alarm(Box::new(alarm)));
    }
    let other = AlarmRecord { minutes: 5, ..alarm("b", 3) };
    table.take(ShownRecord::Alarm(Box::new(other)));
    let lines: Vec<String> = table.episodes().map(episode_line).collect();
    assert!(lines[1].starts_with("00:00:01  b  1m  3 alarms  "), "{lines:?}");
    assert_eq!((lines.len(), table.episode_count(), table.alarm_count()), (2, 2, 4));
}

#[test]
fn the_profit_of_a_paper_account_is_the_sum_of_its_fills() {
    let mut table = Table::default();
    assert_eq!(table.paper(), None);
    let entry = |kind: &str, profit: &str| {
        let value = format!(
            r#"{{"entityname":"b","type":"{kind}","side":"uninvest","id":"1","account":"0"{profit},"cash":1,"shares":0,"lastupdatedate":1,"generation":1}}"#
        );
        ShownRecord::Entry(Box::new(LedgerRecord::parse(value.as_bytes()).unwrap()))
    };
    for (kind, profit) in [("order", ""), ("fill", r#","profit":-1.5"#), ("fill", r#","profit":4"#)] {
        table.take(entry(kind, profit));
    }
    let profits: Vec<_> = table.rows(&two()).iter().map(|row| row.profit).collect();
    assert_eq!(profits, [Some(5 * NANO / 2), None]);
    assert_eq!(table.paper().as_deref(), Some("paper profit: +2.50 in 2 fills"));
}

#[test]
fn an_edited_spec_shows_at_once() {
    let mut table = Table::default();
    table.take(average("a", 1, 100, 1));
    let rows =
        table.rows(&spec("tickers: [{symbol: A, name: a}], windows: [{duration: 1m, tolerance: '3%'}]"));
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].cells.len(), rows[0].cells[0].tolerance.as_str()), (1, "3%"));
    assert_eq!(rows[0].cells[0].average, "100.0000");
}

#[test]
fn a_wildcard_shows_whoever_comes_by_name() {
    let mut table = Table::default();
    for entity in ["z", "a", "c"] {
        table.take(quote(entity, 1.0));
    }
    let every = spec("tickers: [{symbol: c}, {symbol: '*'}], source: {external: {}}");
    let names: Vec<_> = table.rows(&every).into_iter().map(|row| row.entity).collect();
    assert_eq!(names, ["c", "a", "z"]);
}

#[test]
fn an_alarm_is_one_line() {
    let alarm = alarm("meta", 1_700_000_000);
    let line = episode_line(&alarm);
    assert_eq!(line, "22:13:20  meta  1m  1 alarm  +2.0000% (+2.0000)  tolerance 1%  gen 1");
    let odd = AlarmRecord { deviation: None, direction: Direction::Down, ..alarm };
    assert_eq!(episode_line(&odd), "22:13:20  meta  1m  1 alarm  (-2.0000)  tolerance 1%  gen 1");
}

#[test]
fn what_is_kept_is_bounded() {
    let mut table = Table::default();
    for n in 0..5000 {
        table.take(quote(&n.to_string(), 1.0));
        let alarm = AlarmRecord { episode: n.to_string(), ..alarm("a", 1) };
        table.take(ShownRecord::Alarm(Box::new(alarm)));
    }
    assert_eq!(table.entities.len(), ENTITIES);
    assert_eq!((table.episodes().count(), table.episode_count()), (EPISODES, 5000));
}
