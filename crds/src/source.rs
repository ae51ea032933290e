//! Where quotes come from.

use std::time::Duration;

use crate::duration::parse_interval;
use crate::limits::{MAX_SEED, MAX_URL, MAX_USER_AGENT};
use crate::problem::{Problems, shown};
use crate::v1alpha1::{SourceSpec, YahooMode, YahooSpec};

/// Where Yahoo answers.
pub const DEFAULT_YAHOO_URL: &str = "https://query1.finance.yahoo.com";
/// What Yahoo is told about who asks: without the name of a browser it answers 429.
pub const DEFAULT_USER_AGENT: &str =
    concat!("Mozilla/5.0 (compatible; StockWatch/", env!("CARGO_PKG_VERSION"), ")");
const DEFAULT_YAHOO_INTERVAL: Duration = Duration::from_secs(60);
const DEFAULT_SIMULATED_INTERVAL: Duration = Duration::from_secs(1);
const DEFAULT_SEED: u64 = 1;
const YAHOO_LEAST: Duration = Duration::from_secs(1);
const SIMULATED_LEAST: Duration = Duration::from_millis(1);
const MOST: Duration = Duration::from_secs(24 * 3600);

/// Where quotes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Yahoo's spark or chart endpoint.
    Yahoo {
        /// How it is asked.
        mode: YahooMode,
        /// Each ticker is asked once in this time; 1 s to 24 h.
        interval: Duration,
        /// `http://` or `https://`, a host, perhaps a path; without a slash at its end.
        base_url: String,
        /// The header of each request.
        user_agent: String,
    },
    /// Someone else writes the raw topic.
    External,
    /// A random walk for each ticker.
    Simulated {
        /// Each ticker gets a quote once in this time; 1 ms to 24 h.
        interval: Duration,
        /// The same seed gives the same walks.
        seed: u64,
    },
}

impl Default for Source {
    fn default() -> Self {
        Self::yahoo(&YahooSpec::default(), &mut Problems::default())
    }
}

impl Source {
    pub(crate) fn parse(source: Option<&SourceSpec>, problems: &mut Problems) -> Self {
        let Some(source) = source else { return Self::default() };
        match (&source.yahoo, &source.external, &source.simulated) {
            (Some(yahoo), None, None) => Self::yahoo(yahoo, problems),
            (None, Some(_), None) => Self::External,
            (None, None, Some(simulated)) => {
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
                    "exactly one of yahoo, external and simulated is allowed (leave source out for yahoo)",
                );
                Self::External
            }
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
                DEFAULT_YAHOO_INTERVAL,
                YAHOO_LEAST,
                "60s",
                "spec.source.yahoo.interval",
                problems,
            ),
            base_url: base_url.trim_end_matches('/').to_owned(),
            user_agent: user_agent.to_owned(),
        }
    }
}

fn interval(
    text: Option<&str>,
    default: Duration,
    least: Duration,
    example: &'static str,
    path: &str,
    problems: &mut Problems,
) -> Duration {
    text.and_then(|text| problems.ok(path, parse_interval(text, least..=MOST, example))).unwrap_or(default)
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
