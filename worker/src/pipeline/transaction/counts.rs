//! What the open transaction counts. Metrics say what was committed, so they hear of it only then.

use stockwatch_core::account::{Entry, EntryType, Side};
use stockwatch_core::wire::DeadLetterReason;
use stockwatch_core::{Judgement, SkipReason, Verdict};

use crate::flow::Flow;
use crate::metrics::{DuplicatePrice, Metrics, ReasonLabel, SideLabel, SkipLabel};

/// What came of the open transaction's records, each field for the metric of its name.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) quotes_consumed: u64,
    pub(super) quotes_accepted: u64,
    /// Of the same price, and of another one.
    pub(super) quotes_duplicate: [u64; 2],
    pub(super) quotes_late_joined: u64,
    pub(super) quotes_late_dropped: u64,
    pub(super) quotes_unlisted: u64,
    pub(super) quotes_over_limit: u64,
    pub(super) averages: u64,
    pub(super) alarms: u64,
    pub(super) alarms_skipped: [u64; SkipReason::ALL.len()],
    pub(super) paper_orders: [u64; Side::ALL.len()],
    pub(super) paper_fills: [u64; Side::ALL.len()],
    pub(super) dead_letters: [u64; DeadLetterReason::ALL.len()],
    pub(super) dead_letters_lost: u64,
    pub(super) checkpoints: u64,
    pub(super) checkpoint_bytes: u64,
    /// The least timestamp of the records, in ms.
    pub(super) oldest: Option<i64>,
}

impl Counts {
    /// Takes note of a record's timestamp in ms; negative: it has none.
    pub(super) fn note_timestamp(&mut self, timestamp: i64) {
        if timestamp >= 0 {
            self.oldest = Some(self.oldest.map_or(timestamp, |oldest| oldest.min(timestamp)));
        }
    }

    /// Counts the alarms that a quote did not raise; those that it raises are counted when they are written.
    pub(super) fn judged(&mut self, judgement: &Judgement) {
        for verdict in judgement.verdicts() {
            if let Verdict::Skipped(reason) = verdict {
                self.alarms_skipped[*reason as usize] += 1;
            }
        }
    }

    /// Counts what an account did.
    pub(super) fn traded(&mut self, entries: &[Entry]) {
        for entry in entries {
            let counts = match entry.entry_type {
                EntryType::Order => &mut self.paper_orders,
                EntryType::Fill => &mut self.paper_fills,
                EntryType::Cancel | EntryType::Close | EntryType::Void => continue,
            };
            if let Some(side) = entry.side {
                counts[side as usize] += 1;
            }
        }
    }

    /// Adds all of it to the metrics: the transaction is committed, at `now_millis` since 1970.
    pub(super) fn publish(self, metrics: &Metrics, flow: &Flow, now_millis: i64) {
        if let Some(oldest) = self.oldest {
            let millis = u32::try_from(now_millis.saturating_sub(oldest).max(0)).unwrap_or(u32::MAX);
            metrics.end_to_end_seconds.observe(f64::from(millis) / 1e3);
        }
        flow.committed(self.quotes_accepted, &self.dead_letters);
        for (counter, count) in [
            (&metrics.quotes_consumed, self.quotes_consumed),
            (&metrics.quotes_accepted, self.quotes_accepted),
            (&metrics.quotes_late_joined, self.quotes_late_joined),
            (&metrics.quotes_late_dropped, self.quotes_late_dropped),
            (&metrics.quotes_unlisted, self.quotes_unlisted),
            (&metrics.quotes_over_limit, self.quotes_over_limit),
            (&metrics.averages, self.averages),
            (&metrics.alarms, self.alarms),
            (&metrics.dead_letters_lost, self.dead_letters_lost),
            (&metrics.checkpoints, self.checkpoints),
            (&metrics.checkpoint_bytes, self.checkpoint_bytes),
        ] {
            counter.inc_by(count);
        }
        for (price, count) in DuplicatePrice::ALL.iter().zip(self.quotes_duplicate) {
            metrics.quotes_duplicate.get_or_create(price).inc_by(count);
        }
        let skipped = SkipReason::ALL.into_iter().zip(self.alarms_skipped);
        for (reason, count) in skipped.filter(|(_, count)| *count > 0) {
            metrics.alarms_skipped.get_or_create(&SkipLabel(reason)).inc_by(count);
        }
        for (family, counts) in
            [(&metrics.paper_orders, self.paper_orders), (&metrics.paper_fills, self.paper_fills)]
        {
            for (side, count) in Side::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0) {
                family.get_or_create(&SideLabel(side)).inc_by(count);
            }
        }
        let dead_letters = DeadLetterReason::ALL.into_iter().zip(self.dead_letters);
        for (reason, count) in dead_letters.filter(|(_, count)| *count > 0) {
            metrics.dead_letters.get_or_create(&ReasonLabel(reason)).inc_by(count);
        }
    }
}
