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
                outputs.accepted.push(quote);
            }
            Fate::Duplicate | Fate::LateDropped | Fate::Unlisted => {}
        }
    }
    outputs
}

/// Panics where the alarms of one partition are not those of its accepted quotes.
///
/// `watches` are the StockWatches that held one after another, by generation. Which one judged a quote may
/// be known from its alarms only, but it never goes back: each quote is given the first generation, not
/// before that of the quote before, under which exactly its alarms are raised.
pub(crate) fn assert_alarms(quotes: &[Accepted], alarms: &[Record], watches: &BTreeMap<u64, Watch>) {
    let mut left = alarms;
    let mut since = *watches.keys().next().expect("a StockWatch");
    for quote in quotes {
        let fits = watches.range(since..).find_map(|(generation, watch)| {
            let expected = watch.alarms(quote);
            let matched = expected.len() <= left.len()
                && expected.iter().zip(left).all(|((average, tolerance), record)| {
                    is_alarm(record, quote, average, tolerance, *generation)
                });
            // Alarms that follow may not be this quote's as well, under a tolerance that it does not exceed.
            let more = left.get(expected.len()).is_some_and(|record| is_of(record, quote));
            (matched && !more).then_some((*generation, expected.len()))
        });
        let Some((generation, count)) = fits else {
            let got: Vec<String> = left.iter().take(4).map(Record::text).collect();
            let expected: Vec<_> =
                watches.range(since..).map(|(g, watch)| (g, watch.alarms(quote))).collect();
            panic!(
                "alarms of raw offset {}:\nexpected {expected:?}\nfor {quote:?}\ngot {got:#?}",
                quote.offset
            );
        };
        since = generation;
        left = &left[count..];
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

/// An alarm's id: 32 lowercase hex digits.
pub(crate) fn id(alarm: &Record) -> String {
    let id = alarm.json()["id"].as_str().unwrap_or_default().to_owned();
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    assert!(id.len() == 32 && id.chars().all(hex), "an id of 32 lowercase hex digits: {}", alarm.text());
    id
}

fn is_alarm(record: &Record, quote: &Accepted, average: &Average, tolerance: &str, generation: u64) -> bool {
    let Some(old) = average.previous else { return false };
    let new = average.mean;
    let difference = new.sum * old.count - old.sum * new.count;
    let deviation = match old.sum {
        0 => "null".into(),
        sum => ratio(difference.abs(), new.count * sum.abs(), 15),
    };
    let value = format!(
        concat!(
            r#"{{"entityname":{},"windowtime":{},"deviation":{},"absolutedeviation":{},"direction":"{}","#,
            r#""stockpriceavg":{},"previousstockpriceavg":{},"tolerance":"{}","generation":{},"#,
            r#""lastupdatedate":{},"id":"{}"}}"#
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
        ratio(quote.newest, ONE, 9),
        id(record),
    );
    record.key_text() == window_key(&quote.entity, average.minutes) && record.text() == value
}

/// Whether an alarm can only be the quote's: it names its time and one of its new averages.
fn is_of(record: &Record, quote: &Accepted) -> bool {
    let newest = format!(r#","lastupdatedate":{},"id""#, ratio(quote.newest, ONE, 9));
    quote.averages.iter().any(|average| {
        let new = format!(r#","stockpriceavg":{},"#, mean(average.mean));
        let text = record.text();
        record.key_text() == window_key(&quote.entity, average.minutes)
            && text.contains(&newest)
            && text.contains(&new)
    })
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
            let value = format!(
                concat!(
                    r#"{{"entityname":"a","windowtime":5,"deviation":{},"absolutedeviation":0.5,"direction":"up","#,
                    r#""stockpriceavg":{},"previousstockpriceavg":{},"tolerance":"{}","generation":{},"#,
                    r#""lastupdatedate":{},"id":"{:032x}"}}"#
                ),
                deviation,
                new,
                old,
                tolerance,
                generation,
                1_700_000_000 + i,
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
    #[should_panic(expected = "alarms that nothing raised")]
    fn another_number_in_an_alarm_is_wrong() {
        let (quotes, mut alarms, watches) = example();
        alarms[0].value = Some(alarms[0].text().replace("1.5", "1.500000001").into());
        assert_alarms(&quotes, &alarms, &watches);
    }
}
