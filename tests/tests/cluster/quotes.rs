//! Whether quotes flow, as a StockWatch's status says: nothing while nothing turns, and what turns with its reason.

use serde_json::json;
use stockwatch_tests::{
    Answer, Audit, Broker, Cluster, FakeYahoo, Namespace, Release, Ticker, Until, Watch, chart, condition,
    soon, wait_for,
};

const WATCH: &str = "stockwatch/tech";
const T: u64 = 1_700_000_000;

/// A StockWatch whose workers ask this server each second.
fn apply(home: &Namespace, yahoo: &FakeYahoo, symbols: &[&str]) {
    let mut watch = Watch::simulated(home.name(), "tech", Broker::shared_for_pods().bootstrap());
    watch.tickers = symbols.iter().map(|symbol| Ticker::of(symbol)).collect();
    watch.source = json!({"yahoo": {"interval": "1s", "baseUrl": yahoo.url()}});
    home.apply(&watch.text()).unwrap();
}

fn rising(symbol: &str) -> impl Iterator<Item = Answer> {
    (0..1000).map(move |i| chart(symbol, "USD", &format!("{}.5", 100 + i % 7), T + i))
}

#[test]
fn a_source_that_refuses_everything_turns_quotesflow_and_its_next_answer_turns_it_back() {
    let _release = Release::shared();
    let (cluster, yahoo) = (Cluster::shared(), FakeYahoo::start_for_pods(Cluster::shared()));
    let home = Namespace::create(cluster, "refusing");
    ["A", "B"].iter().for_each(|symbol| yahoo.script(symbol, rising(symbol)));
    apply(&home, &yahoo, &["A", "B"]);
    home.await_ready("tech");
    home.wait(60, WATCH, &Until::because("QuotesFlow", "Flowing"));
    for (status, reason) in [(403, "AllRefused"), (429, "RateLimited")] {
        let refusal = Answer::Whole(status, "", "no".into());
        ["A", "B"].iter().for_each(|symbol| yahoo.script(symbol, [refusal.clone()]));
        home.wait(60, WATCH, &Until::because("QuotesFlow", reason));
        let refused = home.get(WATCH);
        assert_eq!(condition(&refused, "QuotesFlow")["status"], "False");
        assert_eq!(condition(&refused, "Ready")["status"], "True", "Ready does not depend on it");
        ["A", "B"].iter().for_each(|symbol| yahoo.script(symbol, rising(symbol)));
        home.wait(120, WATCH, &Until::because("QuotesFlow", "Flowing"));
    }
    let shown = home.kubectl(&["get", "sw"]);
    let columns: Vec<&str> = shown.lines().next().unwrap().split_whitespace().collect();
    assert!(columns.contains(&"QUOTES") && columns.contains(&"REASON"), "{shown}");
    assert!(shown.contains("Flowing") && shown.contains("Working"), "{shown}");
}

#[test]
fn a_mistyped_symbol_is_named_and_nothing_is_written_after_that() {
    let release = Release::shared();
    let (cluster, yahoo) = (Cluster::shared(), FakeYahoo::start_for_pods(Cluster::shared()));
    let home = Namespace::create(cluster, "mistyped");
    yahoo.script("A", rising("A"));
    apply(&home, &yahoo, &["A", "MISTYPED"]);
    home.await_ready("tech");
    home.wait(60, WATCH, &Until::because("QuotesFlow", "SomeTickersFail"));
    wait_for(60, "the symbol is named", || {
        let named = home.get(WATCH)["status"]["failingTickers"].clone();
        soon(named[0]["symbol"] == "MISTYPED" && named[0]["reason"] == "NotFound", named)
    });
    let version = || home.get(WATCH)["metadata"]["resourceVersion"].clone();
    let (before, mut audit) = (version(), Audit::begin(cluster));
    let asked = release.metric("quotes_requests", "");
    wait_for(120, "its worker is asked again and again", || {
        let more = release.metric("quotes_requests", "") - asked;
        soon(more >= 20.0, more)
    });
    assert_eq!(version(), before);
    let written = audit.of(&release.user()).into_iter().filter(|request| request.namespace == home.name());
    assert_eq!(written.collect::<Vec<_>>(), []);
}

#[test]
fn without_workers_nothing_is_known_of_quotes() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "unknown");
    home.simulate("tech", |_| {});
    home.await_ready("tech");
    home.wait(60, WATCH, &Until::because("QuotesFlow", "Flowing"));
    home.patch(WATCH, &json!({"spec": {"suspend": true}}));
    home.wait(60, WATCH, &Until::because("QuotesFlow", "NoReadyWorkers"));
    assert_eq!(condition(&home.get(WATCH), "QuotesFlow")["status"], "Unknown");
}
