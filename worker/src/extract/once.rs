//! Asks a source once, for whoever wants to know what it answers from here.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stockwatch_crds::{Source, Ticker, YahooMode};
use tokio::time::sleep;

use super::client::{PAGE, REDIRECT};
use super::secrets::SourceSecrets;
use super::source::{Ask, Pace, Request};
use super::stream::Stream;
use super::{FetchError, FetchedQuote, Orders, http, yahoo};

/// The stream tells of a symbol only when it is traded.
const STREAM_PATIENCE: Duration = Duration::from_secs(30);

/// What became of one ticker.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Its quote.
    Quote(FetchedQuote),
    /// Why there is none.
    Failed(FetchError),
    /// The stream said nothing of it while it was listened to.
    Silent(Duration),
    /// The source had refused before: to go on would make a ban longer.
    NotAsked,
}

/// What a failure looks like from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likely {
    /// Too many requests came from this address.
    Limit,
    /// The source refuses this client: its User-Agent, its TLS handshake, or its key.
    Client,
    /// The source wants somebody's consent first, or sends a browser elsewhere.
    Consent,
    /// The source does not know the symbol.
    Symbol,
    /// The network or the source is down.
    Outage,
    /// The configuration does not fit what the source answers.
    Configuration,
}

impl Likely {
    /// Returns what a failure looks like.
    pub fn of(error: &FetchError) -> Self {
        match error {
            FetchError::RateLimited { .. } => Self::Limit,
            FetchError::Refused { said, .. } if said == PAGE || said.starts_with(REDIRECT) => Self::Consent,
            FetchError::Refused { .. } => Self::Client,
            FetchError::NotFound | FetchError::NoPrice | FetchError::Client(_) => Self::Symbol,
            FetchError::Server { .. } | FetchError::Timeout | FetchError::Connect(_) => Self::Outage,
            FetchError::NotConfigured(_) | FetchError::TooLarge | FetchError::BadBody(_) => {
                Self::Configuration
            }
        }
    }

    /// Returns it in words, with what to do.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Limit => {
                "looks like a limit: ask less often, or wait for some minutes; if this was the first request for \
                 long, like a refused User-Agent or TLS handshake: try --user-agent, and no proxy that ends TLS"
            }
            Self::Client => {
                "looks like a refusal of this client: its User-Agent, its TLS handshake (a proxy that ends TLS?), its key, \
                 or its country"
            }
            Self::Consent => {
                "looks like a consent page: ask from another network, or through a proxy elsewhere"
            }
            Self::Symbol => "looks like a mistyped or delisted symbol",
            Self::Outage => "looks like an outage of the network or of the source",
            Self::Configuration => "looks like a configuration that does not fit the answer",
        }
    }
}

/// Asks for each ticker once, within the source's rate, until it refuses; whom a batch leaves out is asked for alone. `each`
/// hears what became of each ticker as soon as that is known. The error is a sentence: the source cannot be asked at all.
pub async fn once(
    spec: &Source,
    tickers: &[Arc<Ticker>],
    secrets: &Path,
    each: &mut impl FnMut(&Ticker, Outcome),
) -> Result<(), String> {
    let material = SourceSecrets::new(secrets).read(spec)?;
    let orders = Orders { spec: spec.clone(), tickers: tickers.to_vec(), owned: 1, partitions: 1 };
    match spec {
        Source::Yahoo { mode: YahooMode::Stream, base_url, user_agent, .. } => {
            let quotes = Stream::new(base_url, user_agent, &material)?.once(tickers, STREAM_PATIENCE).await;
            let quotes = quotes.unwrap_or_else(|error| vec![Some(Err(error)); tickers.len()]);
            for (ticker, quote) in tickers.iter().zip(quotes) {
                each(ticker, quote.map_or(Outcome::Silent(STREAM_PATIENCE), Outcome::from));
            }
        }
        Source::Yahoo { base_url, user_agent, .. } => {
            let yahoo = yahoo::Yahoo::new(base_url, user_agent, &material)?;
            ask(&yahoo, yahoo::pace(&orders), tickers, each).await;
        }
        Source::Http(provider) => {
            let provider = http::Provider::new(provider, &material)?;
            ask(&provider, http::pace(&orders), tickers, each).await;
        }
        Source::External { .. } | Source::Simulated { .. } => {
            return Err("spec.source: only yahoo and http can be asked".into());
        }
    }
    Ok(())
}

async fn ask(
    source: &impl Ask,
    pace: Option<Pace>,
    tickers: &[Arc<Ticker>],
    each: &mut impl FnMut(&Ticker, Outcome),
) {
    let (batch, gap) = pace.map_or((1, Duration::ZERO), |pace| (pace.batch, pace.gap));
    let requests = tickers.chunks(batch);
    let mut requests: VecDeque<Request> =
        requests.map(|tickers| Request { tickers: tickers.to_vec(), is_alone: batch == 1 }).collect();
    let mut is_refused = false;
    while !is_refused && let Some(request) = requests.pop_front() {
        let answer = source.ask(&request).await;
        is_refused = answer.as_ref().is_err_and(FetchError::is_refusal);
        let quotes = answer.unwrap_or_else(|error| vec![Err(error); request.tickers.len()]);
        for (ticker, quote) in request.tickers.iter().zip(quotes) {
            match quote {
                Err(FetchError::NotFound | FetchError::Client(_) | FetchError::TooLarge)
                    if !request.is_alone =>
                {
                    requests.push_back(Request { tickers: vec![Arc::clone(ticker)], is_alone: true });
                }
                quote => each(ticker, quote.into()),
            }
        }
        if !is_refused && !requests.is_empty() {
            sleep(gap).await;
        }
    }
    for ticker in requests.iter().flat_map(|request| &request.tickers) {
        each(ticker, Outcome::NotAsked);
    }
}

impl From<Result<FetchedQuote, FetchError>> for Outcome {
    fn from(quote: Result<FetchedQuote, FetchError>) -> Self {
        match quote {
            Ok(quote) => Self::Quote(quote),
            Err(error) => Self::Failed(error),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
mod tests {
    use std::sync::Mutex;

    use futures::future::{BoxFuture, FutureExt, ready};

    use super::*;
    use crate::extract::source::FetchResult;

    const PACE: Pace = Pace { interval: Duration::ZERO, gap: Duration::ZERO, batch: 2, at_once: 1 };

    /// Refuses whom it dislikes, leaves out whom it does not know.
    #[derive(Default)]
    struct Fake(Mutex<Vec<Vec<String>>>);

    impl Ask for Fake {
        fn pace(&self, _: &Orders) -> Option<Pace> {
            Some(PACE)
        }

        fn ask(&self, request: &Request) -> BoxFuture<'static, FetchResult> {
            let symbols: Vec<String> = request.tickers.iter().map(|ticker| ticker.symbol.clone()).collect();
            let quote = |symbol: &String| match symbol.as_str() {
                "NONE" => Err(FetchError::NotFound),
                _ => FetchedQuote::new("1", "1", None),
            };
            let answer = match symbols.iter().any(|symbol| symbol == "BAD") {
                true => Err(FetchError::RateLimited { retry_after: None }),
                false => Ok(symbols.iter().map(quote).collect()),
            };
            self.0.lock().unwrap().push(symbols);
            ready(answer).boxed()
        }
    }

    #[tokio::test]
    async fn a_source_that_refuses_is_asked_no_more_and_who_was_not_asked_for_is_named() {
        let source = Fake::default();
        let ticker = |symbol: &str| {
            Arc::new(Ticker { symbol: symbol.into(), entity: symbol.into(), overrides: vec![] })
        };
        let symbols = ["A", "NONE", "B", "C", "BAD", "D", "E"].map(ticker);
        let mut heard = Vec::new();
        ask(&source, Some(PACE), &symbols, &mut |ticker: &Ticker, outcome| {
            let said = match outcome {
                Outcome::Quote(_) => "quote",
                Outcome::Failed(_) => "failed",
                Outcome::Silent(_) => "silent",
                Outcome::NotAsked => "not asked",
            };
            heard.push(format!("{} {said}", ticker.symbol));
        })
        .await;
        assert_eq!(*source.0.lock().unwrap(), [["A", "NONE"], ["B", "C"], ["BAD", "D"]]);
        assert_eq!(
            heard,
            ["A quote", "B quote", "C quote", "BAD failed", "D failed", "E not asked", "NONE not asked"]
        );
    }
}
