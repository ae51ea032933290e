//! Where quotes come from.

mod http;
mod interval;

use std::collections::BTreeSet;
use std::time::Duration;

pub use self::http::{Currency, Http, HttpBatch, Items};
use self::interval::{DEFAULT_INTERVAL, LEAST, MOST, interval};
use crate::duration::parse_interval;
use crate::kafka::{SecretKey, check_secret_name};
use crate::limits::{MAX_SEED, MAX_URL, MAX_USER_AGENT};
use crate::problem::{Problems, shown};
use crate::v1alpha1::{ProxySpec, SourceSecretKeyRef, SourceSpec, YahooMode, YahooSpec};

/// Where Yahoo answers.
pub const DEFAULT_YAHOO_URL: &str = "https://query1.finance.yahoo.com";
/// What Yahoo is told about who asks: without the name of a browser it answers 429.
pub const DEFAULT_USER_AGENT: &str =
    concat!("Mozilla/5.0 (compatible; StockWatch/", env!("CARGO_PKG_VERSION"), ")");
const DEFAULT_SIMULATED_INTERVAL: Duration = Duration::from_secs(1);
const DEFAULT_SEED: u64 = 1;
const SIMULATED_LEAST: Duration = Duration::from_millis(1);

/// Where quotes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Yahoo's spark, chart or streaming endpoint.
    Yahoo {
        /// How it is asked.
        mode: YahooMode,
        /// Each ticker is asked once in this time; 1 s to 24 h.
        interval: Duration,
        /// `http://` or `https://`, a host, perhaps a path; without a slash at its end.
        base_url: String,
        /// The header of each request.
        user_agent: String,
        /// What stands between; `None`: nothing.
        proxy: Option<Proxy>,
    },
    /// Any provider that answers in JSON.
    Http(Http),
    /// Someone else writes the raw topic.
    External {
        /// Silence beyond it is worth a word; `None`: none is. 1 s to 24 h.
        expect_every: Option<Duration>,
    },
    /// A random walk for each ticker.
    Simulated {
        /// Each ticker gets a quote once in this time; 1 ms to 24 h.
        interval: Duration,
        /// The same seed gives the same walks.
        seed: u64,
    },
}

/// A proxy between the workers and a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Where its URL is.
    pub url: SecretKey,
    /// Where the certificate authority is, if it ends TLS itself.
    pub ca: Option<SecretKey>,
}

impl Default for Source {
    fn default() -> Self {
        Self::yahoo(&YahooSpec::default(), &mut Problems::default())
    }
}

impl Source {
    pub(crate) fn parse(source: Option<&SourceSpec>, problems: &mut Problems) -> Self {
        let Some(source) = source else { return Self::default() };
        match (&source.yahoo, &source.http, &source.external, &source.simulated) {
            (Some(yahoo), None, None, None) => Self::yahoo(yahoo, problems),
            (None, Some(http), None, None) => Self::Http(Http::parse(http, problems)),
            (None, None, Some(external), None) => {
                let parse = |text: &String| {
                    problems.ok("spec.source.external.expectEvery", parse_interval(text, LEAST..=MOST, "2m"))
                };
                Self::External { expect_every: external.expect_every.as_ref().and_then(parse) }
            }
            (None, None, None, Some(simulated)) => {
                let seed = simulated.seed.map_or(Ok(DEFAULT_SEED), |seed| {
                    u64::try_from(seed)
                        .ok()
                        .filter(|_| seed <= MAX_SEED)
                        .ok_or(format!("{seed} is out of range: 0 to {MAX_SEED} is allowed"))
                });
                Self::Simulated {
                    interval: interval(
                        simulated.interval.as_deref(),
                        DEFAULT_SIMULATED_INTERVAL,
                        SIMULATED_LEAST,
                        "1s or 500ms",
                        "spec.source.simulated.interval",
                        problems,
                    ),
                    seed: problems.ok("spec.source.simulated.seed", seed).unwrap_or(DEFAULT_SEED),
                }
            }
            _ => {
                problems.add(
                    "spec.source",
                    "exactly one of yahoo, http, external and simulated is allowed (leave source out for yahoo)",
                );
                Self::External { expect_every: None }
            }
        }
    }

    /// True if quotes come by themselves: nobody is asked.
    pub fn is_external(&self) -> bool {
        matches!(self, Self::External { .. })
    }

    /// Returns the names of the Secrets that it needs, each once.
    pub fn secrets(&self) -> BTreeSet<&str> {
        match self {
            Self::Yahoo { proxy: Some(proxy), .. } => [Some(&proxy.url), proxy.ca.as_ref()]
                .into_iter()
                .flatten()
                .map(|key| key.name.as_str())
                .collect(),
            Self::Http(http) => http.headers_secret.as_deref().into_iter().collect(),
            _ => BTreeSet::new(),
        }
    }

    fn yahoo(yahoo: &YahooSpec, problems: &mut Problems) -> Self {
        let base_url = yahoo.base_url.as_deref().unwrap_or(DEFAULT_YAHOO_URL);
        if !is_base_url(base_url) {
            problems.add(
                "spec.source.yahoo.baseUrl",
                format!(
                    "{} is not a base URL: http:// or https://, a host, perhaps a port and a path are allowed, at most \
                     {MAX_URL} characters, without user, query and fragment",
                    shown(base_url)
                ),
            );
        }
        let user_agent = yahoo.user_agent.as_deref().unwrap_or(DEFAULT_USER_AGENT);
        if !is_user_agent(user_agent) {
            problems.add(
                "spec.source.yahoo.userAgent",
                format!(
                    "{} is not a User-Agent: 1 to {MAX_USER_AGENT} visible ASCII characters are allowed, and spaces \
                     between them",
                    shown(user_agent)
                ),
            );
        }
        Self::Yahoo {
            mode: yahoo.mode.unwrap_or_default(),
            interval: interval(
                yahoo.interval.as_deref(),
                DEFAULT_INTERVAL,
                LEAST,
                "60s",
                "spec.source.yahoo.interval",
                problems,
            ),
            base_url: base_url.trim_end_matches('/').to_owned(),
            user_agent: user_agent.to_owned(),
            proxy: yahoo.proxy.as_ref().map(|proxy| Proxy::parse(proxy, problems)),
        }
    }
}

impl Proxy {
    fn parse(proxy: &ProxySpec, problems: &mut Problems) -> Self {
        let mut secret = |reference: &SourceSecretKeyRef, field: &str, default: &str| {
            let path = format!("spec.source.yahoo.proxy.{field}");
            check_secret_name(&reference.name, &format!("{path}.name"), problems);
            let key = reference.key.clone().unwrap_or_else(|| default.to_owned());
            if !is_secret_key(&key) {
                problems.add(
                    format!("{path}.key"),
                    format!(
                        "{} is not a key of a source's Secret: 1 to 253 of a-z, A-Z, 0-9, '-', '_' and '.' are \
                         allowed, without a dot at the start",
                        shown(&key)
                    ),
                );
            }
            SecretKey { name: reference.name.clone(), key }
        };
        Self {
            url: secret(&proxy.url_secret, "urlSecret", "url"),
            ca: proxy.ca_secret.as_ref().map(|reference| secret(reference, "caSecret", "ca.crt")),
        }
    }
}

/// `^[-_a-zA-Z0-9][-._a-zA-Z0-9]*$`: a mounted Secret's files beside its keys start with a dot.
fn is_secret_key(key: &str) -> bool {
    (1..=253).contains(&key.len())
        && !key.starts_with('.')
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

/// `^https?://[^/?#@\s]+(/[^?#\s]*)?$` of visible ASCII.
fn is_base_url(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")) else {
        return false;
    };
    let host = rest.split('/').next().unwrap_or_default();
    url.len() <= MAX_URL
        && !host.is_empty()
        && !host.contains('@')
        && rest.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#')
}

/// `^[!-~]([ -~]*[!-~])?$`: what a header may hold, and keeps as it is.
fn is_user_agent(text: &str) -> bool {
    (1..=MAX_USER_AGENT).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        && text.trim() == text
}
