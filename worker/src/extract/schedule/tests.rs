#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use proptest::prelude::*;

use super::*;
use crate::extract::FetchedQuote;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
const SPARK: Pace = Pace { interval: MINUTE, gap: Duration::from_secs(1), batch: 20, at_once: 1 };
const CHART: Pace = Pace { interval: MINUTE, gap: Duration::from_millis(200), batch: 1, at_once: 3 };
/// How long an answer takes.
const LATENCY: Duration = Duration::from_millis(150);

fn tickers(symbols: impl IntoIterator<Item = usize>) -> Vec<Arc<Ticker>> {
    let ticker = |i| Ticker { symbol: format!("S{i}"), entity: format!("e{i}"), overrides: vec![] };
    symbols.into_iter().map(|i| Arc::new(ticker(i))).collect()
}

fn quote() -> QuoteResult {
    FetchedQuote::new("1", "1700000000", None)
}

fn well(request: &Request) -> FetchResult {
    Ok(request.tickers.iter().map(|_| quote()).collect())
}

fn refused() -> FetchResult {
    Err(FetchError::RateLimited { retry_after: None })
}

fn asks_for(request: &Request, symbols: &[&str]) -> bool {
    request.tickers.iter().any(|ticker| symbols.contains(&ticker.symbol.as_str()))
}

/// A schedule and all that it asked.
struct World {
    schedule: Schedule,
    zero: Instant,
    now: Instant,
    asked: Vec<(Duration, Request)>,
    pauses: Vec<Duration>,
}

impl World {
    fn new(count: usize, pace: Pace) -> Self {
        let now = Instant::now();
        let schedule = Schedule::new(now, Pause::default());
        let mut world = Self { schedule, zero: now, now, asked: vec![], pauses: vec![] };
        world.schedule.set(now, &tickers(0..count), pace);
        world
    }

    /// Goes on until so long after the beginning; `answer` hears when it is asked, and what.
    fn run(&mut self, until: Duration, mut answer: impl FnMut(Duration, &Request) -> FetchResult) {
        while let Some(at) =
            self.schedule.next().map(|at| at.max(self.now)).filter(|at| *at < self.zero + until)
        {
            let request = self.schedule.start(at).unwrap();
            let since = at - self.zero;
            let answer = answer(since, &request);
            self.now = at + LATENCY;
            if let Some(Turn::Paused(_)) = self.schedule.done(self.now, &request, &answer) {
                self.pauses.push(since);
            }
            self.asked.push((since, request));
        }
        self.now = self.zero + until;
    }

    /// What was asked from a time on.
    fn since(&self, from: Duration) -> impl Iterator<Item = &(Duration, Request)> {
        self.asked.iter().filter(move |(at, _)| *at >= from)
    }

    fn times(&self, symbol: &str, from: Duration) -> usize {
        self.since(from).filter(|(_, request)| asks_for(request, &[symbol])).count()
    }

    fn most_within(&self, span: Duration) -> usize {
        let at = |i: usize| self.asked[i].0;
        let within = |i: usize| (i..self.asked.len()).take_while(|j| at(*j) < at(i) + span).count();
        (0..self.asked.len()).map(within).max().unwrap_or(0)
    }

    /// The part of the intervals of a span in which each symbol is asked for; the least of all those not left out.
    fn least_coverage(&self, count: usize, except: &[&str], from: Duration, to: Duration) -> f64 {
        let mut seen: HashMap<&str, HashSet<u64>> = HashMap::new();
        for (at, request) in self.since(from).filter(|(at, _)| *at < to) {
            for ticker in &request.tickers {
                seen.entry(&ticker.symbol).or_default().insert((*at - from).as_secs() / 60);
            }
        }
        let intervals = (to - from).as_secs() / 60;
        let coverage =
            |i| seen.get(format!("S{i}").as_str()).map_or(0, HashSet::len) as f64 / intervals as f64;
        let others = (0..count).filter(|i| !except.contains(&format!("S{i}").as_str()));
        others.map(coverage).fold(1.0, f64::min)
    }
}

#[test]
fn every_symbol_is_asked_for_once_an_interval_evenly_and_first_within_seconds() {
    for (pace, requests) in [(SPARK, 3), (CHART, 44)] {
        let mut world = World::new(44, pace);
        world.run(21 * MINUTE, |_, request| well(request));
        for i in 0..44 {
            let symbol = format!("S{i}");
            let first = world.asked.iter().find(|(_, request)| asks_for(request, &[&symbol])).unwrap().0;
            assert!(first < Duration::from_secs(10), "{symbol}: {first:?}");
            assert!((20..=22).contains(&world.times(&symbol, Duration::ZERO)), "{symbol}");
        }
        for minute in 1..20 {
            for third in 0..3 {
                let from = minute * MINUTE + third * MINUTE / 3;
                let count = world.since(from).filter(|(at, _)| *at < from + MINUTE / 3).count();
                assert!((requests / 3..=requests / 3 + 1).contains(&count), "{count} of {requests}");
            }
        }
    }
}

#[test]
fn a_thousand_symbols_are_51_requests_a_minute_at_most_and_two_in_a_second() {
    let mut world = World::new(1000, SPARK);
    world.run(30 * MINUTE, |_, request| well(request));
    assert!(world.most_within(MINUTE) <= 51, "{}", world.most_within(MINUTE));
    assert!(world.most_within(Duration::from_secs(1)) <= 2);
    assert!(world.asked.iter().all(|(_, request)| request.tickers.len() <= 20 && !request.is_alone));
    assert!((29..=31).contains(&world.times("S7", Duration::ZERO)));
}

#[test]
fn a_process_with_a_third_of_the_partitions_asks_at_a_third_of_the_rate() {
    let mut world = World::new(334, Pace { gap: 3 * SPARK.gap, ..SPARK });
    world.run(30 * MINUTE, |_, request| well(request));
    assert!(world.most_within(MINUTE) <= 20, "{}", world.most_within(MINUTE));
    assert!(world.least_coverage(334, &[], 5 * MINUTE, 30 * MINUTE) >= 0.9);
}

#[test]
fn symbols_that_do_not_fit_the_rate_stretch_the_interval_evenly() {
    let mut world = World::new(1000, CHART);
    let kept = world.schedule.set(world.now, &tickers(0..1000), CHART);
    assert_eq!(kept, Duration::from_secs(200));
    world.run(11 * kept, |_, request| well(request));
    assert!(world.most_within(Duration::from_secs(1)) <= 5);
    for i in 0..1000 {
        assert!((10..=11).contains(&world.times(&format!("S{i}"), Duration::ZERO)));
    }
}

#[test]
fn a_changed_interval_or_mode_does_not_burst() {
    for pace in [Pace { interval: 3 * MINUTE / 4, ..CHART }, SPARK] {
        let mut world = World::new(200, CHART);
        world.run(2 * MINUTE, |_, request| well(request));
        world.schedule.set(world.now, &tickers(0..200), pace);
        world.asked.clear();
        world.run(2 * MINUTE + pace.interval, |_, request| well(request));
        assert!(
            world.most_within(Duration::from_secs(1)) <= 8,
            "{}",
            world.most_within(Duration::from_secs(1))
        );
        let asked: usize = world.asked.iter().map(|(_, request)| request.tickers.len()).sum();
        assert!((180..=220).contains(&asked), "{asked}: a batch more or less");
    }
}

#[test]
fn a_removed_symbol_is_not_put_back_and_an_added_one_comes_soon() {
    let mut world = World::new(2, CHART);
    world.run(MINUTE, |_, request| well(request));
    let later = world.now + MINUTE;
    let request = world.schedule.start(later).unwrap();
    world.schedule.set(later, &[], CHART);
    world.schedule.done(later, &request, &well(&request));
    assert_eq!(world.schedule.next(), None);
    world.schedule.set(later, &tickers([7]), CHART);
    assert!(world.schedule.next().unwrap() <= later + FIRST_WITHIN);
}

#[test]
fn whom_a_batch_leaves_out_is_asked_for_alone_and_then_seldom() {
    let mut world = World::new(20, SPARK);
    world.run(120 * MINUTE, |_, request| {
        let quote_of = |ticker: &Arc<Ticker>| match ticker.symbol.as_str() {
            "S3" => Err(FetchError::NotFound),
            // Only a chart knows it.
            "S5" if !request.is_alone => Err(FetchError::NotFound),
            _ => quote(),
        };
        match (request.is_alone, quote_of(&request.tickers[0])) {
            (true, Err(error)) => Err(error),
            _ => Ok(request.tickers.iter().map(quote_of).collect()),
        }
    });
    let (_, second) = &world.asked[1];
    assert!(second.is_alone && world.asked[1].0 < 2 * MINUTE / 10, "at once");
    let alone = |symbol: &str| {
        world.asked.iter().filter(|(_, request)| request.is_alone && asks_for(request, &[symbol])).count()
    };
    assert!((4..=12).contains(&alone("S3")), "{}", alone("S3"));
    assert!((110..=122).contains(&alone("S5")), "{}", alone("S5"));
    assert!(world.least_coverage(20, &["S3"], MINUTE, 120 * MINUTE) >= 0.98);
}

/// The operator asks each worker within 66 s again, and names what it hears at once.
#[test]
fn a_mistyped_symbol_among_a_thousand_is_known_in_time_to_be_named_within_150_seconds() {
    for mistyped in (0..1000).step_by(111).map(|i| format!("S{i}")) {
        let mut world = World::new(1000, SPARK);
        world.run(3 * MINUTE, |_, request| {
            let quote_of = |ticker: &Arc<Ticker>| match ticker.symbol == mistyped {
                true => Err(FetchError::NotFound),
                false => quote(),
            };
            Ok(request.tickers.iter().map(quote_of).collect())
        });
        let is_told =
            |(_, request): &&(Duration, Request)| request.is_alone && asks_for(request, &[&mistyped]);
        let (asked, _) = world.asked.iter().find(is_told).unwrap();
        assert!(*asked + LATENCY <= Duration::from_secs(150 - 66), "{mistyped}: {asked:?}");
    }
}

#[test]
fn a_batch_that_is_refused_for_one_of_its_symbols_is_halved_until_that_is_alone() {
    let mut world = World::new(44, SPARK);
    world.run(121 * MINUTE, |_, request| {
        if asks_for(request, &["S9"]) { Err(FetchError::Client("400".into())) } else { well(request) }
    });
    let (found, _) =
        world.asked.iter().find(|(_, request)| request.is_alone && asks_for(request, &["S9"])).unwrap();
    let before = world.asked.iter().filter(|(at, _)| at <= found).count();
    assert!(before <= 12, "{before} requests, three of which each minute has");
    assert!(world.pauses.is_empty());
    assert!(world.least_coverage(44, &["S9"], MINUTE, 121 * MINUTE) >= 0.98);
    assert!(world.times("S9", 61 * MINUTE) <= 6);
    let hour = world.since(61 * MINUTE).count();
    assert!(hour <= 60 * 3 + 12, "{hour}: the others are together again");
}

#[test]
fn a_batch_whose_answer_is_too_large_is_halved_until_one_fits() {
    let mut world = World::new(44, SPARK);
    world.run(121 * MINUTE, |_, request| {
        if request.tickers.len() > 3 || asks_for(request, &["S9"]) {
            Err(FetchError::TooLarge)
        } else {
            well(request)
        }
    });
    assert!(world.pauses.is_empty());
    let coverage = world.least_coverage(44, &["S9"], 2 * MINUTE, 121 * MINUTE);
    assert!(coverage >= 0.9, "{coverage}");
    assert!(world.times("S9", 61 * MINUTE) <= 8, "{}", world.times("S9", 61 * MINUTE));
}

#[test]
fn a_batch_that_fails_beside_good_ones_does_not_blind_its_other_symbols() {
    for answer in [FetchError::Timeout, FetchError::Server { status: "500".into(), retry_after: None }] {
        let mut world = World::new(20, SPARK);
        world.run(
            120 * MINUTE,
            |_, request| {
                if asks_for(request, &["S9"]) { Err(answer.clone()) } else { well(request) }
            },
        );
        assert!(world.least_coverage(20, &["S9"], 15 * MINUTE, 120 * MINUTE) >= 0.9, "{answer}");
    }
}

#[test]
fn an_outage_does_not_take_batches_apart() {
    let mut world = World::new(1000, SPARK);
    let outage = 5 * MINUTE..25 * MINUTE;
    world.run(
        28 * MINUTE,
        |at, request| if outage.contains(&at) { Err(FetchError::Timeout) } else { well(request) },
    );
    assert!(world.most_within(MINUTE) <= 60);
    assert!(world.least_coverage(1000, &[], 25 * MINUTE, 28 * MINUTE) > 0.0, "all came back");
}

#[test]
fn an_hours_ban_costs_ten_requests_and_its_end_is_two_intervals_to_all_quotes() {
    for (count, pace) in [(44, SPARK), (1000, SPARK), (44, CHART), (3, CHART)] {
        let mut world = World::new(count, pace);
        let ban = 10 * MINUTE..70 * MINUTE;
        world.run(110 * MINUTE, |at, request| if ban.contains(&at) { refused() } else { well(request) });
        let refusals = world.since(ban.start).filter(|(at, _)| *at < ban.end).count();
        assert!((5..=10).contains(&refusals), "{refusals}");
        let (again, _) = *world.since(ban.end).next().unwrap();
        assert!(again < ban.end + Duration::from_secs(1800), "{again:?}");
        let soon: HashSet<&str> = world
            .since(again)
            .take_while(|(at, _)| *at <= again + 2 * MINUTE)
            .flat_map(|(_, request)| request.tickers.iter().map(|ticker| ticker.symbol.as_str()))
            .collect();
        assert_eq!(soon.len(), count);
        assert!(world.most_within(Duration::from_secs(1)) <= 5, "no burst");
    }
}

#[test]
fn after_a_pause_who_waited_longest_comes_first_and_who_was_refused_comes_last() {
    let mut world = World::new(5, CHART);
    let mut first = None;
    world.run(10 * MINUTE, |at, request| {
        if at > 3 * MINUTE && first.is_none() {
            first = Some((at, request.tickers[0].symbol.clone()));
            return Err(FetchError::RateLimited { retry_after: Some(2 * MINUTE) });
        }
        well(request)
    });
    let (at, symbol) = first.unwrap();
    let after: Vec<&str> =
        world.since(at).skip(1).take(5).map(|(_, request)| request.tickers[0].symbol.as_str()).collect();
    assert_eq!(after.iter().collect::<HashSet<_>>().len(), 5, "{after:?}");
    assert_eq!(after[4], symbol);
    let before: Vec<&str> = world
        .asked
        .iter()
        .filter(|(asked, _)| *asked < at)
        .rev()
        .take(4)
        .map(|(_, r)| r.tickers[0].symbol.as_str())
        .collect();
    assert!(after[..4].iter().eq(before.iter().rev()), "{before:?} {after:?}");
}

#[test]
fn two_of_44_that_are_always_refused_do_not_starve_the_others() {
    for pace in [SPARK, CHART] {
        let mut world = World::new(44, pace);
        let always = ["S7", "S31"];
        world.run(DAY, |_, request| if asks_for(request, &always) { refused() } else { well(request) });
        let third = world.pauses.get(2).copied().unwrap_or(Duration::ZERO);
        let coverage = world.least_coverage(44, &always, third, DAY);
        assert!(coverage >= 0.9, "{coverage} with {pace:?}");
        assert!(world.pauses.len() <= 12, "{}", world.pauses.len());
        for symbol in always {
            assert!(
                (40..200).contains(&world.times(symbol, Duration::ZERO)),
                "{}",
                world.times(symbol, Duration::ZERO)
            );
        }
    }
}

#[test]
fn a_source_that_answers_five_requests_a_minute_and_refuses_more_starves_nobody() {
    let mut world = World::new(44, CHART);
    let mut answered: Vec<Duration> = Vec::new();
    world.run(DAY, |at, request| {
        answered.retain(|before| at < *before + MINUTE);
        if answered.len() < 5 {
            answered.push(at);
            well(request)
        } else {
            refused()
        }
    });
    for hour in 1..24 {
        let hour = hour * 60 * MINUTE;
        for i in 0..44 {
            let symbol = format!("S{i}");
            let times = world.since(hour).take_while(|(at, _)| *at < hour + 60 * MINUTE);
            assert!(
                times.filter(|(_, request)| asks_for(request, &[&symbol])).count() > 0,
                "{symbol} at {hour:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn whoever_is_always_refused_nobody_starves(
        seed: u64,
        always in prop::collection::hash_set(0_usize..44, 0..=43),
        is_spark: bool,
    ) {
        fastrand::seed(seed);
        let names: Vec<String> = always.iter().map(|i| format!("S{i}")).collect();
        let always: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut world = World::new(44, if is_spark { SPARK } else { CHART });
        world.run(10 * DAY, |_, request| if asks_for(request, &always) { refused() } else { well(request) });
        for day in 0..10 {
            let day = day * DAY;
            for i in 0..44 {
                let symbol = format!("S{i}");
                let mut today = world.since(day).take_while(|(at, _)| *at < day + DAY);
                prop_assert!(today.any(|(_, request)| asks_for(request, &[&symbol])), "{symbol} on {day:?}");
            }
        }
        let coverage = world.least_coverage(44, &always, 2 * DAY, 10 * DAY);
        prop_assert!(coverage >= 0.9, "{coverage}, {} pauses", world.pauses.len());
    }
}
