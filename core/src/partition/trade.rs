//! What an accepted quote does to the paper account of its entity.

use std::mem;

use super::Partition;
use crate::account::{Account, Entry, Reason, Signal, advance};
use crate::entity::Sample;
use crate::judge::Judgement;
use crate::said::{Origin, Said};
use crate::shape::Shape;

/// The account of an entity that is computed no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// As it stands.
    pub account: Account,
    /// Event time of the entity's newest quote, nanoseconds since 1970.
    pub time: i64,
    /// The value of its last accepted raw record.
    pub value: Vec<u8>,
}

impl Partition {
    /// Whether any entity has an account.
    pub fn has_accounts(&self) -> bool {
        self.slots.iter().any(|(_, entity)| entity.said.account.is_some())
    }
}

/// Forgets what was said of an entity that begins anew, with its account; returns whether there was anything.
#[cold]
pub(super) fn end(said: &mut Said, has_ledger: bool, entries: &mut Vec<Entry>) -> bool {
    let Said { episodes, account } = mem::take(said);
    let is_changed = !episodes.is_empty() || account.is_some();
    entries.extend(account.filter(|_| has_ledger).map(|account| account.void(Reason::EntityBeganAnew)));
    is_changed
}

/// Moves the account in `said` by its entity's newest quote, which was judged; returns whether it changed.
pub(super) fn trade(
    said: &mut Said,
    rules: &Shape,
    judgement: &Judgement,
    (quote, origin): (Sample, Origin),
    entries: &mut Vec<Entry>,
) -> bool {
    let followed = rules.trade.as_ref().map(|trade| trade.minutes);
    let alarm = judgement.alarms().iter().find(|alarm| Some(rules.windows[alarm.place].minutes) == followed);
    let signal = alarm.map(|alarm| Signal::of(alarm, rules.windows[alarm.place].minutes));
    let had_account = said.account.is_some();
    let moves = advance(&mut said.account, rules.trade.as_ref(), quote, origin, signal);
    entries.extend(moves.into_iter().flatten());
    !entries.is_empty() || had_account != said.account.is_some()
}
