//! Whether the outputs are what the oracle says: nothing lost, nothing twice, nothing else, in order.

use std::collections::BTreeMap;

use crate::decimal::{ONE, ratio};
use crate::oracle::{Accepted, Average, Fate, Mean};
use crate::topics::Record;
use crate::watch::Watch;

/// What should follow from one raw partition, alarms apart: keys and values, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// After-dedup records.
    pub deduplicated: Vec<(String, String)>,
    /// Averages.
    pub averages: Vec<(String, String)>,
    /// Dead letters: the raw record's offset and the reason.
    pub dead: Vec<(i64, &'static str)>,
    /// The accepted quotes, that the alarms follow from.
    pub accepted: Vec<Accepted>,
}

/// The outputs of a partition, given what became of its `raw` records.
pub fn outputs(raw: &[Record], fates: Vec<Fate>) -> Outputs {
    let mut outputs = Outputs::default();
    for (record, fate) in raw.iter().zip(fates) {
        match fate {
            Fate::Bad(reason) => outputs.dead.push((record.offset, reason)),
            Fate::Accepted(quote) => {
                outputs.deduplicated.push((name(&quote.entity), quote.deduplicated.clone()));
                outputs.averages.extend(quote.averages.iter().map(|average| {
                    let value = format!(
                        r#"{{"entityname":{},"windowtime":{},"stockpriceavg":{},"count":{},"lastupdatedate":{}}}"#,
                        name(&quote.entity),
                        average.minutes,
                        mean(average.mean),
                        average.mean.count,
                        ratio(quote.newest, ONE, 9),
                    );
                    (window_key(&quote.entity, average.minutes), value)
                }));
                outputs.accepted.push(*quote);
            }
            Fate::Duplicate | Fate::LateDropped | Fate::Unlisted => {}
        }
    }
    outputs
}

/// An alarm that was raised, for the episode of the next one: the oracle keeps all of them.
#[derive(Debug, Clone)]
struct Raised {
    /// The entity, the window, and since when both are there.
    of: (String, u32, i64),
    /// The quote's newest time.
    time: i128,
    /// The end of the episode that it promises.
    end: i128,
    /// Id and time of the episode's first alarm.
    first: (String, i128),
    number: u64,
}

/// The last alarm that an alarm of this entity and window joins by these settings.
fn joined<'a>(
    raised: &'a [Raised],
    quote: &Accepted,
    average: &Average,
    watch: &Watch,
) -> Option<&'a Raised> {
    let of = (quote.entity.clone(), average.minutes, average.since);
    let last = raised.iter().rev().find(|raised| raised.of == of)?;
    let quiet = watch.quiet(average.minutes);
    (quote.newest < last.end && quote.newest - last.time < quiet).then_some(last)
}

/// Panics where the alarms of one partition are not those of its accepted quotes.
///
/// `watches` are the StockWatches that held one after another, by generation. Which one judged a quote may
/// be known from its alarms only, but it never goes back: each quote is given the first generation, not
/// before that of the quote before, under which exactly its alarms are raised.
pub fn assert_alarms(quotes: &[Accepted], alarms: &[Record], watches: &BTreeMap<u64, Watch>) {
    let mut left = alarms;
    let mut since = *watches.keys().next().expect("a StockWatch");
    let mut raised: Vec<Raised> = Vec::new();
    for quote in quotes {
        let fits = watches.range(since..).find_map(|(generation, watch)| {
            let expected = watch.alarms(quote);
            if expected.len() > left.len() {
                return None;
            }
            let mut now = Vec::new();
            for ((average, tolerance), record) in expected.iter().zip(left) {
                let joined = joined(&raised, quote, average, watch);
                let alarm = Raised {
                    of: (quote.entity.clone(), average.minutes, average.since),
                    time: quote.newest,
                    end: quote.newest + watch.quiet(average.minutes),
                    first: joined.map_or_else(|| (id(record), quote.newest), |last| last.first.clone()),
                    number: joined.map_or(1, |last| last.number + 1),
                };
                if !is_alarm(record, quote, average, (tolerance, *generation), watch, &alarm) {
                    return None;
                }
                now.push((!watch.is_of_older(record)).then_some(alarm));
            }
            // Alarms that follow may not be this quote's as well, under a tolerance that it does not exceed.
            let more = left.get(expected.len()).is_some_and(|record| is_of(record, quote, watch));
            (!more).then_some((*generation, now))
        });
        let Some((generation, now)) = fits else {
            let got: Vec<String> = left.iter().take(4).map(Record::text).collect();
            let expected: Vec<_> =
                watches.range(since..).map(|(g, watch)| (g, watch.alarms(quote))).collect();
            panic!(
                "alarms of raw offset {}:\nexpected {expected:?}\nfor {quote:?}\ngot {got:#?}",
                quote.offset
            );
        };
        since = generation;
        left = &left[now.len()..];
        raised.extend(now.into_iter().flatten());
    }
    assert!(
        left.is_empty(),
        "alarms that nothing raised: {:#?}",
        left.iter().map(Record::text).collect::<Vec<_>>()
    );
    let mut ids: Vec<String> = alarms.iter().map(id).collect();
    ids.sort_unstable();
    let all = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), all, "two alarms with one id");
}

/// Panics where the headers of an alarm do not make it the CloudEvent that its value is.
pub(crate) fn assert_event(alarm: &Record, watch: &Watch) {
    let value = alarm.json();
    let source =
        format!("/apis/stockwatch.dev/v1alpha1/namespaces/{}/stockwatches/{}", watch.namespace, watch.name);
    for (name, expected) in [
        ("ce_specversion", "1.0"),
        ("ce_type", "dev.stockwatch.alarm.raised.v1"),
        ("ce_id", &id(alarm)),
        ("ce_source", &source),
        ("ce_subject", value["entityname"].as_str().unwrap_or_default()),
        ("content-type", "application/json"),
    ] {
        assert_eq!(alarm.header(name).as_deref(), Some(expected), "{name} of {value}");
    }
}

/// An alarm's id: 32 lowercase hex digits.
pub(crate) fn id(alarm: &Record) -> String {
    let id = alarm.json()["id"].as_str().unwrap_or_default().to_owned();
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    assert!(id.len() == 32 && id.chars().all(hex), "an id of 32 lowercase hex digits: {}", alarm.text());
    id
}

fn is_alarm(
    record: &Record,
    quote: &Accepted,
    average: &Average,
    (tolerance, generation): (&str, u64),
    watch: &Watch,
    raised: &Raised,
) -> bool {
    let Some(old) = average.previous else { return false };
    let new = average.mean;
    let difference = new.sum * old.count - old.sum * new.count;
    let deviation = match old.sum {
        0 => "null".into(),
        sum => ratio(difference.abs(), new.count * sum.abs(), 15),
    };
    let more = format!(
        concat!(
            r#""currentstockprice":{},"quotetime":{},{}{}"stockwatch":"{}/{}","previouslastupdatedate":{},"#,
            r#""gap":{},"episode":"{}","episodestart":{},"alarmnumber":{},"episodeend":{},"#
        ),
        ratio(quote.price, ONE, 9),
        ratio(quote.time, ONE, 9),
        label("symbol", quote.symbol.as_deref()),
        label("currency", quote.currency.as_deref()),
        watch.namespace,
        watch.name,
        ratio(quote.newest_before.unwrap_or_default(), ONE, 9),
        Watch::is_gap(quote, average.minutes),
        raised.first.0,
        ratio(raised.first.1, ONE, 9),
        raised.number,
        ratio(raised.end, ONE, 9),
    );
    let value = format!(
        concat!(
            r#"{{"entityname":{},"windowtime":{},"deviation":{},"absolutedeviation":{},"direction":"{}","#,
            r#""stockpriceavg":{},"previousstockpriceavg":{},"tolerance":"{}","generation":{},"#,
            r#"{}"lastupdatedate":{},"id":"{}"}}"#
        ),
        name(&quote.entity),
        average.minutes,
        deviation,
        ratio(difference.abs(), new.count * old.count * ONE, 9),
        if difference > 0 { "up" } else { "down" },
        mean(new),
        mean(old),
        tolerance,
        generation,
        if watch.is_of_older(record) { "" } else { &more },
        ratio(quote.newest, ONE, 9),
        id(record),
    );
    record.key_text() == window_key(&quote.entity, average.minutes) && record.text() == value
}

/// Whether an alarm can only be the quote's: it names its times and one of its new averages. An entity that was removed
/// and added again may have a quote of the same time once more.
fn is_of(record: &Record, quote: &Accepted, watch: &Watch) -> bool {
    let [time, newest] = [quote.time, quote.newest].map(|time| ratio(time, ONE, 9));
    let text = record.text();
    quote.averages.iter().any(|average| {
        record.key_text() == window_key(&quote.entity, average.minutes)
            && (watch.is_of_older(record) || text.contains(&format!(r#""quotetime":{time},"#)))
            && text.contains(&format!(r#","lastupdatedate":{newest},"id""#))
            && text.contains(&format!(r#","stockpriceavg":{},"#, mean(average.mean)))
    })
}

fn label(field: &str, text: Option<&str>) -> String {
    text.map_or_else(String::new, |text| format!(r#""{field}":{},"#, name(text)))
}

fn mean(mean: Mean) -> String {
    ratio(mean.sum, mean.count * ONE, 9)
}

fn name(entity: &str) -> String {
    serde_json::to_string(entity).unwrap()
}

fn window_key(entity: &str, minutes: u32) -> String {
    format!("{}{minutes}", name(entity))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::fates;

    fn record(offset: i64, key: &str, value: String) -> Record {
        Record {
            partition: 0,
            offset,
            timestamp: 1_700_000_000_000,
            is_appended: false,
            key: Some(key.into()),
            value: Some(value.into()),
            headers: vec![],
        }
    }

    /// Three quotes, and the alarms that the second and third raise by two generations' tolerances.
    fn example() -> (Vec<Accepted>, Vec<Record>, BTreeMap<u64, Watch>) {
        let quote = |(i, price): (i64, &str)| {
            let time = 1_700_000_000 + i;
            let value =
                format!(r#"{{"entityname":"a","currentstockprice":{price},"lastupdatedate":{time}}}"#);
            record(i, "", value)
        };
        let raw: Vec<Record> = [(0, "1"), (1, "2"), (2, "3")].map(quote).into();
        let watch = |generation: u64, tolerance: &str| {
            let mut watch = Watch::new("x", "");
            watch.windows = vec![(5, tolerance.into())];
            (generation, watch)
        };
        let watches = BTreeMap::from([watch(1, "9"), watch(2, "0.1"), watch(3, "0.2%")]);
        let outputs = outputs(&raw, fates(&raw, &[watches[&1].shape()]));
        let alarm = |i: i64,
                     (deviation, new, old): (&str, &str, &str),
                     (tolerance, generation): (&str, u64)| {
            let time = 1_700_000_000 + i;
            let value = format!(
                concat!(
                    r#"{{"entityname":"a","windowtime":5,"deviation":{},"absolutedeviation":0.5,"direction":"up","#,
                    r#""stockpriceavg":{},"previousstockpriceavg":{},"tolerance":"{}","generation":{},"#,
                    r#""currentstockprice":{},"quotetime":{},"stockwatch":"{}/x","previouslastupdatedate":{},"#,
                    r#""gap":false,"episode":"{:032x}","episodestart":1700000001,"alarmnumber":{},"#,
                    r#""episodeend":{},"lastupdatedate":{},"id":"{:032x}"}}"#
                ),
                deviation,
                new,
                old,
                tolerance,
                generation,
                i + 1,
                time,
                watches[&generation].namespace,
                time - 1,
                1,
                i,
                time + 600,
                time,
                i
            );
            record(i, "\"a\"5", value)
        };
        let alarms = vec![
            alarm(1, ("0.5", "1.5", "1"), ("0.1", 2)),
            alarm(2, ("0.333333333333333", "2", "1.5"), ("0.2%", 3)),
        ];
        (outputs.accepted, alarms, watches)
    }

    #[test]
    fn right_alarms_are_right() {
        let (quotes, alarms, watches) = example();
        assert_alarms(&quotes, &alarms, &watches);
    }

    #[test]
    fn no_alarms_at_all_are_right_under_the_first_tolerance() {
        let (quotes, _, watches) = example();
        assert_alarms(&quotes, &[], &watches);
    }

    #[test]
    #[should_panic(expected = "alarms of raw offset 2")]
    fn a_lost_alarm_is_wrong_once_no_tolerance_explains_it() {
        let (quotes, alarms, watches) = example();
        assert_alarms(&quotes, &alarms[..1], &watches);
    }

    #[test]
    #[should_panic(expected = "alarms of raw offset 2")]
    fn an_alarm_twice_is_wrong() {
        let (quotes, mut alarms, watches) = example();
        alarms.push(alarms[1].clone());
        assert_alarms(&quotes, &alarms, &watches);
    }

    #[test]
    #[should_panic(expected = "alarms of raw offset")]
    fn a_generation_that_goes_back_is_wrong() {
        let (quotes, mut alarms, watches) = example();
        let back = alarms[1].text().replace("0.2%", "0.1").replace("generation\":3", "generation\":2");
        let forth =
            alarms[0].text().replace("\"0.1\"", "\"0.2%\"").replace("generation\":2", "generation\":3");
        (alarms[0].value, alarms[1].value) = (Some(forth.into()), Some(back.into()));
        assert_alarms(&quotes, &alarms, &watches);
    }

    #[test]
    #[should_panic(expected = "alarms of raw offset")]
    fn an_alarm_that_begins_an_episode_within_another_is_wrong() {
        let (quotes, mut alarms, watches) = example();
        alarms[1].value = Some(alarms[1].text().replace("alarmnumber\":2", "alarmnumber\":1").into());
        assert_alarms(&quotes, &alarms, &watches);
    }

    #[test]
    #[should_panic(expected = "alarms that nothing raised")]
    fn another_number_in_an_alarm_is_wrong() {
        let (quotes, mut alarms, watches) = example();
        alarms[0].value = Some(alarms[0].text().replace("1.5", "1.500000001").into());
        assert_alarms(&quotes, &alarms, &watches);
    }
}
