//! Who is asked for when, and together with whom. Pure: the caller brings the time and says how each request ended.
//!
//! Symbols stand in a stable order, that of hashes of their names, cut into as many slots as it takes requests to ask
//! for all; the slots lie evenly in the interval. What has been due longest is asked for first, together with what else
//! is due, up to a batch.
//!
//! What a failure means is told by the request before it. If that was answered, something in the failed batch may be
//! the cause: its symbols are asked for in halves, in the end one by one. A refusal is the source's: nothing is asked
//! for until a pause ends, then one request by way of trial, smaller with each pause. Who was refused at two pauses,
//! while others were answered between, stands apart: its refusals are its own, and hold nobody up any more.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::iter::once;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use stockwatch_crds::Ticker;
use tokio::time::Instant;

use super::backoff;
use super::fetched::FetchError;
use super::pause::Pause;
use super::source::{FetchResult, Pace, QuoteResult, Request};

/// A newly owned symbol is first asked for within this time, if the rate allows.
const FIRST_WITHIN: Duration = Duration::from_secs(5);
/// Refusals of one symbol, beside answers to others, after which they are its own.
pub(super) const OWN_REFUSALS: u32 = 2;

/// How a request ended, as far as it says something about the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestEnd {
    Answered,
    Refused,
    Failed,
}

impl RequestEnd {
    fn of(answer: &FetchResult) -> Self {
        match answer {
            Ok(_) => Self::Answered,
            // The source is well: it is this request that it does not answer.
            Err(
                FetchError::NoPrice | FetchError::NotFound | FetchError::Client(_) | FetchError::TooLarge,
            ) => Self::Answered,
            Err(error) if error.is_refusal() => Self::Refused,
            Err(_) => Self::Failed,
        }
    }
}

/// What a request's end is for the whole source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing is asked for during this time.
    Paused(Duration),
    /// The source answers again.
    Resumed,
    /// Symbols that stand apart were refused: nothing.
    Apart,
}

/// A symbol's standing.
#[derive(Debug)]
struct Member {
    ticker: Arc<Ticker>,
    phase: u32,
    /// The place of its slot in the interval.
    offset: Duration,
    /// `None` while a request is under way.
    due: Option<Instant>,
    /// Symbols of a request that it may be part of; less than a batch after a batch failed.
    most: usize,
    /// How often `most` became less since the symbol was answered in a whole batch.
    narrowed: u32,
    /// `most` stays as it is until then.
    narrow_until: Instant,
    /// In a row.
    failures: u32,
    /// Those of the failures that were refusals while others were answered.
    refusals: u32,
}

impl Member {
    fn is_apart(&self) -> bool {
        self.refusals >= OWN_REFUSALS
    }

    fn narrow(&mut self, now: Instant, most: usize) {
        self.most = most;
        self.narrowed = self.narrowed.saturating_add(1);
        self.narrow_until = now + backoff::of_batch(self.narrowed);
    }

    fn answered(&mut self, now: Instant, batch: usize) {
        (self.failures, self.refusals) = (0, 0);
        if self.most == batch {
            self.narrowed = 0;
        } else if self.narrow_until <= now {
            self.most = batch;
        }
    }
}

/// When each symbol is due; at most one request for a symbol is under way.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Where the first interval begins.
    zero: Instant,
    pace: Pace,
    /// The interval kept: longer than the pace's if the rate asks for that.
    kept: Duration,
    /// Requests that ask for all.
    slots: u32,
    members: HashMap<String, Member>,
    queue: BTreeSet<(Instant, String)>,
    /// No start before: the rate, or a pause.
    ready: Instant,
    under_way: usize,
    pause: Pause,
    /// The request under way is a trial.
    is_trying: bool,
    last: RequestEnd,
}

impl Schedule {
    /// An empty schedule of a source that has this pause.
    pub(super) fn new(now: Instant, pause: Pause) -> Self {
        let second = Duration::from_secs(1);
        Self {
            zero: now,
            pace: Pace { interval: second, gap: Duration::ZERO, batch: 1, at_once: 1 },
            kept: second,
            slots: 0,
            members: HashMap::new(),
            queue: BTreeSet::new(),
            ready: now,
            under_way: 0,
            pause,
            is_trying: false,
            last: RequestEnd::Answered,
        }
    }

    /// From now on exactly these tickers, at this pace; returns the interval kept.
    pub(super) fn set(&mut self, now: Instant, tickers: &[Arc<Ticker>], pace: Pace) -> Duration {
        let symbols: HashSet<&str> = tickers.iter().map(|ticker| ticker.symbol.as_str()).collect();
        self.members.retain(|symbol, _| symbols.contains(symbol.as_str()));
        self.queue.retain(|(_, symbol)| symbols.contains(symbol.as_str()));
        if self.members.is_empty() {
            self.zero = now;
        }
        let mut order: Vec<(u32, &Arc<Ticker>)> =
            tickers.iter().map(|ticker| (self.phase(&ticker.symbol), ticker)).collect();
        order.sort_by(|(one, a), (other, b)| (one, &a.symbol).cmp(&(other, &b.symbol)));

        let is_other_batch = mem::replace(&mut self.pace, pace).batch != pace.batch;
        self.slots = slots(order.len(), pace.batch);
        let kept = pace.interval.max(pace.gap.saturating_mul(self.slots)).max(Duration::from_millis(1));
        let is_other_grid = mem::replace(&mut self.kept, kept) != kept || is_other_batch;
        let added = order.iter().filter(|(_, ticker)| !self.members.contains_key(&ticker.symbol)).count();
        let soon = kept.min(FIRST_WITHIN.max(pace.gap.saturating_mul(slots(added, pace.batch))));
        let (from, mut nth) = (now.max(self.ready), 0);
        for (rank, (phase, ticker)) in order.iter().enumerate() {
            let offset = place(rank, order.len(), pace.batch, kept);
            if let Some(member) = self.members.get_mut(&ticker.symbol) {
                (member.ticker, member.offset) = (Arc::clone(ticker), offset);
                if is_other_batch {
                    (member.most, member.narrowed) = (pace.batch, 0);
                }
                // Who waits by itself goes on waiting.
                if is_other_grid && member.due.is_some() && member.failures == 0 {
                    self.place_after(&ticker.symbol, from);
                }
            } else {
                let member = Member {
                    ticker: Arc::clone(ticker),
                    phase: *phase,
                    offset,
                    due: None,
                    most: pace.batch,
                    narrowed: 0,
                    narrow_until: now,
                    failures: 0,
                    refusals: 0,
                };
                self.members.insert(ticker.symbol.clone(), member);
                self.place(&ticker.symbol, from + place(nth, added, pace.batch, soon));
                nth += 1;
            }
        }
        kept
    }

    /// When the next request may start; `None` while too many are under way, or nobody is to be asked for.
    pub(super) fn next(&self) -> Option<Instant> {
        let pause = self.pause.state();
        let at_once = if pause.refusals > 0 { 1 } else { self.pace.at_once };
        // Of all who share the pause, one tries.
        let (due, _) = self.first().filter(|_| self.under_way < at_once && !pause.is_tried)?;
        Some((*due).max(self.ready).max(pause.end.unwrap_or(self.ready)))
    }

    /// Returns the request that is to start now; its symbols are out of the queue until [`Self::done`].
    pub(super) fn start(&mut self, now: Instant) -> Option<Request> {
        if self.next()? > now {
            return None;
        }
        let (_, first) = self.first()?;
        // Whoever failed is not asked for together with those that did not.
        let standing = |symbol: &str| {
            self.members.get(symbol).map(|member| (member.most, member.failures > 0, member.is_apart()))
        };
        let like = standing(first)?;
        // Each further trial is smaller: where every batch holds a symbol that is refused, one without it is found.
        let trial = self.pace.batch.checked_shr(self.pause.state().refusals).unwrap_or(0).max(1);
        let due = self.queue.iter().take_while(|(due, _)| *due <= now).map(|(_, symbol)| symbol);
        let others = due.filter(|symbol| *symbol != first && standing(symbol) == Some(like));
        let symbols: Vec<String> = once(first).chain(others).take(like.0.min(trial)).cloned().collect();

        let mut tickers = Vec::with_capacity(symbols.len());
        for symbol in symbols {
            let Some(member) = self.members.get_mut(&symbol) else { continue };
            tickers.push(Arc::clone(&member.ticker));
            if let Some(due) = member.due.take() {
                self.queue.remove(&(due, symbol));
            }
        }
        self.ready = now + self.gap(now);
        self.under_way += 1;
        self.is_trying |= self.pause.starts();
        Some(Request { tickers, is_alone: like.0 == 1 })
    }

    /// Takes note of how a request ended. Each of its symbols is due again, unless it was removed meanwhile.
    pub(super) fn done(&mut self, now: Instant, request: &Request, answer: &FetchResult) -> Option<Turn> {
        self.under_way = self.under_way.saturating_sub(1);
        if mem::take(&mut self.is_trying) {
            self.pause.tried();
        }
        let ended = RequestEnd::of(answer);
        let before = mem::replace(&mut self.last, ended);
        let resumed = ended == RequestEnd::Answered && self.pause.answered(now);
        match answer {
            Ok(quotes) => {
                for (ticker, quote) in request.tickers.iter().zip(quotes) {
                    self.heard(now, &ticker.symbol, request.is_alone, quote);
                }
            }
            Err(error) => {
                let turn = self.failed(now, request, error, before);
                if turn.is_some() {
                    return turn;
                }
            }
        }
        resumed.then_some(Turn::Resumed)
    }

    fn heard(&mut self, now: Instant, symbol: &str, is_alone: bool, quote: &QuoteResult) {
        let Some(member) = self.members.get_mut(symbol).filter(|member| member.due.is_none()) else { return };
        if matches!(quote, Err(FetchError::NotFound)) && !is_alone {
            member.narrow(now, 1);
            self.place(symbol, now);
        } else {
            member.answered(now, self.pace.batch);
            self.place_after(symbol, now + self.kept / 2);
        }
    }

    fn failed(
        &mut self,
        now: Instant,
        request: &Request,
        error: &FetchError,
        before: RequestEnd,
    ) -> Option<Turn> {
        let ended = self.last;
        let is_trial = self.pause.state().refusals > 0;
        // The source itself is well, but for this batch.
        let asks_again = ended == RequestEnd::Answered && !request.is_alone;
        let halves = asks_again || (before == RequestEnd::Answered && !request.is_alone);
        let (mut failures, mut is_apart) = (0, true);
        for ticker in &request.tickers {
            let Some(member) = self.members.get_mut(&ticker.symbol) else { continue };
            is_apart &= member.is_apart();
            member.failures = member.failures.saturating_add(1);
            failures = failures.max(member.failures);
            if ended == RequestEnd::Refused && !is_trial {
                member.refusals = member.refusals.saturating_add(1);
            }
            if halves {
                member.narrow(now, request.tickers.len().div_ceil(2));
            }
        }
        let pauses = ended == RequestEnd::Refused && (is_trial || !is_apart);
        let pause = if pauses { self.pause.refused(now, error.retry_after()) } else { None };
        let behind = self.pause.state().end.filter(|_| pauses);
        self.ready = self.ready.max(behind.unwrap_or(now));
        let wait = backoff::of_request(error, failures);
        for ticker in &request.tickers {
            let symbol = &ticker.symbol;
            match behind {
                _ if self.members.get(symbol).is_none_or(|member| member.due.is_some()) => {}
                // Behind what is overdue by then.
                Some(end) => self.place(symbol, end),
                None if asks_again => self.place(symbol, now),
                None => self.place_after(symbol, now + wait.max(self.kept / 2)),
            }
        }
        let is_own = ended == RequestEnd::Refused && !pauses;
        pause.map(Turn::Paused).or(is_own.then_some(Turn::Apart))
    }

    /// What is due first. After a refusal it is who failed least: an answer then says that the source is well.
    fn first(&self) -> Option<&(Instant, String)> {
        let longest = self.queue.first();
        if self.last != RequestEnd::Refused {
            return longest;
        }
        let due = self.queue.iter().take_while(|(due, _)| *due <= self.ready);
        due.min_by_key(|(_, symbol)| self.members.get(symbol).map(|member| member.failures)).or(longest)
    }

    /// Between this start and the next one: after a pause, what is overdue spreads over half an interval.
    fn gap(&self, now: Instant) -> Duration {
        let catches_up = self.pause.state().end.is_some_and(|end| now < end + self.kept);
        let spread = if catches_up { self.kept / 2 / self.slots.max(1) } else { Duration::ZERO };
        self.pace.gap.max(spread)
    }

    fn phase(&self, symbol: &str) -> u32 {
        self.members.get(symbol).map_or_else(|| phase(symbol), |member| member.phase)
    }

    fn place(&mut self, symbol: &str, due: Instant) {
        let Some(member) = self.members.get_mut(symbol) else { return };
        if let Some(before) = member.due.replace(due) {
            self.queue.remove(&(before, symbol.to_owned()));
        }
        self.queue.insert((due, symbol.to_owned()));
    }

    /// Due at the first place of its slot later than `time`.
    fn place_after(&mut self, symbol: &str, time: Instant) {
        let Some(offset) = self.members.get(symbol).map(|member| member.offset) else { return };
        let (kept, past) = (self.kept.as_nanos(), time.saturating_duration_since(self.zero).as_nanos());
        let wait = kept - (past + kept - offset.as_nanos()) % kept;
        self.place(symbol, time + Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX)));
    }
}

/// A stable place of a symbol among all.
fn phase(symbol: &str) -> u32 {
    let hash = Sha256::digest(symbol.as_bytes());
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

/// How many requests it takes to ask for so many.
fn slots(count: usize, batch: usize) -> u32 {
    u32::try_from(count.div_ceil(batch)).unwrap_or(u32::MAX)
}

/// When the `rank`th of `count` has its place in a span: slots lie evenly in it, none larger than a batch.
fn place(rank: usize, count: usize, batch: usize, span: Duration) -> Duration {
    let all = slots(count, batch);
    let slot = u32::try_from(rank * all as usize / count.max(1)).unwrap_or(u32::MAX);
    span.saturating_mul(slot) / all.max(1)
}

#[cfg(test)]
mod tests;
