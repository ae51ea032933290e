//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use stockwatch_crds::YahooMode;

use crate::config::cluster::Resource;
use crate::whatif::candidate::{Setting, Sweep};

/// Where a pod has the Secrets of its source.
pub(crate) const SOURCE_SECRETS: &str = "/etc/stockwatch/sources";
/// Where the operator mounts the StockWatch into a worker's pod.
const SPEC_DIRECTORY: &str = "/etc/stockwatch/spec";
/// Where a worker's pod can write.
const STATE_DIRECTORY: &str = "/var/lib/stockwatch";
/// Where the operator mounts the Secrets of a StockWatch.
const CREDENTIALS: &str = "/etc/stockwatch/credentials";

/// Fetches quotes, keeps moving averages and raises alarms, exactly once, over Kafka.
#[derive(Debug, Parser)]
#[command(name = "stockwatch-worker", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the process does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one StockWatch against its Kafka until told to stop
    Run(Box<Run>),
    /// Print what a worker writes to one of its topics, a line a record
    Tail(Tail),
    /// Show averages and alarms of simulated quotes in the terminal; needs neither Kafka nor Kubernetes
    Demo(Demo),
    /// Ask a source for symbols once and say what it answers from here, in a worker's pod the pod's source; needs no Kafka
    Fetch(Fetch),
    /// Say what other tolerances would have given: alarms, episodes and paper profit of the quotes in the raw topic
    Whatif(Box<WhatIf>),
}

/// `run`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("stockwatch").required(true))]
pub struct Run {
    /// The StockWatch (YAML or JSON); edits are taken while running, missing topics are created
    #[arg(long, value_name = "FILE", group = "stockwatch")]
    pub watch_file: Option<PathBuf>,

    /// The StockWatch of an API server; edits are taken while running, missing topics are the operator's to create
    #[arg(long, value_name = "NAMESPACE/NAME", group = "stockwatch", requires = "uid")]
    pub watch: Option<Resource>,

    /// With --watch: the StockWatch's uid, since another of the same name is another StockWatch
    #[arg(long, value_name = "UID", requires = "watch", conflicts_with = "watch_file")]
    pub uid: Option<String>,

    /// With --watch: where the operator's copy (stockwatch.json) is mounted, for when the API server is away
    #[arg(long, value_name = "DIRECTORY", default_value = SPEC_DIRECTORY)]
    pub spec_directory: PathBuf,

    /// With --watch: where the worker keeps its own copy
    #[arg(long, value_name = "DIRECTORY", default_value = STATE_DIRECTORY)]
    pub state_directory: PathBuf,

    /// With --watch: where the pod's service account (token, ca.crt) is mounted
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/run/secrets/kubernetes.io/serviceaccount")]
    pub service_account: PathBuf,

    /// Where /livez, /readyz, /metrics, /config and /quotes are served
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8080")]
    pub http: SocketAddr,

    /// Names this worker among those of its group: Kafka ends the older of two with the same one. Default: unique
    #[arg(long, value_name = "ID", value_parser = id)]
    pub id: Option<String>,

    /// Where the secrets that the StockWatch names are: DIRECTORY/<secret name>/<key>
    #[arg(long, value_name = "DIRECTORY", default_value = CREDENTIALS)]
    pub credentials: PathBuf,

    /// Where the secrets of the StockWatch's source are: DIRECTORY/<secret name>/<key>
    #[arg(long, value_name = "DIRECTORY", default_value = SOURCE_SECRETS)]
    pub source_secrets: PathBuf,

    /// How log lines look
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

impl Run {
    /// `--id`, or one that no other process has: host name, process id and chance.
    pub fn id(&self) -> String {
        self.id.clone().unwrap_or_else(unique_id)
    }
}

/// `tail`.
#[derive(Debug, Args)]
pub struct Tail {
    /// Which of its topics
    #[arg(value_enum)]
    pub topic: TailTopic,

    /// The StockWatch (YAML or JSON). Default: the one that the worker of this pod runs
    #[arg(long, value_name = "FILE")]
    pub watch_file: Option<PathBuf>,

    /// Begin with the first record that the topic has, instead of the next one that is written
    #[arg(long)]
    pub from_beginning: bool,

    /// End after this many records
    #[arg(long, value_name = "N")]
    pub max: Option<u64>,

    /// What the pod has.
    #[command(flatten)]
    pub pod: PodDirectories,
}

/// What a worker's pod has for other commands that are run in it.
#[derive(Debug, Args)]
pub struct PodDirectories {
    /// The StockWatch.
    #[command(flatten)]
    pub copies: PodCopies,

    /// Where the secrets that the StockWatch names are: DIRECTORY/<secret name>/<key>
    #[arg(long, value_name = "DIRECTORY", default_value = CREDENTIALS)]
    pub credentials: PathBuf,
}

/// The copies of its StockWatch that a worker's pod has.
#[derive(Debug, Args)]
pub struct PodCopies {
    /// Where the operator's copy of the pod's StockWatch is mounted
    #[arg(long, value_name = "DIRECTORY", default_value = SPEC_DIRECTORY)]
    pub spec_directory: PathBuf,

    /// Where the pod's worker keeps its own copy
    #[arg(long, value_name = "DIRECTORY", default_value = STATE_DIRECTORY)]
    pub state_directory: PathBuf,
}

/// A topic that a worker writes for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TailTopic {
    /// Alarms.
    Alarms,
    /// Moving averages.
    Averages,
    /// Raw records that are no quotes, with the reasons.
    DeadLetter,
    /// What the paper accounts do.
    Ledger,
}

/// `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// A StockWatch to show instead of the example; its spec.kafka.bootstrapServers is not used
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// End after this many seconds
    #[arg(long, value_name = "N")]
    pub seconds: Option<u64>,
}

/// `fetch`. Exit code 0: each symbol has a quote, 1: not each, 2: nothing could be asked.
#[derive(Debug, Args)]
pub struct Fetch {
    /// What to ask for. Default: the StockWatch's tickers
    #[arg(value_name = "SYMBOL")]
    pub symbols: Vec<String>,

    /// Ask the source of this StockWatch. Default: that of the worker's pod; outside of a pod Yahoo
    #[arg(long, value_name = "FILE")]
    pub watch_file: Option<PathBuf>,

    /// How to ask Yahoo
    #[arg(long, value_name = "MODE", value_enum)]
    pub mode: Option<Mode>,

    /// Where to ask Yahoo
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,

    /// Who asks Yahoo
    #[arg(long, value_name = "TEXT")]
    pub user_agent: Option<String>,

    /// Where the secrets of the StockWatch's source are: DIRECTORY/<secret name>/<key>
    #[arg(long, value_name = "DIRECTORY", default_value = SOURCE_SECRETS)]
    pub source_secrets: PathBuf,

    /// The StockWatch of the pod.
    #[command(flatten)]
    pub pod: PodCopies,
}

/// `source.yahoo.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Up to twenty symbols a request.
    Spark,
    /// One symbol a request.
    Chart,
    /// A WebSocket, listened to for half a minute.
    Stream,
}

impl From<Mode> for YahooMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Spark => Self::Spark,
            Mode::Chart => Self::Chart,
            Mode::Stream => Self::Stream,
        }
    }
}

/// `whatif`.
#[derive(Debug, Args)]
pub struct WhatIf {
    /// The StockWatch whose rules are in force (YAML or JSON). In a worker's pod its own one, if none is named
    #[arg(long, value_name = "FILE", conflicts_with = "watch")]
    pub watch_file: Option<PathBuf>,

    /// The StockWatch whose rules are in force, of an API server
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub watch: Option<Resource>,

    /// Judge the raw records of so long, by their stamps: minutes, hours or days
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = since)]
    pub since: Duration,

    /// A StockWatch with the same windows and tickers, to compare its tolerances, spec.alarms and spec.trade
    #[arg(long, value_name = "FILE")]
    pub candidate: Vec<PathBuf>,

    /// Another tolerance of a window, such as 5m=0.2%; all --set together are one candidate
    #[arg(long, value_name = "WINDOW=TOLERANCE")]
    pub set: Vec<Setting>,

    /// Forty tolerances of a window, such as 5m=0.05%..1%, each a candidate
    #[arg(long, value_name = "WINDOW=LEAST..MOST")]
    pub sweep: Vec<Sweep>,

    /// Split the figures further
    #[arg(long, value_name = "WHAT", value_enum)]
    pub by: Option<By>,

    /// How the answer looks
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Output::Table)]
    pub output: Output,

    /// Exit with 3 if a candidate (without one: what is in force) gives more alarms
    #[arg(long, value_name = "N")]
    pub most_alarms: Option<u64>,

    /// What the pod has.
    #[command(flatten)]
    pub pod: PodDirectories,

    /// With --watch: where the pod's service account (token, ca.crt) is mounted
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/run/secrets/kubernetes.io/serviceaccount")]
    pub service_account: PathBuf,

    /// How log lines look
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// What figures are split by, besides windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Tickers.
    Ticker,
}

/// How an answer looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// `90m`, `24h` or `7d`.
fn since(text: &str) -> Result<Duration, &'static str> {
    let units = [('m', MINUTE), ('h', HOUR), ('d', DAY)];
    let seconds = units.into_iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(seconds).filter(|seconds| *seconds > 0)
    });
    seconds.map(Duration::from_secs).ok_or("a whole number of minutes, hours or days, such as 90m, 24h or 7d")
}

/// The same time as [`WhatIf::since`] is written.
pub(crate) fn written_since(since: Duration) -> String {
    let seconds = since.as_secs();
    if seconds.is_multiple_of(HOUR) {
        format!("{}h", seconds / HOUR)
    } else {
        format!("{}m", seconds / MINUTE)
    }
}

/// Part of transactional ids, and of the metadata of a commit: short, and of the characters of a topic's name.
fn id(text: &str) -> Result<String, &'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=128).contains(&text.len()) && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("1 to 128 letters, digits, dots, underscores and hyphens are allowed")
    }
}

fn unique_id() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String =
        host.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect();
    let host = if host.is_empty() { "worker" } else { &host };
    format!("{host}-{}-{:08x}", std::process::id(), fastrand::u32(..))
}

#[cfg(test)]
mod tests;
