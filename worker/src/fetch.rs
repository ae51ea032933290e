//! `stockwatch-worker fetch`: asks a source for some symbols, once, and says what it answers from this network.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use stockwatch_core::parse_nanos;
use stockwatch_crds::{Source, Spec, Ticker};

use crate::args;
use crate::config::{self, FindError};
use crate::extract::once::{Likely, Outcome, once};
use crate::extract::{FetchedQuote, printable};
use crate::flow::Session;
use crate::process::{BAD_INPUT, complain};

/// Columns of the symbol and of the price with its currency.
const SYMBOL: usize = 12;
const PRICE: usize = 20;

/// Why nothing is asked.
#[derive(Debug, thiserror::Error)]
enum FetchCommandError {
    #[error(transparent)]
    Spec(#[from] FindError),
    #[error("no symbol: name some, or a StockWatch by --watch-file")]
    NoSymbol,
    #[error("--{0} is for a source of Yahoo, and {1} has another one")]
    NotYahoo(&'static str, String),
    #[error("{0}")]
    Source(String),
    #[error("the process cannot start, or nobody reads its output: {0}")]
    Io(#[from] io::Error),
}

/// Prints a line for each symbol. 0: each has a quote, 1: not each, 2: nothing could be asked.
pub fn run(arguments: &args::Fetch) -> ExitCode {
    match start(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&error);
            ExitCode::from(BAD_INPUT)
        }
    }
}

/// Returns whether all came.
fn start(arguments: &args::Fetch) -> Result<bool, FetchCommandError> {
    let (source, tickers) = what(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut out = io::stdout().lock();
    let (mut all_came, mut written) = (true, Ok(()));
    let mut each = |ticker: &Ticker, outcome: Outcome| {
        all_came &= matches!(outcome, Outcome::Quote(_));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let now = i128::try_from(now).unwrap_or(i128::MAX);
        if written.is_ok() {
            written = writeln!(out, "{}", line(ticker, &outcome, now));
        }
    };
    let asked = runtime.block_on(once(&source, &tickers, &arguments.source_secrets, &mut each));
    asked.map_err(FetchCommandError::Source)?;
    written?;
    Ok(all_came)
}

/// The source and whom to ask it for.
fn what(arguments: &args::Fetch) -> Result<(Source, Vec<Arc<Ticker>>), FetchCommandError> {
    let named =
        |symbol: &String| Ticker { symbol: symbol.clone(), entity: symbol.clone(), overrides: Vec::new() };
    let mut tickers: Vec<Ticker> = arguments.symbols.iter().map(named).collect();
    let mut source = Source::default();
    if let Some(spec) = stockwatch(arguments)? {
        source = spec.source;
        if tickers.is_empty() {
            tickers = spec.tickers;
        }
    }
    if let Source::Yahoo { mode, base_url, user_agent, .. } = &mut source {
        if let Some(other) = arguments.mode {
            *mode = other.into();
        }
        if let Some(other) = &arguments.base_url {
            other.trim_end_matches('/').clone_into(base_url);
        }
        if let Some(other) = &arguments.user_agent {
            user_agent.clone_from(other);
        }
    } else {
        let given = [
            ("mode", arguments.mode.is_some()),
            ("base-url", arguments.base_url.is_some()),
            ("user-agent", arguments.user_agent.is_some()),
        ];
        if let Some((name, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
            let file = arguments.watch_file.as_ref().map(|file| file.display().to_string());
            let whose = file.unwrap_or_else(|| "the StockWatch of this pod".into());
            return Err(FetchCommandError::NotYahoo(name, whose));
        }
    }
    if tickers.is_empty() {
        return Err(FetchCommandError::NoSymbol);
    }
    Ok((source, tickers.into_iter().map(Arc::new).collect()))
}

/// The StockWatch whose source is asked; `None`: Yahoo is, as by default.
fn stockwatch(arguments: &args::Fetch) -> Result<Option<Spec>, FindError> {
    let file = arguments.watch_file.as_deref();
    let spec = match config::find(file, &arguments.pod) {
        Ok(live) => live.spec,
        Err(FindError::NoCopy { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    // Before a StockWatch is given a source that can be asked, its pod's network is tried with symbols.
    let is_asked = !matches!(spec.source, Source::External { .. } | Source::Simulated { .. });
    Ok(Some(spec).filter(|_| is_asked || file.is_some() || arguments.symbols.is_empty()))
}

/// What came is a stranger's text: a terminal must not obey it.
fn line(ticker: &Ticker, outcome: &Outcome, now: i128) -> String {
    printable(&format!("{:<SYMBOL$} {}", ticker.symbol, said(outcome, now)))
}

fn said(outcome: &Outcome, now: i128) -> String {
    match outcome {
        Outcome::Quote(quote) => quoted(quote, now),
        Outcome::Failed(error) => format!("{error} ({})", Likely::of(error).as_str()),
        Outcome::Silent(patience) => format!(
            "nothing came in {} s (its market may be closed, or the symbol mistyped: --mode spark tells)",
            patience.as_secs()
        ),
        Outcome::NotAsked => {
            "not asked: the source refused before, and asking on would make a ban longer".into()
        }
    }
}

/// Price, currency, time and age.
fn quoted(quote: &FetchedQuote, now: i128) -> String {
    let price = format!("{} {}", quote.price(), quote.currency().unwrap_or_default());
    let nanos = parse_nanos(quote.time().as_bytes()).unwrap_or_default();
    let time = jiff::Timestamp::from_nanosecond(nanos)
        .map_or_else(|_| quote.time().to_owned(), |time| time.to_string());
    let hours = quote.session().and_then(Session::hours);
    let session = hours.map(|(start, end)| format!(", session {} to {}", moment(start), moment(end)));
    format!("{price:<PRICE$} {time:<20} {}{}", age(now - nanos), session.unwrap_or_default())
}

/// In UTC, of seconds since 1970.
fn moment(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

fn age(nanos: i128) -> String {
    match nanos / 1_000_000_000 {
        ..0 => "in the future".to_owned(),
        seconds @ 0..120 => format!("{seconds} s old"),
        seconds @ 120..7_200 => format!("{} min old", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h old", seconds / 3_600),
        seconds => format!("{} days old", seconds / 86_400),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;
    use crate::extract::FetchError;

    const SECOND: i128 = 1_000_000_000;

    /// What `fetch` asks in a pod whose StockWatch has this source.
    fn in_pod(source: &str, arguments: &[&str]) -> Result<(Source, Vec<Arc<Ticker>>), FetchCommandError> {
        let directory = tempfile::tempdir().unwrap();
        let copy = format!(
            r#"{{"apiVersion": "stockwatch.dev/v1alpha1", "kind": "StockWatch",
                "metadata": {{"name": "tech", "namespace": "market", "uid": "u", "generation": 1}},
                "spec": {{"tickers": [{{"symbol": "IBM"}}], "source": {source}, "kafka": {{"bootstrapServers": "k:1"}}}}}}"#
        );
        std::fs::write(directory.path().join("stockwatch.json"), copy).unwrap();
        let pod = ["--spec-directory", directory.path().to_str().unwrap(), "--state-directory", "/none"];
        let all = [&["stockwatch-worker", "fetch"][..], &pod, arguments].concat();
        let args::Command::Fetch(fetch) = args::Arguments::try_parse_from(all).unwrap().command else {
            panic!("fetch was asked for")
        };
        what(&fetch)
    }

    #[test]
    fn in_a_pod_the_source_of_its_stockwatch_is_asked() {
        let proxied =
            r#"{"yahoo": {"baseUrl": "https://gateway.example", "proxy": {"urlSecret": {"name": "p"}}}}"#;
        let (source, tickers) = in_pod(proxied, &["META"]).unwrap();
        let Source::Yahoo { base_url, proxy, .. } = source else { panic!("{source:?}") };
        assert!(base_url == "https://gateway.example" && proxy.is_some(), "{base_url}");
        assert_eq!(tickers[0].symbol, "META");
        let (_, tickers) = in_pod(proxied, &[]).unwrap();
        assert_eq!(tickers[0].symbol, "IBM", "without symbols, the StockWatch's tickers");

        let provider =
            r#"{"http": {"url": "https://provider.example/{symbol}", "price": "/p", "time": "/t"}}"#;
        assert!(matches!(in_pod(provider, &["META"]), Ok((Source::Http(_), _))));
        let error = in_pod(provider, &["META", "--mode", "chart"]).unwrap_err();
        assert!(error.to_string().contains("the StockWatch of this pod has another one"), "{error}");
    }

    #[test]
    fn in_a_pod_whose_source_cannot_be_asked_symbols_are_asked_of_yahoo() {
        let simulated = r#"{"simulated": {}}"#;
        assert!(matches!(in_pod(simulated, &["META"]), Ok((Source::Yahoo { .. }, _))));
        assert!(matches!(in_pod(simulated, &[]), Ok((Source::Simulated { .. }, _))));
        assert!(in_pod("{}", &["META"]).is_err(), "a copy that cannot be used is said to be so");
    }

    #[test]
    fn a_quote_is_shown_with_its_time_and_age() {
        let quote = FetchedQuote::new("512.340", "1790000000", Some("USD".into())).unwrap();
        let line = said(&Outcome::Quote(quote), 1_790_000_012 * SECOND);
        assert_eq!(line, "512.340 USD          2026-09-21T14:13:20Z 12 s old");
        for (seconds, expected) in [
            (-1, "in the future"),
            (119, "119 s old"),
            (120, "2 min old"),
            (7_200, "2 h old"),
            (691_200, "8 days old"),
        ] {
            assert_eq!(age(seconds * SECOND), expected);
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_escaped() {
        let ticker = Ticker { symbol: "ÄÖ=X".into(), entity: "a".into(), overrides: vec![] };
        let quote = FetchedQuote::new("1", "1790000000", Some("\u{1b}[2J\u{202e}\n'$'".into())).unwrap();
        let line = line(&ticker, &Outcome::Quote(quote), 1_790_000_012 * SECOND);
        assert!(line.starts_with(r"ÄÖ=X         1 \u{1b}[2J\u{202e}\n'$'"), "{line}");
    }

    #[test]
    fn a_failure_is_shown_with_what_it_looks_like() {
        let refused = |said: &str| FetchError::Refused { said: said.into(), retry_after: None };
        for (error, expected) in [
            (FetchError::RateLimited { retry_after: None }, "like a limit"),
            (refused("401 Unauthorized"), "a refusal of this client"),
            (refused("a page for people, perhaps for their consent"), "a consent page"),
            (refused("a redirect to guce.yahoo.com"), "a consent page"),
            (FetchError::NotFound, "a mistyped or delisted symbol"),
            (FetchError::Timeout, "an outage"),
        ] {
            let line = said(&Outcome::Failed(error.clone()), 0);
            assert!(line.starts_with(&error.to_string()) && line.contains(expected), "{line}");
        }
        assert!(said(&Outcome::Silent(Duration::from_secs(30)), 0).starts_with("nothing came in 30 s"));
    }
}
