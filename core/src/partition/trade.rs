//! What an accepted quote does to the paper account of its entity.

use std::mem;

use crate::account::{Entry, Reason, advance};
use crate::judge::Judgement;
use crate::said::Said;
use crate::sample::{Origin, Sample};
use crate::shape::Shape;

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
    let signal = alarm.map(|alarm| alarm.signal(rules.windows[alarm.place].minutes));
    let had_account = said.account.is_some();
    let moves = advance(&mut said.account, rules.trade.as_ref(), quote, origin, signal);
    entries.extend(moves.into_iter().flatten());
    !entries.is_empty() || had_account != said.account.is_some()
}
