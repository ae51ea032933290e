//! What follows from one StockWatch: parsed once, into types that cannot be wrong.

use std::collections::{BTreeMap, BTreeSet};

use crate::alarms::Alarms;
use crate::duration::parse_window;
use crate::kafka::Kafka;
use crate::limits::{
    MAX_ENTITY, MAX_OVERRIDES, MAX_SYMBOL, MAX_TICKERS, MAX_TICKERS_BYTES, MAX_WINDOWS, OVERRIDE_BYTES,
    TICKER_BYTES,
};
use crate::names::is_label;
use crate::problem::{Invalid, Problems, shown};
use crate::source::Source;
use crate::tolerance::Tolerance;
use crate::trade::Trade;
use crate::v1alpha1::{OverrideSpec, StockWatch, TickerSpec, WindowSpec};
use crate::window::Window;

/// The symbol that stands for every entity not listed.
pub const WILDCARD: &str = "*";
/// Windows of a StockWatch that names none.
const DEFAULT_WINDOWS: [&str; 3] = ["5m", "10m", "15m"];
const DEFAULT_TOLERANCE: &str = "0.1%";
/// The namespace of a plain file that names none.
const DEFAULT_NAMESPACE: &str = "default";
/// Characters of `metadata.name`: names derived from it, such as those of pods, must fit a label of 63.
const MAX_NAME: usize = 40;

/// What follows from one StockWatch, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// `metadata.namespace`; `default` for a plain file that names none.
    pub namespace: String,
    /// `metadata.name`: a DNS-1035 label of at most 40 characters.
    pub name: String,
    /// The listed tickers in their order, without `*`.
    pub tickers: Vec<Ticker>,
    /// The symbol `*` is listed: it stands for every entity not listed.
    pub wildcard: bool,
    /// The overrides of `*`, ascending by minutes.
    pub wildcard_overrides: Vec<Window>,
    /// 1 to 10, ascending by minutes.
    pub windows: Vec<Window>,
    /// Which moves beyond a tolerance are alarms.
    pub alarms: Alarms,
    /// The paper accounts' terms; `None`: there are no accounts, and no ledger topic.
    pub trade: Option<Trade>,
    /// Where quotes come from.
    pub source: Source,
    /// How to reach Kafka, and the names there.
    pub kafka: Kafka,
    /// No worker runs; the topics stay.
    pub suspend: bool,
}

/// A ticker to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticker {
    /// What the source calls it.
    pub symbol: String,
    /// What the wire calls it; unique in its StockWatch.
    pub entity: String,
    /// Its own tolerances by window, ascending by minutes; each names a window of the StockWatch.
    pub overrides: Vec<Window>,
}

impl Spec {
    /// Checks every rule and fills defaults in; reports all the problems at once.
    pub fn parse(stockwatch: &StockWatch) -> Result<Self, Invalid> {
        let mut problems = Problems::default();
        let spec = Self::gather(stockwatch, &mut problems);
        if problems.is_empty() { Ok(spec) } else { Err(Invalid { problems: problems.into_vec() }) }
    }

    /// What follows from `spec.kafka` alone, whatever is wrong with the rest: what a deletion needs.
    pub fn parse_kafka(stockwatch: &StockWatch) -> Result<Kafka, Invalid> {
        let mut problems = Problems::default();
        let kafka = Self::gather_kafka(stockwatch, &mut problems);
        if problems.is_empty() { Ok(kafka) } else { Err(Invalid { problems: problems.into_vec() }) }
    }

    /// The spec as far as it can be read; right only if no problem was added.
    pub(crate) fn gather(stockwatch: &StockWatch, problems: &mut Problems) -> Self {
        let name = stockwatch.metadata.name.clone().unwrap_or_default();
        if !is_label(&name, MAX_NAME) || name.starts_with(|c: char| c.is_ascii_digit()) {
            problems.add(
                "metadata.name",
                format!(
                    "{} is not allowed: at most {MAX_NAME} of a-z, 0-9 and '-', \
                     starting with a letter and ending with a letter or digit",
                    shown(&name)
                ),
            );
        }
        let namespace = stockwatch.metadata.namespace.clone().unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
        if !is_label(&namespace, 63) {
            problems.add(
                "metadata.namespace",
                format!(
                    "{} is not a namespace: at most 63 of a-z, 0-9 and '-', \
                     starting and ending with a letter or digit",
                    shown(&namespace)
                ),
            );
        }
        let spec = &stockwatch.spec;
        let windows = parse_windows(spec.windows.as_deref(), problems);
        let (tickers, wildcard_overrides) = parse_tickers(&spec.tickers, windows.as_deref(), problems);
        let trade = spec.trade.as_ref().map(|trade| Trade::parse(trade, windows.as_deref(), problems));
        let source = Source::parse(spec.source.as_ref(), problems);
        if let Some(i) = spec.tickers.iter().position(|ticker| ticker.symbol == WILDCARD)
            && !source.is_external()
        {
            problems.add(
                format!("spec.tickers[{i}].symbol"),
                "\"*\" is allowed only with source external: the other sources have to be asked by symbol",
            );
        }
        if let Some(worker) = &spec.worker {
            worker.check(problems);
        }
        let alarms = Alarms::parse(spec.alarms.as_ref(), problems);
        let kafka = Self::gather_kafka(stockwatch, problems);
        Self {
            namespace,
            name,
            tickers,
            wildcard: wildcard_overrides.is_some(),
            wildcard_overrides: wildcard_overrides.unwrap_or_default(),
            windows: windows.unwrap_or_default(),
            alarms,
            trade,
            source,
            kafka,
            suspend: spec.suspend.unwrap_or_default(),
        }
    }

    fn gather_kafka(stockwatch: &StockWatch, problems: &mut Problems) -> Kafka {
        let metadata = &stockwatch.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
        let name = metadata.name.as_deref().unwrap_or_default();
        let (kafka, has_ledger) = (&stockwatch.spec.kafka, stockwatch.spec.trade.is_some());
        Kafka::parse(kafka, has_ledger, &format!("{namespace}.{name}"), problems)
    }
}

/// `None` if there is none, or a window's length is no length: then overrides cannot be held against them.
fn parse_windows(windows: Option<&[WindowSpec]>, problems: &mut Problems) -> Option<Vec<Window>> {
    let Some(windows) = windows else {
        let defaults = DEFAULT_WINDOWS
            .map(|duration| WindowSpec { duration: duration.into(), tolerance: DEFAULT_TOLERANCE.into() });
        return parse_windows(Some(&defaults), problems);
    };
    if windows.is_empty() || windows.len() > MAX_WINDOWS {
        problems.add(
            "spec.windows",
            format!(
                "{} windows: 1 to {MAX_WINDOWS} are allowed (leave windows out for the default ones)",
                windows.len()
            ),
        );
    }
    let mut parsed: BTreeMap<u32, Option<Tolerance>> = BTreeMap::new();
    let mut readable = !windows.is_empty();
    for (i, window) in windows.iter().enumerate().take(MAX_WINDOWS) {
        let minutes = problems.ok(format!("spec.windows[{i}].duration"), parse_window(&window.duration));
        let tolerance =
            problems.ok(format!("spec.windows[{i}].tolerance"), Tolerance::parse(&window.tolerance));
        let Some(minutes) = minutes else {
            readable = false;
            continue;
        };
        if parsed.insert(minutes, tolerance).is_some() {
            problems.add(format!("spec.windows[{i}].duration"), format!("{minutes}m is listed twice"));
        }
    }
    // A window without a tolerance still is one that overrides may name; it cannot get out, being a problem.
    let window = |(minutes, tolerance): (u32, Option<Tolerance>)| Window {
        minutes,
        tolerance: tolerance.unwrap_or_default(),
    };
    readable.then(|| parsed.into_iter().map(window).collect())
}

/// The tickers, and the overrides of `*` if it is listed.
fn parse_tickers(
    tickers: &[TickerSpec],
    windows: Option<&[Window]>,
    problems: &mut Problems,
) -> (Vec<Ticker>, Option<Vec<Window>>) {
    if tickers.is_empty() || tickers.len() > MAX_TICKERS {
        problems.add("spec.tickers", format!("{} tickers: 1 to {MAX_TICKERS} are allowed", tickers.len()));
    }
    let bytes = tickers.iter().map(json_bytes).sum::<usize>();
    if bytes > MAX_TICKERS_BYTES {
        problems.add(
            "spec.tickers",
            format!(
                "{bytes} bytes of tickers: at most {MAX_TICKERS_BYTES} are allowed, so that kubectl apply can keep \
                 its copy: shorten names, leave out tolerances that are those of the windows, or make a second \
                 StockWatch"
            ),
        );
    }
    let mut parsed = Vec::with_capacity(tickers.len().min(MAX_TICKERS));
    let mut wildcard_overrides = None;
    let mut symbols = BTreeSet::new();
    let mut entities: BTreeMap<&str, &str> = BTreeMap::new();
    for (i, ticker) in tickers.iter().enumerate().take(MAX_TICKERS) {
        let path = format!("spec.tickers[{i}]");
        let symbol = ticker.symbol.as_str();
        if !symbols.insert(symbol) {
            problems.add(format!("{path}.symbol"), format!("{} is listed twice", shown(symbol)));
        }
        let overrides =
            parse_overrides(ticker.tolerances.as_deref().unwrap_or_default(), windows, &path, problems);
        if symbol == WILDCARD {
            if ticker.name.is_some() {
                problems.add(
                    format!("{path}.name"),
                    "\"*\" has no name of its own: every entity it stands for keeps its own",
                );
            }
            wildcard_overrides = Some(overrides);
            continue;
        }
        if !is_symbol(symbol) {
            problems.add(
                format!("{path}.symbol"),
                format!(
                    "{} is not a symbol: 1 to {MAX_SYMBOL} letters, digits and . ^ = & : / _ + $ # @ - \
                     are allowed, one of them a letter or digit, or \"*\" alone",
                    shown(symbol)
                ),
            );
        }
        let (entity, field) = ticker.name.as_deref().map_or((symbol, "symbol"), |name| (name, "name"));
        if !is_entity(entity) && field == "name" {
            problems.add(
                format!("{path}.name"),
                format!(
                    "{} is not a name: 1 to {MAX_ENTITY} characters are allowed, \
                     none of them a control character",
                    shown(entity)
                ),
            );
        }
        if let Some(other) = entities.insert(entity, symbol)
            && other != symbol
        {
            problems.add_duplicate_entity(
                format!("{path}.{field}"),
                format!(
                    "{} is the name of {} too: give each ticker a name of its own",
                    shown(entity),
                    shown(other)
                ),
            );
        }
        parsed.push(Ticker { symbol: symbol.to_owned(), entity: entity.to_owned(), overrides });
    }
    (parsed, wildcard_overrides)
}

fn parse_overrides(
    overrides: &[OverrideSpec],
    windows: Option<&[Window]>,
    ticker: &str,
    problems: &mut Problems,
) -> Vec<Window> {
    if overrides.len() > MAX_OVERRIDES {
        problems.add(
            format!("{ticker}.tolerances"),
            format!("{} overrides: at most {MAX_OVERRIDES} are allowed", overrides.len()),
        );
    }
    let mut parsed = BTreeMap::new();
    for (i, own) in overrides.iter().enumerate().take(MAX_OVERRIDES) {
        let path = format!("{ticker}.tolerances[{i}]");
        let tolerance = problems.ok(format!("{path}.tolerance"), Tolerance::parse(&own.tolerance));
        let Some(minutes) = problems.ok(format!("{path}.window"), parse_window(&own.window)) else {
            continue;
        };
        if let Some(windows) = windows
            && !windows.iter().any(|window| window.minutes == minutes)
        {
            let declared: Vec<String> = windows.iter().map(|window| format!("{}m", window.minutes)).collect();
            problems.add(
                format!("{path}.window"),
                format!("{minutes}m is none of the windows ({})", declared.join(", ")),
            );
        }
        if parsed.insert(minutes, tolerance).is_some() {
            problems.add(format!("{path}.window"), format!("{minutes}m is listed twice"));
        }
    }
    parsed
        .into_iter()
        .filter_map(|(minutes, tolerance)| Some(Window { minutes, tolerance: tolerance? }))
        .collect()
}

/// About as many as it has in JSON.
fn json_bytes(ticker: &TickerSpec) -> usize {
    let overrides = ticker.tolerances.iter().flatten();
    let overrides = overrides.map(|own| OVERRIDE_BYTES + own.window.len() + own.tolerance.len());
    TICKER_BYTES
        + ticker.symbol.len()
        + ticker.name.as_ref().map_or(0, String::len)
        + overrides.sum::<usize>()
}

/// What sources call tickers. A letter or digit among them keeps `..` out of URLs.
fn is_symbol(symbol: &str) -> bool {
    (1..=MAX_SYMBOL).contains(&symbol.len())
        && symbol.bytes().all(|b| b.is_ascii_alphanumeric() || b".^=&:/_+$#@-".contains(&b))
        && symbol.bytes().any(|b| b.is_ascii_alphanumeric())
}

fn is_entity(name: &str) -> bool {
    (1..=MAX_ENTITY).contains(&name.chars().count()) && !name.chars().any(char::is_control)
}
