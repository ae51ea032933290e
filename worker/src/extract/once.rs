//! Asks a source once, for whoever wants to know what it answers from here.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stockwatch_crds::{Source as SourceSpec, Ticker, YahooMode};
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
                "looks like a refusal of this client: its User-Agent, its TLS handshake (a proxy that ends TLS?), or its \
                 key"
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

/// Asks for each ticker once, within the source's rate; whom a batch leaves out is asked for alone. The error is a
/// sentence: the source cannot be asked at all.
pub async fn once(
    spec: &SourceSpec,
    tickers: &[Arc<Ticker>],
    secrets: &Path,
) -> Result<Vec<(Arc<Ticker>, Outcome)>, String> {
    let material = SourceSecrets::new(secrets).read(spec)?;
    let orders = Orders { spec: spec.clone(), tickers: tickers.to_vec(), owned: 1, partitions: 1 };
    match spec {
        SourceSpec::Yahoo { mode: YahooMode::Stream, base_url, user_agent, .. } => {
            let quotes = Stream::new(base_url, user_agent, &material)?.once(tickers, STREAM_PATIENCE).await;
            let outcome = |index: usize| match &quotes {
                Ok(quotes) => quotes
                    .get(index)
                    .cloned()
                    .flatten()
                    .map_or(Outcome::Silent(STREAM_PATIENCE), Outcome::from),
                Err(error) => Outcome::Failed(error.clone()),
            };
            Ok(tickers
                .iter()
                .enumerate()
                .map(|(index, ticker)| (Arc::clone(ticker), outcome(index)))
                .collect())
        }
        SourceSpec::Yahoo { base_url, user_agent, .. } => {
            let yahoo = yahoo::Yahoo::new(base_url, user_agent, &material)?;
            Ok(ask(&yahoo, yahoo::pace(&orders), tickers).await)
        }
        SourceSpec::Http(provider) => {
            let provider = http::Provider::new(provider, &material)?;
            Ok(ask(&provider, http::pace(&orders), tickers).await)
        }
        SourceSpec::External { .. } | SourceSpec::Simulated { .. } => {
            Err("spec.source: only yahoo and http can be asked".into())
        }
    }
}

async fn ask(source: &impl Ask, pace: Option<Pace>, tickers: &[Arc<Ticker>]) -> Vec<(Arc<Ticker>, Outcome)> {
    let (batch, gap) = pace.map_or((1, Duration::ZERO), |pace| (pace.batch, pace.gap));
    let mut outcomes = Vec::with_capacity(tickers.len());
    let mut left_out: Vec<Arc<Ticker>> = Vec::new();
    let mut is_first = true;
    for tickers in tickers.chunks(batch) {
        if !std::mem::take(&mut is_first) {
            sleep(gap).await;
        }
        let request = Request { tickers: tickers.to_vec(), is_alone: batch == 1 };
        let answer = source.ask(&request).await.unwrap_or_else(|error| vec![Err(error); tickers.len()]);
        for (ticker, quote) in tickers.iter().zip(answer) {
            match quote {
                Err(FetchError::NotFound | FetchError::Client(_)) if batch > 1 => {
                    left_out.push(Arc::clone(ticker))
                }
                quote => outcomes.push((Arc::clone(ticker), Outcome::from(quote))),
            }
        }
    }
    for ticker in left_out {
        sleep(gap).await;
        let request = Request { tickers: vec![Arc::clone(&ticker)], is_alone: true };
        let quote = source
            .ask(&request)
            .await
            .and_then(|mut quotes| quotes.pop().unwrap_or(Err(FetchError::NotFound)));
        outcomes.push((ticker, Outcome::from(quote)));
    }
    let place = |symbol: &str| tickers.iter().position(|ticker| ticker.symbol == symbol);
    outcomes.sort_by_key(|(ticker, _)| place(&ticker.symbol));
    outcomes
}

impl From<Result<FetchedQuote, FetchError>> for Outcome {
    fn from(quote: Result<FetchedQuote, FetchError>) -> Self {
        match quote {
            Ok(quote) => Self::Quote(quote),
            Err(error) => Self::Failed(error),
        }
    }
}
