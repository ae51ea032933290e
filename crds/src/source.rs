//! Where quotes come from.

use std::time::Duration;

use crate::duration::parse_interval;
use crate::limits::{MAX_SEED, MAX_URL};
use crate::problem::{Problems, shown};
use crate::v1alpha1::SourceSpec;

/// Where Yahoo answers.
pub const DEFAULT_YAHOO_URL: &str = "https://query1.finance.yahoo.com";
const DEFAULT_YAHOO_INTERVAL: Duration = Duration::from_secs(60);
const DEFAULT_SIMULATED_INTERVAL: Duration = Duration::from_secs(1);
const DEFAULT_SEED: u64 = 1;
const YAHOO_LEAST: Duration = Duration::from_secs(1);
const SIMULATED_LEAST: Duration = Duration::from_millis(1);
const MOST: Duration = Duration::from_secs(24 * 3600);

/// Where quotes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Yahoo's chart endpoint.
    Yahoo {
        /// Each ticker is asked once in this time; 1 s to 24 h.
        interval: Duration,
        /// `http://` or `https://`, a host, perhaps a path; without a slash at its end.
        base_url: String,
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
        Self::Yahoo { interval: DEFAULT_YAHOO_INTERVAL, base_url: DEFAULT_YAHOO_URL.to_owned() }
    }
}

impl Source {
    pub(crate) fn parse(source: Option<&SourceSpec>, problems: &mut Problems) -> Self {
        let Some(source) = source else { return Self::default() };
        match (&source.yahoo, &source.external, &source.simulated) {
            (Some(yahoo), None, None) => Self::Yahoo {
                interval: interval(
                    yahoo.interval.as_deref(),
                    DEFAULT_YAHOO_INTERVAL,
                    YAHOO_LEAST,
                    "60s",
                    "spec.source.yahoo.interval",
                    problems,
                ),
                base_url: match yahoo.base_url.as_deref() {
                    None => DEFAULT_YAHOO_URL.to_owned(),
                    Some(url) => {
                        if !is_base_url(url) {
                            problems.add(
                                "spec.source.yahoo.baseUrl",
                                format!(
                                    "{} is not a base URL: http:// or https://, a host, perhaps a port and a path are \
                                     allowed, at most {MAX_URL} characters, without user, query and fragment",
                                    shown(url)
                                ),
                            );
                        }
                        url.trim_end_matches('/').to_owned()
                    }
                },
            },
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
