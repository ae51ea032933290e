//! When a ticker's market trades, by what its source says.

/// Longest name of an exchange that is kept.
const MAX_EXCHANGE_BYTES: usize = 16;
/// Shown trading hours are of one day.
const MAX_HOURS: i64 = 24 * HOUR;
/// Markets that close for lunch are in zones this far east of Greenwich: Jakarta to Tokyo.
const LUNCH_ZONES: std::ops::RangeInclusive<i64> = 7 * HOUR..=9 * HOUR;
/// Local time that holds every lunch break there, with half an hour for the first trade after it: Tokyo 11:30 to 12:30,
/// Shanghai to 13:00, Bangkok to 14:00, Kuala Lumpur to 14:30.
const LUNCH: (i64, i64) = (11 * HOUR + HOUR / 2, 14 * HOUR + HOUR / 2);

pub(super) const MINUTE: i64 = 60;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
/// Currencies trade from Sunday 23:00 to Friday 21:00 UTC, whatever New York's clocks show.
const CURRENCIES_OPEN: i64 = 3 * DAY + 23 * HOUR;
const CURRENCIES_TRADE: i64 = 4 * DAY + 22 * HOUR;

/// What decides when an instrument trades, besides its exchange's hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instrument {
    /// Trades always.
    Crypto,
    /// Trades around the clock on working days.
    Currency,
    /// Has one price a day, at no fixed time.
    MutualFund,
    /// Trades in its exchange's hours.
    Other,
}

impl Instrument {
    /// Of Yahoo's `instrumentType`.
    pub fn named(kind: &str) -> Self {
        match kind {
            "CRYPTOCURRENCY" => Self::Crypto,
            "CURRENCY" => Self::Currency,
            "MUTUALFUND" | "MONEYMARKET" => Self::MutualFund,
            _ => Self::Other,
        }
    }
}

/// What a source says of a ticker's market.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    exchange: Option<String>,
    instrument: Instrument,
    regular: Option<Regular>,
}

/// Regular trading hours of one day: that of now, or the last or next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Regular {
    start: i64,
    end: i64,
    gmt_offset: Option<i64>,
}

/// A time in which an instrument trades, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trading {
    pub(super) start: i64,
    pub(super) end: i64,
    /// The part of it in which an exchange may pause.
    pub(super) lunch: Option<(i64, i64)>,
}

/// Whether a market trades, and since when, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Phase {
    pub(crate) is_open: bool,
    pub(crate) since: i64,
}

impl Session {
    /// A market without known hours. An exchange's name that is empty or too long is left out.
    pub fn new(exchange: Option<String>, instrument: Instrument) -> Self {
        let exchange = exchange.filter(|name| (1..=MAX_EXCHANGE_BYTES).contains(&name.len()));
        Self { exchange, instrument, regular: None }
    }

    /// The same with regular hours, in seconds since 1970, and the offset of local time in seconds. Hours that cannot be
    /// are left out.
    pub fn trading(mut self, start: i64, end: i64, gmt_offset: Option<i64>) -> Self {
        let is_possible = start > 0 && end > start && end.saturating_sub(start) <= MAX_HOURS;
        self.regular = is_possible.then_some(Regular { start, end, gmt_offset });
        self
    }

    /// The exchange, as the source calls it.
    pub fn exchange(&self) -> Option<&str> {
        self.exchange.as_deref()
    }

    /// The regular trading hours that the source showed last, in seconds since 1970.
    pub fn hours(&self) -> Option<(i64, i64)> {
        self.regular.map(|Regular { start, end, .. }| (start, end))
    }

    /// What decides when it trades.
    pub fn instrument(&self) -> Instrument {
        self.instrument
    }

    /// Whether it is known when quotes may come.
    pub(super) fn has_hours(&self) -> bool {
        match self.instrument {
            Instrument::Crypto | Instrument::Currency => true,
            Instrument::MutualFund => false,
            Instrument::Other => self.regular.is_some(),
        }
    }

    /// The time of trading that `now` is in or after; `None` where there is none, or it has not begun.
    pub(super) fn current(&self, now: i64) -> Option<Trading> {
        let trading = match self.instrument {
            Instrument::Crypto => Trading { start: 0, end: i64::MAX, lunch: None },
            Instrument::Currency => {
                // 1970 began on a Thursday: CURRENCIES_OPEN is the first Sunday's 23:00.
                let start = now - (now - CURRENCIES_OPEN).rem_euclid(WEEK);
                Trading { start, end: start + CURRENCIES_TRADE, lunch: None }
            }
            Instrument::MutualFund => return None,
            Instrument::Other => self.regular?.trading(),
        };
        (trading.start <= now).then_some(trading)
    }

    /// Whether quotes may come at a time, which they do until `closing` seconds after the close; `None` where hours are not
    /// known. Since a source shows one day, a closed market is taken to turn at the same times of each other day: then
    /// it is worth asking what is shown now.
    pub(crate) fn phase(&self, now: i64, closing: i64) -> Option<Phase> {
        if !self.has_hours() {
            return None;
        }
        if let Some(trading) = self.current(now) {
            let end = trading.end.saturating_add(closing);
            if now <= end {
                return Some(Phase { is_open: true, since: trading.start });
            }
            if self.instrument == Instrument::Currency {
                return Some(Phase { is_open: false, since: end });
            }
        }
        let (start, end) = self.hours()?;
        let last = |turn: i64| now - (now - turn).rem_euclid(DAY);
        Some(Phase { is_open: false, since: last(start).max(last(end + closing)) })
    }
}

impl Regular {
    fn trading(self) -> Trading {
        let lunch = self.gmt_offset.filter(|offset| LUNCH_ZONES.contains(offset)).map(|offset| {
            let midnight = self.start - (self.start + offset).rem_euclid(DAY);
            (midnight + LUNCH.0, midnight + LUNCH.1)
        });
        Trading { start: self.start, end: self.end, lunch }
    }
}

impl Trading {
    /// Seconds from one time to another without those of lunch, which a source shows `delay` later.
    pub(super) fn between(&self, from: i64, to: i64, delay: i64) -> i64 {
        let all = to.saturating_sub(from).max(0);
        let Some((start, end)) = self.lunch else { return all };
        let shared = to.min(end + delay) - from.max(start + delay);
        all - shared.max(0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn currencies_trade_from_sunday_evening_to_friday_evening() {
        let session = Session::new(None, Instrument::Currency);
        // Friday 2026-01-02 and Sunday 2026-01-04, in UTC.
        let (friday, sunday) = (1_767_312_000, 1_767_484_800);
        let open = |now: i64| session.current(now).is_some_and(|trading| now < trading.end);
        assert!(open(friday + 21 * HOUR - 1));
        assert!(!open(friday + 21 * HOUR));
        assert!(!open(sunday + 23 * HOUR - 1));
        assert!(open(sunday + 23 * HOUR));
        assert_eq!(session.current(sunday + 23 * HOUR).unwrap().start, sunday + 23 * HOUR);
    }

    #[test]
    fn a_market_is_open_until_its_quotes_have_come_and_turns_twice_a_day() {
        // New York on Friday 2026-01-02: 14:30 to 21:00 UTC.
        let midnight = 1_767_312_000;
        let (open, close) = (midnight + 14 * HOUR + HOUR / 2, midnight + 21 * HOUR);
        let session = Session::new(None, Instrument::Other).trading(open, close, None);
        for (now, is_open, since) in [
            (open - 1, false, close + MINUTE - DAY),
            (open, true, open),
            (close + MINUTE, true, open),
            (close + MINUTE + 1, false, close + MINUTE),
            (open + DAY - 1, false, close + MINUTE),
            (open + DAY, false, open + DAY),
            (close + 2 * DAY + HOUR, false, close + MINUTE + 2 * DAY),
        ] {
            assert_eq!(session.phase(now, MINUTE), Some(Phase { is_open, since }), "{}", now - midnight);
        }
        let always = Session::new(None, Instrument::Crypto).phase(open, MINUTE).unwrap();
        assert!(always.is_open);
        let currency = Session::new(None, Instrument::Currency).phase(midnight + 22 * HOUR, MINUTE);
        assert_eq!(currency, Some(Phase { is_open: false, since: close + MINUTE }));
        for unknown in [Instrument::Other, Instrument::MutualFund] {
            assert_eq!(Session::new(None, unknown).phase(open, MINUTE), None);
        }
    }

    #[test]
    fn time_in_lunch_does_not_count_where_exchanges_pause() {
        // Tokyo on 2026-01-05: 9:00 to 15:30 local time is 0:00 to 6:30 UTC.
        let midnight = 1_767_571_200;
        let session = Session::new(None, Instrument::Other);
        let tokyo = session.clone().trading(midnight, midnight + 6 * HOUR + HOUR / 2, Some(9 * HOUR));
        let trading = tokyo.current(midnight + HOUR).unwrap();
        let local = |hour: i64, minute: i64| midnight - 9 * HOUR + hour * HOUR + minute * MINUTE;
        assert_eq!(trading.between(local(10, 0), local(11, 0), 0), HOUR);
        assert_eq!(trading.between(local(11, 29), local(12, 31), 0), MINUTE);
        assert_eq!(trading.between(local(11, 30), local(15, 0), 0), HOUR / 2);
        assert_eq!(trading.between(local(11, 30), local(15, 0), 15 * MINUTE), HOUR / 2);
        assert_eq!(trading.between(local(12, 0), local(12, 1), 0), 0);
        let london = session.trading(midnight, midnight + HOUR, Some(0)).current(midnight).unwrap();
        assert_eq!(london.between(local(11, 0), local(15, 0), 0), 4 * HOUR);
    }

    #[test]
    fn hours_that_cannot_be_are_none() {
        for (start, end) in [(0, 5), (10, 10), (10, 5), (10, i64::MAX), (-5, 5)] {
            let session = Session::new(None, Instrument::Other).trading(start, end, None);
            assert!(!session.has_hours(), "{start} {end}");
            assert_eq!(session.current(i64::MAX), None);
        }
    }
}
