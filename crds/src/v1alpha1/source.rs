//! Where quotes come from.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::durations::{IS_INTERVAL, SAY_INTERVAL};
use super::http::HttpSpec;
use super::secret::SourceSecretKeyRef;
use crate::limits::{MAX_SEED, MAX_URL, MAX_USER_AGENT};

/// Where quotes come from: exactly one member.
///
/// A struct of optional members and not an enum: an enum's schema cannot say "one of", and a rule can.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "[has(self.yahoo), has(self.http), has(self.external), has(self.simulated)].filter(x, x).size() == 1"
    )
        .message("exactly one of yahoo, http, external and simulated is allowed (leave source out for yahoo)"),
)]
pub struct SourceSpec {
    /// Asks Yahoo for each symbol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yahoo: Option<YahooSpec>,
    /// Asks any provider that answers in JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSpec>,
    /// Asks nobody: someone else writes the raw topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalSpec>,
    /// Makes quotes up: a random walk for each ticker, to try things out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated: Option<SimulatedSpec>,
}

/// How Yahoo is asked: spark for up to twenty symbols at once, chart for one after the other, stream for a connection
/// on which quotes come by themselves. Absent: spark.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum YahooMode {
    /// For up to twenty symbols at once, and by chart for those that an answer leaves out.
    #[default]
    Spark,
    /// For one symbol after the other.
    Chart,
    /// By a WebSocket; by spark for symbols that it is silent about.
    Stream,
}

/// Yahoo's spark, chart or streaming endpoint.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct YahooSpec {
    /// How Yahoo is asked. Absent: spark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<YahooMode>,

    /// Each symbol is asked for once in this time, such as 60s or 5m; 1s to 1440m. Absent: 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 10))]
    #[x_kube(validation = Rule::new(IS_INTERVAL).message(SAY_INTERVAL))]
    pub interval: Option<String>,

    /// Where to ask, the stream too. Absent: https://query1.finance.yahoo.com, and the stream at
    /// https://streamer.finance.yahoo.com.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = MAX_URL))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[!\"$-.0->A-~]+(/[!\"$->@-~]*)?$')")
        .message("a base URL is http:// or https://, a host and perhaps a port and a path, \
            without user, query and fragment"))]
    pub base_url: Option<String>,

    /// The User-Agent of each request. Absent: Mozilla/5.0 (compatible; StockWatch/VERSION).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_USER_AGENT))]
    #[x_kube(validation = Rule::new("self.matches('^[!-~]([ -~]*[!-~])?$')")
        .message("a User-Agent is visible ASCII characters and spaces between them"))]
    pub user_agent: Option<String>,

    /// A proxy between the workers and Yahoo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxySpec>,
}

/// A proxy between the workers and a source.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ProxySpec {
    /// The key of a Secret that holds the proxy's URL: http://, https://, socks5:// or socks5h://, perhaps with user and
    /// password. Absent key: url.
    pub url_secret: SourceSecretKeyRef,
    /// The key of a Secret that holds the certificate authority of a proxy that ends TLS. Absent key: ca.crt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret: Option<SourceSecretKeyRef>,
}

/// Someone else writes the raw topic.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ExternalSpec {
    /// The longest time without a new quote that is nothing to worry about, such as 2m or 90s; 1s to 1440m. Absent:
    /// silence says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 10))]
    #[x_kube(validation = Rule::new(IS_INTERVAL).message(SAY_INTERVAL))]
    pub expect_every: Option<String>,
}

/// A random walk for each ticker.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SimulatedSpec {
    /// Each ticker gets a quote once in this time, such as 1s or 500ms; 1ms to 1440m. Absent: 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 10))]
    #[x_kube(validation = Rule::new(
        "self.matches('^[1-9][0-9]{0,7}(ms|s|m)$') && duration(self) <= duration('24h')"
    )
        .message("an interval is a whole number of ms, s or m from 1ms to 1440m, such as 1s or 500ms"))]
    pub interval: Option<String>,

    /// The same seed gives the same walks. Absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = MAX_SEED))]
    pub seed: Option<i64>,
}
