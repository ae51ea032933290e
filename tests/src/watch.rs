//! A StockWatch as a test speaks of it: written as the worker's file, and told to the oracle.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Map, Value, json};

use crate::decimal::{ONE, parse};
use crate::oracle::{Accepted, Average, Mean, Shape};
use crate::topics::Record;

/// One of a StockWatch's topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Quotes as they come.
    Raw,
    /// Quotes without duplicates.
    Deduplicated,
    /// The compacted table with the checkpoints.
    Table,
    /// Averages.
    Averages,
    /// Alarms.
    Alarms,
    /// What is no quote.
    DeadLetter,
    /// What paper accounts do; only with `spec.trade`, so none of [`Topic::ALL`].
    Ledger,
}

impl Topic {
    /// Those that every StockWatch has.
    pub const ALL: [Self; 6] =
        [Self::Raw, Self::Deduplicated, Self::Table, Self::Averages, Self::Alarms, Self::DeadLetter];

    /// The last part of its default name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Raw => "raw-input",
            Self::Deduplicated => "after-dedup-stream",
            Self::Table => "after-dedup-storage-table",
            Self::Averages => "averages-output",
            Self::Alarms => "deviation-alarm",
            Self::DeadLetter => "dead-letter",
            Self::Ledger => "ledger",
        }
    }

    /// Its field in `spec.kafka.topics`.
    pub fn field(self) -> &'static str {
        match self {
            Self::Raw => "rawInput",
            Self::Deduplicated => "afterDedupStream",
            Self::Table => "afterDedupStorageTable",
            Self::Averages => "averagesOutput",
            Self::Alarms => "deviationAlarm",
            Self::DeadLetter => "deadLetter",
            Self::Ledger => "ledger",
        }
    }
}

/// A listed symbol.
#[derive(Debug, Clone)]
pub struct Ticker {
    /// The symbol; `*` stands for every other entity.
    pub symbol: String,
    /// The entity, where it is not the symbol.
    pub name: Option<String>,
    /// Its own tolerances by window in minutes.
    pub tolerances: Vec<(u32, String)>,
}

impl Ticker {
    /// A symbol that is its own entity, without tolerances of its own.
    pub fn of(symbol: &str) -> Self {
        Self { symbol: symbol.into(), name: None, tolerances: Vec::new() }
    }

    fn entity(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.symbol)
    }
}

/// A StockWatch.
#[derive(Debug, Clone)]
pub struct Watch {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`, left out when empty.
    pub uid: String,
    /// `metadata.generation`, left out when `None`.
    pub generation: Option<u64>,
    /// Listed symbols.
    pub tickers: Vec<Ticker>,
    /// Windows in minutes with their tolerances, ascending.
    pub windows: Vec<(u32, String)>,
    /// `spec.alarms`, left out when null.
    pub alarms: Value,
    /// `spec.trade`, left out when null.
    pub trade: Value,
    /// `spec.source`.
    pub source: Value,
    /// `spec.kafka.bootstrapServers`.
    pub bootstrap: String,
    /// Further fields of `spec.kafka` (tls, sasl).
    pub kafka: Map<String, Value>,
    /// `spec.kafka.topics`.
    pub topics: BTreeMap<&'static str, Value>,
    /// Workers of the release before episodes compute it, too. They know the episodes that others began as little as
    /// others know theirs.
    pub has_older: bool,
}

/// How many StockWatches this process has made up.
static COUNT: AtomicU32 = AtomicU32::new(0);

impl Watch {
    /// An external source, entities `a`, `b` and `c`, windows of 5, 10 and 15 minutes at 0.05 %. In a namespace of its own:
    /// its topics are nobody else's, whatever its name.
    pub fn new(name: &str, bootstrap: &str) -> Self {
        Self {
            namespace: format!("test-{}", COUNT.fetch_add(1, Ordering::Relaxed)),
            name: name.into(),
            uid: format!("uid-{name}"),
            generation: Some(1),
            tickers: ["a", "b", "c"].map(Ticker::of).to_vec(),
            windows: [5, 10, 15].map(|window| (window, "0.05%".into())).to_vec(),
            alarms: Value::Null,
            trade: Value::Null,
            source: json!({"external": {}}),
            bootstrap: bootstrap.into(),
            kafka: Map::new(),
            topics: BTreeMap::new(),
            has_older: false,
        }
    }

    /// Moves it to a namespace of a cluster, whose API server is to give it its uid and generation.
    pub fn move_to(&mut self, namespace: &str) {
        (self.namespace, self.uid, self.generation) = (namespace.into(), String::new(), None);
    }

    /// The StockWatch that an API server shows.
    pub fn of(object: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let minutes = |value: &Value| text(value).trim_end_matches('m').parse::<u32>().unwrap();
        let tolerances = |value: &Value, key: &str| -> Vec<(u32, String)> {
            list(value).iter().map(|one| (minutes(&one[key]), text(&one["tolerance"]))).collect()
        };
        let ticker = |ticker: &Value| Ticker {
            symbol: text(&ticker["symbol"]),
            name: ticker["name"].as_str().map(str::to_owned),
            tolerances: tolerances(&ticker["tolerances"], "window"),
        };
        let (metadata, spec) = (&object["metadata"], &object["spec"]);
        let mut windows = match &spec["windows"] {
            Value::Null => [5, 10, 15].map(|window| (window, "0.1%".into())).to_vec(),
            windows => tolerances(windows, "duration"),
        };
        windows.sort_unstable();
        let mut kafka = spec["kafka"].as_object().cloned().unwrap_or_default();
        let topics = kafka.remove("topics").unwrap_or_default();
        let topics = Topic::ALL
            .iter()
            .chain([&Topic::Ledger])
            .filter_map(|t| Some((t.field(), topics.get(t.field())?.clone())))
            .collect();
        Self {
            namespace: text(&metadata["namespace"]),
            name: text(&metadata["name"]),
            uid: text(&metadata["uid"]),
            generation: metadata["generation"].as_u64(),
            tickers: list(&spec["tickers"]).iter().map(ticker).collect(),
            windows,
            alarms: spec["alarms"].clone(),
            trade: spec["trade"].clone(),
            source: spec.get("source").cloned().unwrap_or_else(|| json!({"yahoo": {}})),
            bootstrap: text(&kafka.remove("bootstrapServers").unwrap_or_default()),
            kafka,
            topics,
            has_older: false,
        }
    }

    /// The consumer group.
    pub fn group(&self) -> String {
        self.kafka.get("groupId").and_then(Value::as_str).map_or_else(|| self.prefix(), str::to_owned)
    }

    fn prefix(&self) -> String {
        format!("{}.{}", self.namespace, self.name)
    }

    /// The name of a topic.
    pub fn topic(&self, topic: Topic) -> String {
        let renamed = self.topics.get(topic.field()).and_then(|settings| settings["name"].as_str());
        renamed.map_or_else(|| format!("{}.{}", self.prefix(), topic.suffix()), str::to_owned)
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let mut metadata = json!({"namespace": self.namespace, "name": self.name});
        if !self.uid.is_empty() {
            metadata["uid"] = json!(self.uid);
        }
        if let Some(generation) = self.generation {
            metadata["generation"] = json!(generation);
        }
        let tolerances = |list: &[(u32, String)], key: &str| -> Value {
            list.iter().map(|(w, tolerance)| json!({key: format!("{w}m"), "tolerance": tolerance})).collect()
        };
        let ticker = |ticker: &Ticker| {
            let mut value = json!({"symbol": ticker.symbol});
            if let Some(name) = &ticker.name {
                value["name"] = json!(name);
            }
            if !ticker.tolerances.is_empty() {
                value["tolerances"] = tolerances(&ticker.tolerances, "window");
            }
            value
        };
        let mut kafka = self.kafka.clone();
        kafka.insert("bootstrapServers".into(), json!(self.bootstrap));
        if !self.topics.is_empty() {
            kafka.insert("topics".into(), json!(self.topics));
        }
        let mut document = json!({
            "apiVersion": "stockwatch.dev/v1alpha1",
            "kind": "StockWatch",
            "metadata": metadata,
            "spec": {
                "tickers": self.tickers.iter().map(ticker).collect::<Value>(),
                "windows": tolerances(&self.windows, "duration"),
                "source": self.source,
                "kafka": kafka,
            },
        });
        for (field, settings) in [("alarms", &self.alarms), ("trade", &self.trade)] {
            if !settings.is_null() {
                document["spec"][field] = settings.clone();
            }
        }
        serde_yaml::to_string(&document).unwrap()
    }

    /// What decides the state, from the log's start on.
    pub fn shape(&self) -> Shape {
        let listed = self.tickers.iter().filter(|ticker| ticker.symbol != "*");
        Shape {
            from: 0,
            windows: self.windows.iter().map(|window| window.0).collect(),
            entities: listed.map(|ticker| ticker.entity().to_owned()).collect(),
            wildcard: self.tickers.iter().any(|ticker| ticker.symbol == "*"),
        }
    }

    /// The tolerance of an entity's window, as written; `None` for a window that is not declared.
    pub fn tolerance(&self, entity: &str, window: u32) -> Option<&str> {
        let of = |list: &[(u32, String)]| list.iter().position(|(minutes, _)| *minutes == window);
        let own = self.tickers.iter().find(|ticker| ticker.symbol != "*" && ticker.entity() == entity);
        let own = own.or_else(|| self.tickers.iter().find(|ticker| ticker.symbol == "*"));
        let lists = own.map(|ticker| &ticker.tolerances[..]).into_iter().chain([&self.windows[..]]);
        lists.filter_map(|list| Some(list[of(list)?].1.as_str())).next()
    }

    /// The quiet time after an alarm of a window, in units of 10⁻⁹ s.
    pub fn quiet(&self, window: u32) -> i128 {
        let minutes = self.alarms["quiet"].as_str().map(|text| text.trim_end_matches('m').parse().unwrap());
        i128::from(minutes.unwrap_or(2 * window)) * 60 * ONE
    }

    /// Whether a worker of the release before episodes has written an alarm.
    pub fn is_of_older(&self, alarm: &Record) -> bool {
        self.has_older && alarm.json()["episode"].is_null()
    }

    /// Whether two averages have no quote in common: the one before is older than the window.
    pub fn is_gap(quote: &Accepted, window: u32) -> bool {
        quote.newest_before.is_some_and(|before| before <= quote.newest - i128::from(window) * 60 * ONE)
    }

    /// The alarms of a quote by this StockWatch's tolerances and settings: the windows with the tolerance exceeded.
    pub fn alarms<'a>(&'a self, quote: &'a Accepted) -> Vec<(&'a Average, &'a str)> {
        let judged = quote.averages.iter().filter_map(|average| {
            let tolerance = self.tolerance(&quote.entity, average.minutes)?;
            let few = self.alarms["minCount"].as_i64().unwrap_or(1);
            let few = average.mean.count.min(average.previous?.count) < few.into();
            let skipped = self.alarms["gaps"] == "Skip" && Self::is_gap(quote, average.minutes) || few;
            let moved = exceeds(average.mean, average.previous?, tolerance);
            (moved && !skipped).then_some((average, tolerance))
        });
        judged.collect()
    }
}

/// Rule 5: whether the exact difference is greater than the tolerance.
fn exceeds(new: Mean, old: Mean, tolerance: &str) -> bool {
    // Both means over the common denominator new.count · old.count.
    let difference = (new.sum * old.count - old.sum * new.count).abs();
    match tolerance.strip_suffix('%') {
        None => difference > parse(tolerance).unwrap() * new.count * old.count,
        Some(percent) => difference * 100 * ONE > parse(percent).unwrap() * old.sum.abs() * new.count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_tolerance_is_no_alarm() {
        let mean = |sum: i128| Mean { sum: sum * ONE, count: 1 };
        assert!(!exceeds(mean(101), mean(100), "1"));
        assert!(exceeds(mean(101), mean(100), "0.999999999"));
        assert!(!exceeds(mean(101), mean(100), "1%"));
        assert!(exceeds(mean(-101), mean(-100), "0.999999999%"));
        assert!(exceeds(mean(1), mean(0), "999999999%"));
        assert!(!exceeds(mean(0), mean(0), "0%"));
    }
}
