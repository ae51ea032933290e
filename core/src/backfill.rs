//! Quotes that a longer window holds from before the windows so far, collected from the raw log beside the computation.
//!
//! What a window (T−W, T] holds is, for each time in it, the first quote that the log has of the entity since its state
//! began, whatever the windows were meanwhile. So the log can be read in any number of stretches while the partition
//! goes on under its old windows, which notes what it computes itself ([`Tail`]): no stretch is read at a standstill.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Included};

use crate::entity::{Entity, Name, length};
use crate::sample::Sample;
use crate::wire::raw::{MAX_AHEAD, Quote, RawRecord};

/// A partition notes at most so many quotes while the log is read.
const MOST_NOTED: usize = 50_000;

/// What was read of the log for a longer window: the first price of each event time, by entity.
#[derive(Debug, Default)]
pub struct Backfill {
    /// The raw offset before which all is noted; `None` before the first read.
    pub next_offset: Option<i64>,
    minutes: u32,
    since: i64,
    entities: HashMap<Name, Older>,
}

#[derive(Debug, Default)]
struct Older {
    /// Records below this raw offset are skipped.
    since: i64,
    /// Quotes in another currency are skipped; as long as it is not known, all that say one: they may not be of one.
    currency: Option<Box<str>>,
    /// No window can hold a quote of this time or before.
    after: i64,
    prices: BTreeMap<i64, i64>,
}

impl Backfill {
    /// What `lacking` entities want for a window of so many minutes; `None`: nothing.
    pub(crate) fn wanted<'a>(
        minutes: u32,
        lacking: impl Iterator<Item = &'a (Name, Entity)>,
    ) -> Option<Self> {
        let older = lacking.filter_map(|(name, e)| {
            let after = e.newest()?.saturating_sub(length(minutes));
            let currency = e.currency.as_ref().map(|currency| currency.code.clone());
            Some((name.clone(), Older { since: e.since, currency, after, prices: BTreeMap::new() }))
        });
        let entities: HashMap<Name, Older> = older.collect();
        // A quote's event time is at most five minutes ahead of its record's timestamp, so all that is younger than an
        // event time stands behind the first record stamped five minutes before it.
        let oldest = entities.values().map(|older| older.after).min()?;
        let since = oldest.saturating_sub(MAX_AHEAD).max(0) / 1_000_000;
        Some(Self { next_offset: None, minutes, since, entities })
    }

    /// Takes in the entities of another one that it has nothing of: they were born since, behind all that it has read.
    pub(crate) fn add_missing(&mut self, wanted: Self) {
        for (name, older) in wanted.entities {
            self.entities.entry(name).or_insert(older);
        }
    }

    /// The longest window that it can fill.
    pub fn minutes(&self) -> u32 {
        self.minutes
    }

    /// The earliest record timestamp (ms) that may hold a wanted quote.
    pub fn since(&self) -> i64 {
        self.since
    }

    /// Notes a record's quote if it is wanted. Records come in the log's order; those noted before change nothing.
    pub fn note(&mut self, record: &RawRecord<'_>) {
        let Some(quote) = record.value.and_then(|v| Quote::read(v).ok()) else { return };
        let Some(older) = self.entities.get_mut(&*quote.entity) else { return };
        let Ok((price, time)) = quote.price_and_time(record.timestamp) else { return };
        let is_own = quote.currency().is_none_or(|said| older.currency.as_deref() == Some(&*said));
        if time > older.after && record.offset >= older.since && is_own {
            older.prices.entry(time).or_insert(price);
        }
    }

    /// The samples before the windows of `entity` that one of so many minutes holds, by time.
    pub(crate) fn older(&self, name: &Name, entity: &Entity, minutes: u32) -> Vec<Sample> {
        let noted = self.entities.get(name).filter(|_| entity.longest() < length(minutes));
        let Some((older, newest)) = noted.zip(entity.newest()) else { return Vec::new() };
        let before = Excluded(newest.saturating_sub(length(minutes)));
        let held = older.prices.range((before, Included(newest.saturating_sub(entity.longest()))));
        held.map(|(&time, &price)| Sample { time, price }).collect()
    }
}

/// The quotes that a partition computed from an offset on, while a backfill of those below it is read.
#[derive(Debug)]
pub(crate) struct Tail {
    /// `None`: they were too many, and are read from the log as well.
    from: Option<i64>,
    quotes: Vec<(Name, Sample)>,
    is_spoiled: bool,
}

impl Tail {
    pub(crate) fn new(from: i64) -> Self {
        Self { from: Some(from), quotes: Vec::new(), is_spoiled: false }
    }

    pub(crate) fn note(&mut self, name: &Name, sample: Sample) {
        if self.quotes.len() == MOST_NOTED {
            (self.from, self.quotes) = (None, Vec::new());
        } else if self.from.is_some() {
            self.quotes.push((name.clone(), sample));
        }
    }

    /// An entity's currency is another one, or known only now: the log is to be read from the beginning.
    pub(crate) fn spoil(&mut self) {
        self.is_spoiled = true;
    }

    pub(crate) fn is_spoiled(&self) -> bool {
        self.is_spoiled
    }

    /// Whether nothing lies between what `backfill` has noted and this.
    pub(crate) fn continues(&self, backfill: &Backfill) -> bool {
        backfill.next_offset.zip(self.from).is_some_and(|(next, from)| from <= next)
    }

    pub(crate) fn append_to(self, backfill: &mut Backfill) {
        for (name, sample) in self.quotes {
            let older = backfill.entities.entry(name).or_default();
            older.prices.entry(sample.time).or_insert(sample.price);
        }
    }
}
