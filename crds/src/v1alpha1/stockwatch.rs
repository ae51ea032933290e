//! The StockWatch itself: tickers, windows and tolerances.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::alarms::AlarmsSpec;
use super::durations::{IS_WINDOW, MAX_WINDOW, SAY_WINDOW};
use super::kafka::KafkaSpec;
use super::kafka::immutable;
use super::source::SourceSpec;
use super::status::StockWatchStatus;
use super::trade::TradeSpec;
use super::worker::WorkerSpec;
use crate::limits::{
    MAX_ENTITY, MAX_OVERRIDES, MAX_SYMBOL, MAX_TICKERS, MAX_TICKERS_BYTES, MAX_WINDOWS, OVERRIDE_BYTES,
    TICKER_BYTES,
};

/// A tolerance's longest text: nine digits, a point, nine digits, a percent sign.
const MAX_TOLERANCE: usize = 20;

const IS_TOLERANCE: &str = "self.matches('^[0-9]{1,9}([.][0-9]{1,9})?%?$')";
const SAY_TOLERANCE: &str = "a tolerance is a quoted decimal of at most 9 digits before and 9 after the point, \
    such as \"0.25\" (in the quote's currency) or \"0.05%\" (of the previous average)";

/// What to watch, and where.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "stockwatch.dev",
    version = "v1alpha1",
    kind = "StockWatch",
    namespaced,
    shortname = "sw",
    status = "StockWatchStatus",
    derive = "PartialEq",
    doc = "Watches moving averages of stock quotes; raises an alarm when one moves by more than its tolerance.",
    scale(
        spec_replicas_path = ".spec.worker.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether everything works as the spec says."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why it is ready or not."
    ),
    printcolumn(
        name = "Quotes",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"QuotesFlow\")].reason",
        description = "Whether quotes flow, or why not."
    ),
    printcolumn(
        name = "Tickers",
        type_ = "integer",
        json_path = ".status.tickers",
        description = "How many tickers are watched."
    ),
    printcolumn(
        name = "Applied",
        type_ = "integer",
        json_path = ".status.appliedGeneration",
        description = "The generation that every ready worker computes with."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Windows",
        type_ = "string",
        json_path = ".status.windows",
        priority = 1,
        description = "The windows of the moving averages."
    ),
    printcolumn(
        name = "Brokers",
        type_ = "string",
        json_path = ".spec.kafka.bootstrapServers",
        priority = 1,
        description = "The Kafka cluster's bootstrap servers."
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1,
        description = "What Ready says."
    ),
    validation = Rule::new(
        "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')"
    )
    .message(
        "metadata.name is at most 40 of a-z, 0-9 and '-', starting with a letter and ending with a letter or digit"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "!self.tickers.exists(t, t.symbol == '*') || (has(self.source) && has(self.source.external))"
    )
    .message("the symbol \"*\" is allowed only with source external: the others have to be asked by symbol"),
    validation = Rule::new(
        "self.tickers.all(t, !has(t.tolerances) || t.tolerances.all(o, has(self.windows) ? \
         self.windows.exists(w, w.duration == o.window) : o.window in ['5m', '10m', '15m']))"
    )
    .message("a ticker's tolerance names a window that is none of the windows"),
    validation = Rule::new(
        "!has(self.trade) || (has(self.windows) ? self.windows.exists(w, w.duration == self.trade.window) : \
         self.trade.window in ['5m', '10m', '15m'])"
    )
    .message("trade.window is none of the windows"),
    // Before there are accounts nothing hangs on the name.
    validation = immutable("kafka.topics.ledger.name", "!has(oldSelf.trade) || "),
    validation = Rule::new(format!(
        "self.tickers.map(t, {TICKER_BYTES} + t.symbol.size() + (has(t.name) ? bytes(t.name).size() : 0) + \
         (has(t.tolerances) ? t.tolerances.map(o, {OVERRIDE_BYTES} + o.window.size() + o.tolerance.size()).sum() \
         : 0)).sum() <= {MAX_TICKERS_BYTES}"
    ))
    .message(&*format!(
        "the tickers have more than {MAX_TICKERS_BYTES} bytes, too many for the copy that kubectl apply keeps: \
         shorten names, leave out tolerances that are those of the windows, or make a second StockWatch"
    )),
)]
pub struct StockWatchSpec {
    /// What to watch: 1 to 1000 tickers, of at most 180,000 bytes altogether (about 40 for each, with its texts, and 30
    /// for each of its tolerances, with theirs).
    #[schemars(length(min = 1, max = MAX_TICKERS))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["symbol".into()]))]
    pub tickers: Vec<TickerSpec>,

    /// The moving averages: 1 to 10 windows. Absent: 5m, 10m and 15m, each with the tolerance 0.1%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_WINDOWS))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["duration".into()]))]
    pub windows: Option<Vec<WindowSpec>>,

    /// Which moves beyond a tolerance are alarms, and which alarms are one episode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarms: Option<AlarmsSpec>,

    /// Where quotes come from. Absent: Yahoo, every 60 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceSpec>,

    /// The Kafka cluster, and the names of this StockWatch there.
    pub kafka: KafkaSpec,

    /// A paper account for each entity, which alarms invest and uninvest. Absent: no accounts, and no ledger topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trade: Option<TradeSpec>,

    /// The worker's pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerSpec>,

    /// Scales the worker to zero; topics and their data stay. Absent: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// A ticker to watch.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.symbol != '*' || !has(self.name)")
        .message("the symbol \"*\" has no name of its own: every entity it stands for keeps its own"),
)]
pub struct TickerSpec {
    /// What the source calls it, such as VWCE.DE; at most 32 letters, digits and . ^ = & : / _ + $ # @ -.
    /// With the source external, "*" stands for every entity that is not listed. ON, NO, Y and numbers go in quotes,
    /// since YAML takes them for something else than a text.
    #[schemars(length(min = 1, max = MAX_SYMBOL))]
    #[x_kube(validation = Rule::new(
        "self.matches('^([*]|[.^=&:/_+$#@-]*[A-Za-z0-9][A-Za-z0-9.^=&:/_+$#@-]*)$')"
    )
    .message("a symbol is letters, digits and . ^ = & : / _ + $ # @ -, with a letter or digit, or \"*\" alone"))]
    pub symbol: String,

    /// Its entity name in Kafka's records, unique among the tickers; at most 64 characters. Absent: the symbol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_ENTITY))]
    #[x_kube(validation = Rule::new("!self.matches('[\\\\p{Cc}]')")
        .message("a name has no control characters"))]
    pub name: Option<String>,

    /// Its own tolerances, which override those of the windows; at most 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_OVERRIDES))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["window".into()]))]
    pub tolerances: Option<Vec<OverrideSpec>>,
}

/// A moving average, and by how much it may move.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct WindowSpec {
    /// Its length in whole minutes, 1m to 1440m.
    #[schemars(length(min = 2, max = MAX_WINDOW))]
    #[x_kube(validation = Rule::new(IS_WINDOW).message(SAY_WINDOW))]
    pub duration: String,

    /// An average that differs from the one before by more raises an alarm: "0.25" in the quote's currency,
    /// or "0.05%" of the average before. In quotes, so that it is a text and not a number.
    #[schemars(length(min = 1, max = MAX_TOLERANCE))]
    #[x_kube(validation = Rule::new(IS_TOLERANCE).message(SAY_TOLERANCE))]
    pub tolerance: String,
}

/// A ticker's own tolerance for one of the windows.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct OverrideSpec {
    /// The duration of one of the windows.
    #[schemars(length(min = 2, max = MAX_WINDOW))]
    #[x_kube(validation = Rule::new(IS_WINDOW).message(SAY_WINDOW))]
    pub window: String,

    /// Takes the place of the window's own tolerance. In quotes, as there.
    #[schemars(length(min = 1, max = MAX_TOLERANCE))]
    #[x_kube(validation = Rule::new(IS_TOLERANCE).message(SAY_TOLERANCE))]
    pub tolerance: String,
}
