//! A source that is asked again and again: follows what it is told, sends requests as the schedule has them.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::future::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use stockwatch_crds::Ticker;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::fetched::FetchError;
use super::pause::Pause;
use super::schedule::{Schedule, Turn};
use super::source::{Ask, Batch, FetchResult, Orders, QuoteResult, Request};

/// Asks until it is dropped. `pause` is shared with whoever else asks the same source.
pub(super) async fn poll(
    source: impl Ask,
    pause: Pause,
    mut orders: watch::Receiver<Orders>,
    batches: mpsc::Sender<Batch>,
) -> Infallible {
    let mut turns = pause.subscribe();
    let mut schedule = Schedule::new(Instant::now(), pause);
    let mut interval = Duration::ZERO;
    let mut under_way = FuturesUnordered::new();
    orders.mark_changed();
    loop {
        let next = schedule.next();
        let due = async {
            match next {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            Ok(()) = orders.changed() => interval = follow(&source, &mut schedule, &orders.borrow_and_update(), interval),
            Some((request, began, answer)) = under_way.next() => {
                let now = Instant::now();
                let turn = schedule.done(now, &request, &answer);
                say(turn, &request, &answer);
                let is_apart = turn == Some(Turn::Apart);
                let batch = Batch { took: Some(now - began), interval, is_apart, quotes: heard(request, answer) };
                // Its receiver goes with this source.
                let _ = batches.send(batch).await;
            }
            Ok(()) = turns.changed() => {}
            () = due => {
                let now = Instant::now();
                while let Some(request) = schedule.start(now) {
                    under_way.push(source.ask(&request).map(move |answer| (request, now, answer)));
                }
            }
        }
    }
}

/// Returns the interval kept, and says so when it becomes longer than it should be.
fn follow(source: &impl Ask, schedule: &mut Schedule, orders: &Orders, before: Duration) -> Duration {
    let Some(pace) = source.pace(orders) else { return before };
    let kept = schedule.set(Instant::now(), &orders.tickers, pace);
    if kept > pace.interval && kept != before {
        tracing::warn!(
            tickers = orders.tickers.len(),
            interval_seconds = pace.interval.as_secs_f64(),
            kept_seconds = kept.as_secs_f64(),
            "the tickers do not fit the requests that the source is asked in a minute: the interval is stretched"
        );
    }
    kept
}

fn say(turn: Option<Turn>, request: &Request, answer: &FetchResult) {
    match (turn, answer) {
        (Some(Turn::Resumed), _) => tracing::info!("the source answers again"),
        (Some(Turn::Paused(pause)), Err(error)) => tracing::warn!(
            pause_seconds = pause.as_secs_f64(),
            asked = symbols(request),
            "{error}: nothing is asked until the pause ends"
        ),
        (_, Err(error)) if error.is_refusal() => tracing::info!(asked = symbols(request), "{error}"),
        _ => {}
    }
}

fn symbols(request: &Request) -> String {
    let symbols: Vec<&str> = request.tickers.iter().map(|ticker| ticker.symbol.as_str()).collect();
    symbols.join(",")
}

/// What a request says of each ticker. Whom a batch leaves out, or may have been refused for, is asked for alone.
fn heard(request: Request, answer: FetchResult) -> Vec<(Arc<Ticker>, QuoteResult)> {
    let Request { tickers, is_alone } = request;
    let quotes = answer.unwrap_or_else(|error| vec![Err(error); tickers.len()]);
    let is_said = |quote: &QuoteResult| {
        is_alone || !matches!(quote, Err(FetchError::NotFound | FetchError::Client(_) | FetchError::TooLarge))
    };
    tickers.into_iter().zip(quotes).filter(|(_, quote)| is_said(quote)).collect()
}
