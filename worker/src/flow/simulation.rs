//! Thirty days of simulated markets, minute by minute, against the verdict that the operator would come to.
#![allow(clippy::unwrap_used, clippy::panic)]

mod restarts;

use std::collections::HashMap;

use stockwatch_crds::flow::{FlowReason, verdict};

use super::session::{DAY, HOUR, Instrument, MINUTE, Session};
use super::tickers::Tickers;
use crate::metrics::FetchOutcome;

/// Polls that must agree before a condition turns.
const POLLS: usize = 3;
/// The first of January 2026 in days since 1970.
const NEW_YEAR: i64 = 20_454;

/// A day of 2026 in days since 1970.
fn day(month: usize, day: i64) -> i64 {
    let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    NEW_YEAR + lengths[..month - 1].iter().sum::<i64>() + day - 1
}

/// Local time against UTC in hours, in winter and in summer, and the Sundays on which clocks change.
#[derive(Clone, Copy)]
struct Zone {
    winter: i64,
    summer: i64,
    changes: (i64, i64),
}

impl Zone {
    fn offset(self, of_day: i64) -> i64 {
        let is_summer = (self.changes.0..self.changes.1).contains(&of_day);
        HOUR * if is_summer { self.summer } else { self.winter }
    }
}

/// A market, and how its source shows it. Times are local, in minutes of the day.
#[derive(Clone)]
struct Market {
    name: &'static str,
    instrument: Instrument,
    zone: Zone,
    open: i64,
    close: i64,
    lunch: Option<(i64, i64)>,
    delay: i64,
    holidays: Vec<i64>,
    /// Days that end early, with the time.
    half_days: Vec<(i64, i64)>,
    /// A trade comes in about so many minutes; where it is regular, in exactly so many.
    pace: u32,
    is_regular: bool,
}

impl Market {
    fn exchange(name: &'static str, zone: Zone, open: i64, close: i64) -> Self {
        let instrument = Instrument::Other;
        Self {
            name,
            instrument,
            zone,
            open,
            close,
            lunch: None,
            delay: 0,
            holidays: vec![],
            half_days: vec![],
            pace: 1,
            is_regular: false,
        }
    }

    /// As seconds since 1970, whether there is a holiday or not; `None` at weekends.
    fn hours(&self, of_day: i64) -> Option<(i64, i64)> {
        let midnight = of_day * DAY - self.zone.offset(of_day);
        let weekday = (of_day + 3).rem_euclid(7);
        let half = self.half_days.iter().find(|(half, _)| *half == of_day);
        let close = half.map_or(self.close, |(_, close)| *close);
        match self.instrument {
            Instrument::Crypto => Some((midnight, midnight + DAY)),
            // From New York's Sunday evening to its Friday evening; the source shows a day's hours.
            Instrument::Currency => (weekday < 5).then_some((midnight - 2 * HOUR, midnight + 22 * HOUR)),
            _ => (weekday < 5).then_some((midnight + self.open * MINUTE, midnight + close * MINUTE)),
        }
    }

    /// What the source says at a time: the day's hours, on holidays too; at weekends those of Friday.
    fn shown(&self, now: i64) -> Session {
        let today = (now + self.zone.offset(now.div_euclid(DAY))).div_euclid(DAY);
        let (start, end) = (0..7).find_map(|back| self.hours(today - back)).unwrap();
        let session = Session::new(Some(self.name.into()), self.instrument);
        session.trading(start, end, Some(self.zone.offset(today)))
    }

    /// The time of the newest trade that the source shows.
    fn newest(&self, now: i64) -> i64 {
        let seen = now - self.delay * MINUTE;
        let mut trades = (0..400).flat_map(|back| {
            let of_day = (seen + self.zone.offset(seen.div_euclid(DAY))).div_euclid(DAY) + 1 - back;
            let hours = self.hours(of_day).filter(|_| !self.holidays.contains(&of_day));
            let (start, end) = hours.unwrap_or((0, 0));
            let last = seen.min(end) / MINUTE;
            (start / MINUTE..=last)
                .rev()
                .filter(move |minute| hours.is_some() && self.trades(of_day, *minute))
        });
        trades.next().unwrap() * MINUTE
    }

    fn trades(&self, of_day: i64, minute: i64) -> bool {
        let local = minute - (of_day * DAY - self.zone.offset(of_day)) / MINUTE;
        let pauses = self.lunch.is_some_and(|(from, to)| (from + 1..to).contains(&local));
        if self.is_regular {
            return !pauses && local % i64::from(self.pace) == 0;
        }
        !pauses && fastrand::Rng::with_seed(minute.unsigned_abs()).u32(..self.pace) == 0
    }
}

const NEW_YORK: Zone = Zone { winter: -5, summer: -4, changes: (NEW_YEAR + 66, NEW_YEAR + 304) };
const UTC: Zone = Zone { winter: 0, summer: 0, changes: (0, 0) };

fn europe(winter: i64) -> Zone {
    Zone { winter, summer: winter + 1, changes: (day(3, 29), day(10, 25)) }
}

fn new_york() -> Market {
    Market {
        holidays: vec![day(10, 20), day(3, 17)],
        half_days: vec![(day(11, 6), 13 * 60), (day(3, 20), 13 * 60)],
        ..Market::exchange("NMS", NEW_YORK, 570, 960)
    }
}

fn xetra() -> Market {
    Market {
        delay: 15,
        half_days: vec![(day(10, 30), 14 * 60)],
        holidays: vec![day(10, 21), day(3, 30)],
        ..Market::exchange("GER", europe(1), 540, 1050)
    }
}

fn tokyo() -> Market {
    let zone = Zone { winter: 9, summer: 9, ..UTC };
    let holidays = vec![day(11, 3), day(3, 20)];
    Market { lunch: Some((690, 750)), delay: 20, holidays, ..Market::exchange("JPX", zone, 540, 930) }
}

fn crypto() -> Market {
    Market { instrument: Instrument::Crypto, ..Market::exchange("CCC", UTC, 0, 0) }
}

fn markets() -> Vec<Market> {
    let zone = Zone { winter: 8, summer: 8, ..UTC };
    vec![
        new_york(),
        xetra(),
        tokyo(),
        crypto(),
        Market { holidays: vec![day(10, 26)], ..Market::exchange("LSE", europe(0), 480, 990) },
        Market { lunch: Some((690, 780)), ..Market::exchange("SHH", zone, 570, 900) },
        Market { instrument: Instrument::Currency, ..Market::exchange("CCY", UTC, 0, 0) },
        // One price a day, in the evening.
        Market { instrument: Instrument::MutualFund, ..Market::exchange("NAS", NEW_YORK, 1080, 1080) },
        Market { pace: 40, ..Market::exchange("PNK", NEW_YORK, 570, 960) },
    ]
}

/// A StockWatch with a ticker of each market, asked every minute and polled as often.
struct World {
    markets: Vec<Market>,
    tickers: Tickers,
    /// Times of the quotes of a day, by market: what the partition holds.
    held: HashMap<&'static str, Vec<i64>>,
    now: i64,
    said: Vec<FlowReason>,
}

/// What the source does at a time with the honest answer.
type Answer<'a> = dyn Fn(i64, i64) -> Result<i64, FetchOutcome> + 'a;

impl World {
    fn new(markets: Vec<Market>, start: i64) -> Self {
        let mut tickers = Tickers::default();
        tickers.follow(markets.iter().map(|market| market.name));
        Self { markets, tickers, held: HashMap::new(), now: start * DAY, said: Vec::new() }
    }

    /// Of one market, on a Thursday an hour after the opening; all was well until then.
    fn on_thursday(market: &Market) -> Self {
        let mut world = Self::new(vec![market.clone()], day(10, 12));
        let (opening, _) = market.hours(day(10, 15)).unwrap();
        world.honest((opening + HOUR - world.now) / MINUTE + market.delay);
        world
    }

    fn minute(&mut self, answer: &Answer<'_>) {
        self.now += MINUTE;
        for market in &self.markets {
            let session = market.shown(self.now);
            let answered = answer(self.now, market.newest(self.now));
            self.tickers
                .heard(self.now, [(market.name, answered.map(|event| (Some(event), Some(&session))))]);
            let held = self.held.entry(market.name).or_default();
            held.extend(answered.ok().filter(|event| held.last().is_none_or(|last| event > last)));
            let oldest = held.last().map_or(0, |newest| newest - DAY);
            held.retain(|time| *time > oldest);
        }
        self.said.extend(verdict(&[self.tickers.report(self.now)]).map(|verdict| verdict.reason));
    }

    /// Another worker takes over, with what the partition holds, of which it is told the newest.
    fn restart(&mut self) {
        self.tickers = Tickers::default();
        let newest = |held: &Vec<i64>| held[held.len().saturating_sub(21)..].to_vec();
        let held = self.held.iter().map(|(name, held)| ((*name).to_owned(), newest(held)));
        self.tickers.hold(held.collect());
        self.tickers.follow(self.markets.iter().map(|market| market.name));
    }

    /// So many minutes in which the source is honest and no poll finds anything wrong.
    fn honest(&mut self, minutes: i64) {
        for _ in 0..minutes {
            self.minute(&|_, event| Ok(event));
            let last = self.said.last().unwrap();
            assert!(last.flows(), "{}: {last:?} at {}", self.markets[0].name, self.now);
        }
    }

    /// Minutes until a condition that needs three polls turns, and the reason.
    fn turns(&mut self, flows: bool, answer: &Answer<'_>) -> (usize, FlowReason) {
        self.said.clear();
        loop {
            self.minute(answer);
            let minutes = self.said.len();
            assert!(minutes < 24 * 60, "it never turns");
            let last = &self.said[minutes.saturating_sub(POLLS)..];
            if last.len() == POLLS && last.iter().all(|reason| reason.flows() == flows) {
                return (minutes, last[POLLS - 1]);
            }
        }
    }
}

/// Clocks change within each: in Europe and then in America, or the other way round.
fn starts() -> [i64; 2] {
    [day(10, 12), day(3, 3)]
}

#[test]
fn thirty_days_of_any_market_alone_give_no_false_alarm() {
    for start in starts() {
        for market in markets() {
            World::new(vec![market], start).honest(30 * 24 * 60);
        }
    }
}

#[test]
fn thirty_days_of_all_markets_together_give_no_false_alarm() {
    for start in starts() {
        World::new(markets(), start).honest(30 * 24 * 60);
    }
}

#[test]
fn quotes_flow_in_the_session_and_markets_are_closed_at_night_at_weekends_and_on_holidays() {
    let mut world = World::new(vec![new_york()], day(10, 14));
    let mut at = |date: i64, minutes: i64| {
        let until = date * DAY + 4 * HOUR + minutes * MINUTE;
        world.honest((until - world.now) / MINUTE);
        world.said.last().unwrap().as_str()
    };
    assert_eq!(at(day(10, 16), 700), "Flowing");
    assert_eq!(at(day(10, 16), 1100), "MarketsClosed");
    assert_eq!(at(day(10, 18), 700), "MarketsClosed");
    assert_eq!(at(day(10, 19), 700), "Flowing");
    assert_eq!(at(day(10, 20), 700), "MarketsClosed");
    assert_eq!(at(day(10, 21), 700), "Flowing");
}

#[test]
fn a_source_that_refuses_hangs_or_goes_back_by_a_day_is_said_within_five_minutes_and_so_is_its_end() {
    let wrong: [(&Answer<'_>, FlowReason); 6] = [
        (&|_, _| Err(FetchOutcome::RateLimited), FlowReason::RateLimited),
        (&|_, _| Err(FetchOutcome::Refused), FlowReason::AllRefused),
        (&|_, _| Err(FetchOutcome::Timeout), FlowReason::NoQuotes),
        (&|_, _| Err(FetchOutcome::NotFound), FlowReason::NoQuotes),
        (&|_, event| Ok(event - DAY), FlowReason::StaleQuotes),
        (&|_, event| Ok(event - 8 * DAY), FlowReason::StaleQuotes),
    ];
    for market in [new_york(), xetra(), tokyo(), crypto()] {
        for (answer, expected) in wrong {
            let mut world = World::on_thursday(&market);
            let (minutes, reason) = world.turns(false, answer);
            assert_eq!(reason, expected, "{}", market.name);
            assert!(minutes <= 5, "{} {reason:?}: {minutes} min", market.name);
            (0..30).for_each(|_| world.minute(answer));
            let (minutes, reason) = world.turns(true, &|_, event| Ok(event));
            assert!(minutes <= 5, "{} {reason:?}: {minutes} min", market.name);
        }
    }
}

#[test]
fn silence_in_an_open_session_is_said_within_thirty_five_minutes() {
    for market in [new_york(), xetra(), tokyo(), crypto()] {
        let mut world = World::on_thursday(&market);
        let frozen = market.newest(world.now);
        let (minutes, reason) = world.turns(false, &|_, _| Ok(frozen));
        assert_eq!(reason, FlowReason::NoQuotes, "{}", market.name);
        assert!((30..=35).contains(&minutes), "{}: {minutes} min", market.name);
        assert!(world.turns(true, &|_, event| Ok(event)).0 <= 5, "{}", market.name);
    }
}

#[test]
fn silence_of_a_ticker_that_is_rarely_traded_is_said_after_ten_of_its_usual_gaps() {
    for pace in [2, 5, 10, 20] {
        let market = Market { pace, is_regular: true, ..new_york() };
        let (opening, _) = market.hours(day(10, 15)).unwrap();
        let mut world = World::new(vec![market], day(10, 12));
        // A trade is just then.
        world.honest((opening + HOUR - world.now) / MINUTE);
        let frozen = world.now;
        let (minutes, reason) = world.turns(false, &|_, _| Ok(frozen));
        assert_eq!(reason, FlowReason::NoQuotes);
        let limit = 30.max(10 * pace as usize);
        assert!((limit..=limit + 5).contains(&minutes), "a trade in {pace} minutes: {minutes} min");
        assert!(world.turns(true, &|_, event| Ok(event)).0 <= pace as usize + 5);
    }
}

#[test]
fn a_source_whose_answers_stand_still_for_days_is_never_said_to_flow_and_said_to_be_stale_after_twelve() {
    for market in [new_york(), xetra(), tokyo(), crypto()] {
        let mut world = World::on_thursday(&market);
        let frozen = market.newest(world.now);
        world.turns(false, &|_, _| Ok(frozen));
        world.said.clear();
        (0..8 * 24 * 60).for_each(|_| world.minute(&|_, _| Ok(frozen)));
        assert!(!world.said.contains(&FlowReason::Flowing), "{}", market.name);
        (0..4 * 24 * 60 + 60).for_each(|_| world.minute(&|_, _| Ok(frozen)));
        assert_eq!(world.said.last(), Some(&FlowReason::StaleQuotes), "{}", market.name);
    }
}

#[test]
fn silence_of_one_market_while_another_gives_quotes_is_no_silence_of_the_source() {
    let mut world = World::new(vec![xetra(), crypto()], day(10, 12));
    world.honest(3 * 24 * 60 + 9 * 60);
    let frozen = world.now;
    for _ in 0..120 {
        // That of Xetra comes late.
        world.minute(&|now, event| Ok(if event > now - MINUTE { event } else { event.min(frozen) }));
    }
    assert!(world.said.iter().all(|reason| reason.flows()));
}

#[test]
fn a_worker_that_begins_beside_a_dead_feed_says_so_when_several_tickers_agree() {
    let start = day(10, 15) * DAY + 17 * HOUR;
    let mut market = new_york();
    let names = ["A", "B", "C"];
    let markets = names.map(|name| {
        market.name = name;
        market.clone()
    });
    let mut world = World::new(markets.to_vec(), day(10, 15));
    world.now = start;
    let frozen = start - HOUR;
    let (minutes, reason) = world.turns(false, &|_, _| Ok(frozen));
    assert_eq!(reason, FlowReason::NoQuotes);
    assert!(minutes <= 65, "{minutes} min");
}
