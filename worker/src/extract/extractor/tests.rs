#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use stockwatch_crds::{Alarms, Spec, YahooMode};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::*;
use crate::config::LiveSpec;
use crate::extract::pause::Pause;
use crate::extract::poll::poll;
use crate::extract::source::{Ask, FetchResult, Pace, Request};
use crate::extract::{FetchedQuote, simulated, yahoo};
use crate::topics::tests::kafka;

const MINUTE: Duration = Duration::from_secs(60);

type Fate = dyn Fn(&str) -> (Duration, QuoteResult) + Send + Sync;

/// A source that writes down who asked when.
#[derive(Clone)]
struct Fake {
    calls: Arc<Mutex<Vec<(Instant, String)>>>,
    fate: Arc<Fate>,
    under_way: Arc<AtomicUsize>,
    most_under_way: Arc<AtomicUsize>,
}

impl Fake {
    fn new(fate: impl Fn(&str) -> (Duration, QuoteResult) + Send + Sync + 'static) -> Self {
        Self {
            calls: Arc::default(),
            fate: Arc::new(fate),
            under_way: Arc::default(),
            most_under_way: Arc::default(),
        }
    }

    fn good() -> Self {
        Self::new(|_| (Duration::from_millis(50), quote()))
    }

    /// Takes what was asked since the last call.
    fn calls(&self) -> Vec<(Instant, String)> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    fn count(&self) -> HashMap<String, usize> {
        self.calls().into_iter().fold(HashMap::new(), |mut count, (_, symbol)| {
            *count.entry(symbol).or_default() += 1;
            count
        })
    }
}

impl Ask for Fake {
    fn pace(&self, orders: &Orders) -> Option<Pace> {
        yahoo::pace(orders).or_else(|| simulated::pace(orders))
    }

    fn ask(&self, request: &Request) -> BoxFuture<'static, FetchResult> {
        let (this, symbol) = (self.clone(), request.tickers[0].symbol.clone());
        async move {
            this.calls.lock().unwrap().push((Instant::now(), symbol.clone()));
            let under_way = this.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            this.most_under_way.fetch_max(under_way, Ordering::SeqCst);
            let (delay, quote) = (this.fate)(&symbol);
            sleep(delay).await;
            this.under_way.fetch_sub(1, Ordering::SeqCst);
            quote.map(|quote| vec![Ok(quote)])
        }
        .boxed()
    }
}

/// What was written, and whether more would be lost.
#[derive(Clone, Default)]
struct Records(Arc<Mutex<Vec<Record>>>, Arc<AtomicBool>);

impl Publisher for Records {
    fn publish(&mut self, record: &Record) {
        self.0.lock().unwrap().push(record.clone());
    }

    fn has_room(&self) -> bool {
        !self.1.load(Ordering::SeqCst)
    }
}

fn quote() -> QuoteResult {
    FetchedQuote::new("512.34", "1700000000", Some("USD".into()))
}

fn charts(interval: Duration) -> Source {
    let nowhere = String::new();
    Source::Yahoo {
        mode: YahooMode::Chart,
        interval,
        base_url: nowhere.clone(),
        user_agent: nowhere,
        proxy: None,
    }
}

fn spec(count: usize) -> Spec {
    let ticker = |i| Ticker { symbol: format!("S{i}"), entity: format!("e{i}"), overrides: vec![] };
    Spec {
        namespace: "ns".into(),
        name: "test".into(),
        tickers: (0..count).map(ticker).collect(),
        wildcard: false,
        wildcard_overrides: vec![],
        windows: vec![],
        alarms: Alarms::default(),
        trade: None,
        source: charts(MINUTE),
        kafka: kafka("unused"),
        suspend: false,
    }
}

fn live(spec: Spec) -> Arc<LiveSpec> {
    Arc::new(LiveSpec { uid: String::new(), generation: None, revision: 1, spec, ignored: vec![] })
}

fn owned(count: i32, partitions: impl IntoIterator<Item = i32>) -> OwnedPartitions {
    OwnedPartitions { partition_count: count, partitions: partitions.into_iter().collect() }
}

/// An extractor that runs beside the test.
struct Running {
    spec: watch::Sender<Arc<LiveSpec>>,
    owned: watch::Sender<OwnedPartitions>,
    stop: watch::Sender<bool>,
    metrics: Arc<Metrics>,
    flow: Arc<Flow>,
    records: Records,
    task: JoinHandle<Records>,
}

fn start(source: &Fake, spec: Spec, owned: OwnedPartitions) -> Running {
    let (spec, spec_receiver) = watch::channel(live(spec));
    let (owned, owned_receiver) = watch::channel(owned);
    let (stop, stop_receiver) = watch::channel(false);
    let (metrics, records) = (Arc::new(Metrics::new()), Records::default());
    let source = source.clone();
    let start_source: StartSource = Box::new(move |spec, orders, batches| {
        Ok(match spec {
            Source::External { .. } => None,
            _ => Some(poll(source.clone(), Pause::default(), orders, batches).boxed()),
        })
    });
    let (shared, sink) = (Arc::clone(&metrics), records.clone());
    let flow: Arc<Flow> = Arc::default();
    let extractor =
        Extractor::new(spec_receiver, owned_receiver, shared, Arc::clone(&flow), sink, start_source);
    let task = tokio::spawn(extractor.run(stop_receiver));
    Running { spec, owned, stop, metrics, flow, records, task }
}

fn most_in_a_second(calls: &[(Instant, String)]) -> usize {
    let second = Duration::from_secs(1);
    let within = |at: Instant| calls.iter().filter(|(other, _)| at <= *other && *other < at + second).count();
    calls.iter().map(|(at, _)| within(*at)).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn just_the_tickers_of_owned_partitions_are_fetched_and_go_there() {
    let (source, spec) = (Fake::good(), spec(50));
    let running = start(&source, spec.clone(), owned(6, [1, 4]));
    sleep(2 * MINUTE).await;
    let mine: BTreeSet<String> = spec
        .tickers
        .iter()
        .filter(|ticker| [1, 4].contains(&partition_for_key(format!("{:?}", ticker.entity).as_bytes(), 6)))
        .map(|ticker| ticker.symbol.clone())
        .collect();
    assert!(mine.len() > 5 && mine.len() < 40);
    assert_eq!(source.count().into_keys().collect::<BTreeSet<_>>(), mine);
    assert_eq!(running.metrics.tickers_owned.get(), i64::try_from(mine.len()).unwrap());
    for record in running.records.0.lock().unwrap().iter() {
        assert_eq!(record.partition, partition_for_key(record.key.as_bytes(), 6));
        assert_eq!(record.topic, "raw");
        let value: serde_json::Value = serde_json::from_slice(&record.value).unwrap();
        assert_eq!(value["entityname"].to_string(), record.key);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fetched_before_the_partitions_are_known() {
    let source = Fake::good();
    let running = start(&source, spec(5), OwnedPartitions::default());
    sleep(2 * MINUTE).await;
    assert!(source.calls().is_empty());
    running.owned.send_replace(owned(1, [0]));
    sleep(Duration::from_secs(6)).await;
    assert_eq!(source.count().len(), 5, "each comes within seconds");
}

#[tokio::test(start_paused = true)]
async fn a_revoked_partitions_tickers_stop_at_once() {
    let source = Fake::new(|_| (Duration::from_secs(2), quote()));
    let running = start(&source, spec(30), owned(1, [0]));
    sleep(2 * MINUTE).await;
    running.owned.send_replace(owned(1, []));
    sleep(Duration::from_millis(1)).await;
    let written = running.records.0.lock().unwrap().len();
    source.calls();
    sleep(10 * MINUTE).await;
    assert!(source.calls().is_empty());
    assert_eq!(running.records.0.lock().unwrap().len(), written, "nothing that was under way is written");
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_the_stockwatchs_and_each_process_has_its_share() {
    let source = Fake::good();
    let running = start(&source, spec(700), owned(1, [0]));
    sleep(5 * MINUTE).await;
    let calls = source.calls();
    assert!(most_in_a_second(&calls) <= 5, "{}", most_in_a_second(&calls));
    assert!((running.metrics.fetch_interval_seconds.get() - 140.0).abs() < 1e-9, "stretched evenly");
    assert!(calls.len() > 1450, "{}: nearly all of the rate is used", calls.len());
    // The same with more tickers, a changed interval and half of the partitions at once.
    let mut edited = spec(1000);
    edited.source = charts(MINUTE / 2);
    running.spec.send_replace(live(edited));
    running.owned.send_replace(owned(2, [1]));
    sleep(10 * MINUTE).await;
    let calls = source.calls();
    assert!(most_in_a_second(&calls) <= 3, "{}", most_in_a_second(&calls));
    let symbols = calls.iter().map(|(_, symbol)| symbol).collect::<BTreeSet<_>>().len();
    assert_eq!(i64::try_from(symbols).unwrap(), running.metrics.tickers_owned.get());
}

#[tokio::test(start_paused = true)]
async fn a_slow_source_holds_a_bounded_number_of_requests() {
    let source = Fake::new(|_| (Duration::from_secs(10), Err(FetchError::Timeout)));
    let running = start(&source, spec(600), owned(1, [0]));
    sleep(10 * MINUTE).await;
    assert_eq!(source.most_under_way.load(Ordering::SeqCst), 3);
    assert!(running.metrics.fetches.get_or_create(&FetchOutcome::Timeout).get() > 100);
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_silence_the_whole_process_unless_it_is_always_one_symbol() {
    let wait = Duration::from_secs(200);
    let source = Fake::new(move |symbol| {
        let refused = Err(FetchError::RateLimited { retry_after: Some(wait) });
        (Duration::ZERO, if symbol == "S7" { refused } else { quote() })
    });
    let running = start(&source, spec(20), owned(1, [0]));
    sleep(30 * MINUTE).await;
    let calls = source.calls();
    let refusals: Vec<usize> = (0..calls.len() - 1).filter(|i| calls[*i].1 == "S7").collect();
    let silent = |i: &&usize| calls[**i + 1].0 - calls[**i].0 >= wait;
    assert_eq!(refusals.iter().filter(silent).collect::<Vec<_>>(), refusals[..2].iter().collect::<Vec<_>>());
    assert!(refusals.len() > 4, "its own wait begins");
    assert!(most_in_a_second(&calls) <= 5, "and it does not come back in a burst");
    let counted = running.metrics.fetches.get_or_create(&FetchOutcome::RateLimited).get();
    assert_eq!(usize::try_from(counted).unwrap(), calls.iter().filter(|call| call.1 == "S7").count());
}

#[tokio::test(start_paused = true)]
async fn the_source_is_not_down_while_one_symbol_of_two_is_always_refused() {
    let source = Fake::new(|symbol| {
        let refused = Err(FetchError::Refused { said: "402".into(), retry_after: None });
        (Duration::ZERO, if symbol == "S1" { refused } else { quote() })
    });
    let mut spec = spec(2);
    spec.source = charts(10 * MINUTE);
    let running = start(&source, spec, owned(1, [0]));
    // Until it stands apart.
    sleep(120 * MINUTE).await;
    source.calls();
    for _ in 0..12 * 60 {
        sleep(MINUTE).await;
        assert_eq!(running.flow.report(&charts(MINUTE)).down, None);
    }
    let count = source.count();
    assert!(count["S0"] >= 71 && count["S1"] >= 12, "{count:?}");
}

#[tokio::test(start_paused = true)]
async fn one_bad_symbol_never_stops_the_rest_and_is_asked_less_often() {
    let source = Fake::new(|symbol| {
        let bad = Err(FetchError::Server { status: "500".into(), retry_after: None });
        (Duration::from_millis(50), if symbol == "S3" { bad } else { quote() })
    });
    let mut spec = spec(10);
    spec.source = charts(Duration::from_secs(10));
    let running = start(&source, spec, owned(1, [0]));
    sleep(20 * MINUTE).await;
    let count = source.count();
    assert!(count["S3"] < 30 && count["S3"] > 5, "{}", count["S3"]);
    assert!(count["S4"] >= 119, "{}", count["S4"]);
    let errors = running.metrics.fetches.get_or_create(&FetchOutcome::ServerError).get();
    assert_eq!(usize::try_from(errors).unwrap(), count["S3"]);
}

#[tokio::test(start_paused = true)]
async fn tickers_are_added_renamed_and_removed_while_it_runs() {
    let source = Fake::good();
    let running = start(&source, spec(3), owned(1, [0]));
    sleep(2 * MINUTE).await;
    let mut edited = spec(4);
    edited.tickers.remove(0);
    edited.tickers[0].entity = "renamed".into();
    running.spec.send_replace(live(edited));
    sleep(Duration::from_secs(1)).await;
    source.calls();
    running.records.0.lock().unwrap().clear();
    sleep(2 * MINUTE).await;
    let count = source.count();
    assert_eq!(
        count.keys().collect::<BTreeSet<_>>(),
        BTreeSet::from([&"S1".into(), &"S2".into(), &"S3".into()])
    );
    let keys: BTreeSet<String> =
        running.records.0.lock().unwrap().iter().map(|record| record.key.clone()).collect();
    assert_eq!(keys, BTreeSet::from(["\"renamed\"".into(), "\"e2\"".into(), "\"e3\"".into()]));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_asks_nobody_and_a_suspended_spec_fetch_nothing() {
    let source = Fake::good();
    let running = start(&source, spec(3), owned(1, [0]));
    sleep(2 * MINUTE).await;
    for change in [
        |spec: &mut Spec| spec.source = Source::External { expect_every: None },
        |spec: &mut Spec| spec.suspend = true,
    ] {
        let mut edited = spec(3);
        change(&mut edited);
        running.spec.send_replace(live(edited));
        sleep(Duration::from_secs(1)).await;
        source.calls();
        sleep(5 * MINUTE).await;
        assert!(source.calls().is_empty());
        running.spec.send_replace(live(spec(3)));
        sleep(2 * MINUTE).await;
        assert_eq!(source.count().len(), 3, "and they go on afterwards");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_ends_when_another_source_is_named() {
    let hour = 60 * MINUTE;
    let source =
        Fake::new(move |_| (Duration::ZERO, Err(FetchError::RateLimited { retry_after: Some(hour) })));
    let running = start(&source, spec(3), owned(1, [0]));
    sleep(MINUTE).await;
    assert_eq!(source.calls().len(), 1);
    let mut edited = spec(3);
    edited.source = Source::Simulated { interval: Duration::from_secs(1), seed: 1 };
    running.spec.send_replace(live(edited));
    sleep(Duration::from_secs(2)).await;
    assert!(!source.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn simulated_quotes_are_not_held_to_the_rate() {
    let source = Fake::new(|_| (Duration::ZERO, quote()));
    let mut spec = spec(200);
    spec.source = Source::Simulated { interval: Duration::from_secs(1), seed: 1 };
    let _running = start(&source, spec, owned(1, [0]));
    sleep(MINUTE).await;
    let count = source.calls().len();
    assert!((11_000..=12_200).contains(&count), "{count} of 200 a second");
}

#[tokio::test(start_paused = true)]
async fn while_brokers_take_nothing_a_source_waits_but_edits_and_the_end_do_not() {
    let source = Fake::good();
    let running = start(&source, spec(200), owned(1, [0]));
    running.records.1.store(true, Ordering::SeqCst);
    sleep(5 * MINUTE).await;
    assert!(running.records.0.lock().unwrap().is_empty());
    let asked = source.calls().len();
    assert!((1..30).contains(&asked), "{asked}: it is not asked for what has no room");
    running.spec.send_replace(live(spec(300)));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(running.metrics.tickers_owned.get(), 300);
    running.records.1.store(false, Ordering::SeqCst);
    sleep(2 * MINUTE).await;
    assert!(running.records.0.lock().unwrap().len() >= 300);
    running.records.1.store(true, Ordering::SeqCst);
    running.stop.send_replace(true);
    running.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_told_or_when_nobody_owns_anything_any_more() {
    let running = start(&Fake::good(), spec(3), owned(1, [0]));
    running.stop.send_replace(true);
    running.task.await.unwrap();

    let Running { owned, task, stop: _stop, spec: _spec, .. } = start(&Fake::good(), spec(3), owned(1, [0]));
    drop(owned);
    task.await.unwrap();
}
