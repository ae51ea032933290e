//! Yahoo's stream: quotes come by themselves on a WebSocket. Sparks tell what it does not say (each symbol's currency, at
//! the start and hourly) and stand in for symbols that it is silent about.

mod line;
mod members;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Url;
use stockwatch_crds::{Source, Ticker};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use self::line::{Dial, Dialler, Line};
use self::members::Members;
use super::client;
use super::fetched::{FetchError, FetchedQuote};
use super::pause::Pause;
use super::poll::poll;
use super::secrets::Material;
use super::source::{Ask, Batch, Orders};
use super::tick::Tick;
use super::yahoo::Yahoo;
use crate::metrics::StreamConnected;

/// Where the stream is, if the other endpoints are where they usually are.
const STREAMER: &str = "https://streamer.finance.yahoo.com";
const QUOTE_HOSTS: &str = ".finance.yahoo.com";
/// Who is silent is looked at so often.
const LOOK: Duration = Duration::from_secs(1);
/// Chunks of ticks that the connection may be ahead.
const AHEAD: usize = 4;

/// The stream and the sparks beside it.
#[derive(Debug)]
pub(super) struct Stream<D = Dialler, S = Yahoo> {
    dial: D,
    sparks: S,
}

impl Stream {
    /// `base_url` is Yahoo's usual one, or that of a gateway which has the stream as well. The error is a sentence.
    pub(super) fn new(base_url: &str, user_agent: &str, material: &Material) -> Result<Self, String> {
        let client = client::for_websockets(user_agent, material)?;
        let sparks = Yahoo::new(base_url, user_agent, material)?;
        Ok(Self { dial: Dialler { client, url: url(base_url)? }, sparks })
    }
}

impl<D: Dial, S: Ask> Stream<D, S> {
    /// Hands on what comes until it is dropped.
    pub(super) async fn run(
        self,
        connected: StreamConnected,
        mut orders: watch::Receiver<Orders>,
        batches: mpsc::Sender<Batch>,
    ) -> Infallible {
        let pause = Pause::default();
        let mut told = orders.borrow_and_update().clone();
        let (symbols, subscribed) = watch::channel(Vec::new());
        let (silent, asked) = watch::channel(Orders { tickers: Vec::new(), ..told.clone() });
        let (ticks, mut ticked) = mpsc::channel(AHEAD);
        let (answers, mut answered) = mpsc::channel(1);
        let line = Line { dial: self.dial, pause: pause.clone(), connected };
        let mut listening = Box::pin(line.listen(subscribed, ticks));
        let mut asking = Box::pin(poll(self.sparks, pause, asked, answers));
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut members = Members::default();
        follow(&told, &mut members, &symbols);
        loop {
            // Its receiver goes with this source.
            let _ = tokio::select! {
                biased;
                Ok(()) = orders.changed() => {
                    told = orders.borrow_and_update().clone();
                    follow(&told, &mut members, &symbols);
                    ask(&told, &members, &silent);
                    Ok(())
                }
                _ = look.tick() => {
                    ask(&told, &members, &silent);
                    Ok(())
                }
                Some(batch) = answered.recv() => {
                    let batch: Batch = batch;
                    members.informed(Instant::now(), &batch.quotes);
                    batches.send(Batch { interval: every(&told), ..batch }).await
                }
                Some(chunk) = ticked.recv() => {
                    let quotes = quotes(&mut members, chunk);
                    let batch = Batch { took: None, interval: every(&told), is_apart: false, quotes };
                    batches.send(batch).await
                }
                never = &mut listening => match never {},
                never = &mut asking => match never {},
            };
        }
    }

    /// Listens until each ticker's quote has come, `patience` is over or the connection ends. `None` for whom nothing came.
    ///
    /// # Errors
    /// Why there is no connection.
    pub(super) async fn once(
        self,
        tickers: &[Arc<Ticker>],
        patience: Duration,
    ) -> Result<Vec<Option<Result<FetchedQuote, FetchError>>>, FetchError> {
        let (_symbols, subscribed) = watch::channel(symbols_of(tickers));
        let (ticks, mut ticked) = mpsc::channel::<Vec<Tick>>(AHEAD);
        let socket = self.dial.dial().await?;
        let mut quotes = vec![None; tickers.len()];
        let collected = async {
            let mut subscribed = subscribed;
            let following = line::follow(socket, &mut subscribed, &ticks);
            tokio::pin!(following);
            while quotes.iter().any(Option::is_none) {
                tokio::select! {
                    ended = &mut following => return Err(ended),
                    Some(chunk) = ticked.recv() => for tick in chunk {
                        let place = tickers.iter().position(|ticker| ticker.symbol == tick.symbol);
                        if let Some(quote) = place.and_then(|place| quotes.get_mut(place)) {
                            *quote = Some(FetchedQuote::new(&tick.price, &tick.time, None));
                        }
                    },
                }
            }
            Ok(())
        };
        let ended = timeout(patience, collected).await;
        match ended {
            Ok(Err(ended)) if quotes.iter().all(Option::is_none) => Err(ended),
            _ => Ok(quotes),
        }
    }
}

/// Takes the tickers, and subscribes to other ones if they are.
fn follow(told: &Orders, members: &mut Members, symbols: &watch::Sender<Vec<String>>) {
    members.set(Instant::now(), &told.tickers);
    let wanted = symbols_of(&told.tickers);
    symbols.send_if_modified(|symbols| {
        let is_other = *symbols != wanted;
        *symbols = wanted;
        is_other
    });
}

/// What to subscribe to, sorted.
fn symbols_of(tickers: &[Arc<Ticker>]) -> Vec<String> {
    let mut symbols: Vec<String> = tickers.iter().map(|ticker| ticker.symbol.clone()).collect();
    symbols.sort();
    symbols
}

/// Has sparks ask for whom they must, if that has changed.
fn ask(told: &Orders, members: &Members, silent: &watch::Sender<Orders>) {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let unix = i64::try_from(unix).unwrap_or(i64::MAX);
    let tickers = members.to_ask(Instant::now(), unix, every(told));
    silent.send_if_modified(|orders| {
        let is_other = orders.tickers != tickers
            || (&orders.spec, orders.owned, orders.partitions) != (&told.spec, told.owned, told.partitions);
        if is_other {
            *orders = Orders { tickers, ..told.clone() };
        }
        is_other
    });
}

/// The ticks of this process's symbols as quotes.
fn quotes(members: &mut Members, chunk: Vec<Tick>) -> Vec<(Arc<Ticker>, Result<FetchedQuote, FetchError>)> {
    let now = Instant::now();
    let quote = |tick: Tick| {
        let (ticker, told) = members.ticked(now, &tick.symbol)?;
        let currency = told.and_then(FetchedQuote::currency).map(str::to_owned);
        let session = told.and_then(FetchedQuote::session).cloned();
        let quote = FetchedQuote::new(&tick.price, &tick.time, currency).map(|quote| match session {
            Some(session) => quote.in_session(session),
            None => quote,
        });
        Some((ticker, quote))
    };
    chunk.into_iter().filter_map(quote).collect()
}

fn every(told: &Orders) -> Duration {
    match told.spec {
        Source::Yahoo { interval, .. } => interval,
        _ => Duration::ZERO,
    }
}

/// Yahoo's own host of streams, or the gateway's.
fn url(base_url: &str) -> Result<Url, String> {
    let base = Url::parse(base_url).map_err(|error| error.to_string())?;
    let is_yahoos = base.host_str().is_some_and(|host| host.ends_with(QUOTE_HOSTS));
    let base = if is_yahoos { STREAMER } else { base_url.trim_end_matches('/') };
    Url::parse(&format!("{base}/?version=2")).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
