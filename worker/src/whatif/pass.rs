//! One raw partition's records, computed once and judged by every candidate.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use stockwatch_core::wire::RawRecord;
use stockwatch_core::{Effect, Partition, Shape};

use super::candidate::Candidate;
use super::plan::Plans;
use super::tally::{Tally, Totals};
use super::warm_up::WarmUp;
use super::written::Written;

/// The least and the greatest of what was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent(pub Option<(i64, i64)>);

impl Extent {
    /// Takes one in.
    #[inline]
    pub fn note(&mut self, value: i64) {
        let (least, most) = self.0.unwrap_or((value, value));
        self.0 = Some((least.min(value), most.max(value)));
    }

    fn join(&mut self, other: Self) {
        if let Some((least, most)) = other.0 {
            self.note(least);
            self.note(most);
        }
    }
}

/// What the range holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Raw records.
    pub records: u64,
    /// Accepted quotes.
    pub quotes: u64,
    /// Stamps of raw records, ms.
    pub stamps: Extent,
    /// Event times of accepted quotes, ns.
    pub times: Extent,
    /// Alarms of the rules in force that were not written; `None`: no written alarm shows that these were in force, or it
    /// is not known how far workers have judged.
    pub added: Option<u64>,
}

impl Seen {
    /// Adds another partition's.
    pub fn join(&mut self, other: &Self) {
        self.records += other.records;
        self.quotes += other.quotes;
        self.added = self.added.into_iter().chain(other.added).reduce(|sum, added| sum + added);
        self.stamps.join(other.stamps);
        self.times.join(other.times);
    }
}

/// Where a partition is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct JudgedRange {
    /// The raw partition.
    pub(super) partition: i32,
    /// The first offset of the range.
    pub(super) start: i64,
    /// Quotes from this offset on may not have been judged by the workers yet; `None`: that is not known of any.
    pub(super) committed: Option<i64>,
}

/// A ticker's figures, and what the replay adds to the alarms that were written.
#[derive(Debug)]
struct TickerTally {
    tally: Tally,
    added: u64,
    quotes: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    place: JudgedRange,
    partition: Partition,
    plans: Plans<'a>,
    tickers: HashMap<Arc<str>, TickerTally>,
    written: &'a mut Written,
    /// The last written alarm that was met shows that the rules in force were in force.
    is_in_force: bool,
    seen: Seen,
}

impl<'a> Pass<'a> {
    /// Computes from the offset `from` on, and judges from the range's start on. `rules` are those in force.
    pub(super) fn new(
        place: JudgedRange,
        from: i64,
        rules: &Arc<Shape>,
        candidates: &'a [Candidate],
        written: &'a mut Written,
    ) -> Self {
        let mut partition = Partition::new(place.partition, from, Vec::new(), Vec::new());
        partition.apply_shape(
            partition.next_change(Arc::clone(rules)),
            &stockwatch_core::Backfill::default(),
            0,
        );
        written.begin(place.partition);
        Self {
            place,
            partition,
            plans: Plans::new(candidates),
            tickers: HashMap::new(),
            written,
            is_in_force: false,
            seen: Seen::default(),
        }
    }

    /// Takes the next record in.
    pub(super) fn take(&mut self, record: &RawRecord<'_>) {
        let effect = self.partition.replay(record, 0);
        if record.offset < self.place.start {
            return;
        }
        self.seen.records += 1;
        self.seen.stamps.note(record.timestamp);
        let Effect::Accepted(quote) = effect else { return };
        self.seen.quotes += 1;
        self.seen.times.note(quote.quote.time);
        if !self.tickers.contains_key(quote.name) {
            let ticker = TickerTally { tally: Tally::new(self.plans.of(quote.name)), added: 0, quotes: 0 };
            self.tickers.insert(quote.name.into(), ticker);
        }
        let Some(ticker) = self.tickers.get_mut(quote.name) else { return };
        ticker.quotes += 1;
        let alarms = ticker.tally.judge(&quote.moved());
        ticker.tally.trade(&quote);
        let matched = self.written.compare(self.place.partition, &quote);
        self.is_in_force = matched.is_in_force.unwrap_or(self.is_in_force);
        let Some(committed) = self.place.committed.filter(|_| self.is_in_force) else { return };
        self.seen.added.get_or_insert(0);
        if record.offset < committed {
            ticker.added += u64::from((alarms & !matched.windows).count_ones());
        }
    }

    /// The tickers of the range that were not seen before it.
    pub(super) fn unknown(&self, warm_up: &WarmUp<'_>) -> BTreeSet<String> {
        let unknown = self.tickers.keys().filter(|ticker| !warm_up.has_seen(ticker));
        unknown.map(|ticker| ticker.to_string()).collect()
    }

    /// Adds the tickers whose windows were full to the totals; returns what the range holds, and the other tickers.
    pub(super) fn finish(mut self, warm_up: &WarmUp<'_>, totals: &mut Totals) -> (Seen, BTreeSet<String>) {
        let mut left_out = BTreeSet::new();
        for (name, TickerTally { tally, added, quotes }) in &self.tickers {
            if warm_up.is_full(name) {
                totals.add(name, tally);
                self.seen.added = self.seen.added.map(|sum| sum + added);
            } else {
                self.seen.quotes -= quotes;
                left_out.insert(name.to_string());
            }
        }
        (self.seen, left_out)
    }
}
