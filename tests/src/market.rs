//! Quotes of a seeded market: random walks with duplicates, late quotes, and records that are no quotes.

use std::collections::VecDeque;

/// A raw record to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// Its key, as written.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
}

/// A plain quote under its quoted key; `price` and `time` as written.
pub fn quote(entity: &str, price: &str, time: impl std::fmt::Display) -> Raw {
    let name = serde_json::to_string(entity).unwrap();
    let value = format!(r#"{{"entityname":{name},"currentstockprice":{price},"lastupdatedate":{time}}}"#);
    Raw { key: Some(name.into()), value: Some(value.into()) }
}

/// An endless stream of records from one seed.
#[derive(Debug)]
pub struct Market {
    random: fastrand::Rng,
    entities: Vec<Walk>,
    turn: usize,
    is_moody: bool,
}

#[derive(Debug)]
struct Walk {
    name: String,
    cents: i64,
    time: u64,
    currency: Option<&'static str>,
    recent: VecDeque<Raw>,
}

impl Market {
    /// The event time of the first quotes, seconds.
    pub const START: u64 = 1_700_000_000;

    /// A market of the given entities.
    pub fn new(seed: u64, entities: &[&str]) -> Self {
        let walk = |name: &&str| Walk {
            name: (*name).to_owned(),
            cents: 50_000,
            time: Self::START,
            currency: None,
            recent: VecDeque::new(),
        };
        let entities = entities.iter().map(walk).collect();
        Self { random: fastrand::Rng::with_seed(seed), entities, turn: 0, is_moody: false }
    }

    /// The same, but now and then an entity pauses for up to an hour, or goes on in another currency.
    pub fn moody(self) -> Self {
        Self { is_moody: true, ..self }
    }

    /// The next record: of one entity after another, each a minute or less on.
    pub fn next_raw(&mut self) -> Raw {
        self.turn = (self.turn + 1) % self.entities.len();
        let random = &mut self.random;
        let walk = &mut self.entities[self.turn];
        if self.is_moody && random.u8(0..40) == 0 {
            walk.time += random.u64(60..3_600);
        }
        if self.is_moody && random.u8(0..40) == 0 {
            walk.currency = random.choice([None, Some("USD"), Some("EUR")]).flatten();
        }
        let mut raw = Self::any(random, walk);
        // Of a quote that comes again the currency may be another one: the same quote all the same.
        if let Some(currency) = walk.currency
            && let Some(plain) = raw.value.as_mut().filter(|value| value.ends_with(b"}"))
            && !plain.windows(8).any(|part| part == b"currency")
        {
            plain.truncate(plain.len() - 1);
            plain.extend_from_slice(format!(r#","currency":"{currency}"}}"#).as_bytes());
        }
        raw
    }

    fn any(random: &mut fastrand::Rng, walk: &mut Walk) -> Raw {
        match random.u8(0..100) {
            0..12 if !walk.recent.is_empty() => walk.recent[random.usize(0..walk.recent.len())].clone(),
            12..22 => {
                let price = format!("{}.{:02}", walk.cents / 100, walk.cents % 100);
                quote(&walk.name, &price, walk.time.saturating_sub(random.u64(1..1_200)))
            }
            22..25 => bad(random, &walk.name),
            25..27 => quote(&format!("{} unlisted", walk.name), "1.5", walk.time),
            _ => {
                walk.cents = (walk.cents + random.i64(-150..=150)).max(100);
                walk.time += random.u64(1..60);
                let price = match random.u8(0..4) {
                    0 => format!("{}.{:02}", walk.cents / 100, walk.cents % 100),
                    1 => format!("{}e-2", walk.cents),
                    2 => format!(
                        "{}.{:02}{:07}",
                        walk.cents / 100,
                        walk.cents % 100,
                        random.u32(0..10_000_000)
                    ),
                    _ => format!("{}", walk.cents / 100),
                };
                let time = match random.u8(0..3) {
                    0 => format!("{}.{:03}", walk.time, random.u16(1..1_000)),
                    _ => walk.time.to_string(),
                };
                let raw = quote(&walk.name, &price, time);
                walk.recent.push_back(raw.clone());
                if walk.recent.len() > 20 {
                    walk.recent.pop_front();
                }
                raw
            }
        }
    }
}

fn bad(random: &mut fastrand::Rng, entity: &str) -> Raw {
    let values = [
        "",
        "not json",
        "[1]",
        r#"{"currentstockprice":1}"#,
        r#"{"entityname":"E"}"#,
        r#"{"entityname":"E","currentstockprice":"Infinity"}"#,
        r#"{"entityname":"E","currentstockprice":1e300}"#,
        r#"{"entityname":"E","currentstockprice":1}"#,
        r#"{"entityname":"E","currentstockprice":1,"lastupdatedate":1700000000000}"#,
        r#"{"entityname":"E","currentstockprice":1,"lastupdatedate":99999999999}"#,
    ];
    let value = random.choice(values).unwrap_or_default().replace('E', entity);
    Raw { key: Some(serde_json::to_string(entity).unwrap().into()), value: Some(value.into()) }
}
