//! Who asked what of the API server: writes and refused ones by its audit log, reads by its own counters.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use stockwatch_tests::{Audit, Cluster, Request};
use tokio::time::sleep;

use crate::error::Result;
use crate::operator::stage::Stage;

/// Work in progress has ended after this time without a write.
const STILL: Duration = Duration::from_secs(10);
/// Between two looks.
const STEP: Duration = Duration::from_millis(500);

/// The writes since a moment, the renewals of Leases left out.
pub(super) struct Writes {
    audit: Audit,
    user: String,
}

/// How many there are of each verb and resource.
#[derive(Debug, Default)]
pub(super) struct Counts {
    written: BTreeMap<String, usize>,
    refused: BTreeMap<String, usize>,
}

impl Counts {
    fn add(&mut self, request: &Request) {
        let counts = if request.succeeded() { &mut self.written } else { &mut self.refused };
        *counts.entry(format!("{} {}", request.verb, request.resource)).or_default() += 1;
    }

    /// How many writes there are.
    pub(super) fn writes(&self) -> usize {
        self.written.values().sum()
    }

    /// How many requests the API server refused, of which nothing was written.
    pub(super) fn refusals(&self) -> usize {
        self.refused.values().sum()
    }

    /// The writes of a resource.
    pub(super) fn of_resource(&self, resource: &str) -> usize {
        let of = |what: &str| what.ends_with(&format!(" {resource}"));
        self.written.iter().filter(|(what, _)| of(what)).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |counts: &BTreeMap<String, usize>| {
            let each: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
            if each.is_empty() { "none".to_owned() } else { each.join(", ") }
        };
        write!(f, "{}; refused: {}", listed(&self.written), listed(&self.refused))
    }
}

impl Writes {
    /// From now on.
    pub(super) fn begin(stage: &Stage) -> Self {
        Self { audit: Audit::begin(stage.cluster), user: stage.user() }
    }

    /// The operator's since the last look.
    pub(super) fn taken(&mut self) -> Counts {
        let mut counts = Counts::default();
        let all = self.of_all();
        all.iter().filter(|request| request.user == self.user).for_each(|request| counts.add(request));
        counts
    }

    /// Waits until the operator writes no more, and gives what it wrote since the last look.
    pub(super) async fn settle(&mut self, limit: Duration) -> Result<Counts> {
        let user = self.user.clone();
        self.still(limit, |request| request.user == user).await
    }

    /// Waits until nobody writes any more, the cluster's own controllers included.
    pub(super) async fn settle_all(&mut self, limit: Duration) -> Result<()> {
        self.still(limit, |_| true).await.map(drop)
    }

    async fn still(&mut self, limit: Duration, whose: impl Fn(&Request) -> bool) -> Result<Counts> {
        let (begun, mut last) = (Instant::now(), Instant::now());
        let mut counts = Counts::default();
        while last.elapsed() < STILL {
            if begun.elapsed() > limit {
                return Err(format!("there are still writes after {limit:?}: {counts}").into());
            }
            sleep(STEP).await;
            for request in self.of_all().into_iter().filter(&whose) {
                last = Instant::now();
                counts.add(&request);
            }
        }
        Ok(counts)
    }

    fn of_all(&mut self) -> Vec<Request> {
        let all = self.audit.all().into_iter();
        // Tokens are given to pods by the minute, whatever else happens.
        all.filter(|request| request.resource != "leases" && request.resource != "serviceaccounts/token")
            .collect()
    }
}

/// How often everyone together has read single objects of the kinds that a StockWatch has.
pub(super) fn reads(cluster: &Cluster) -> f64 {
    const KINDS: [&str; 8] = [
        "stockwatches",
        "configmaps",
        "serviceaccounts",
        "roles",
        "rolebindings",
        "services",
        "poddisruptionbudgets",
        "deployments",
    ];
    let text = cluster.kubectl(&["get", "--raw", "/metrics"]);
    let counted = |line: &&str| {
        line.starts_with("apiserver_request_total{")
            && line.contains("verb=\"GET\"")
            && KINDS.iter().any(|kind| line.contains(&format!("resource=\"{kind}\"")))
    };
    let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
    text.lines().filter(counted).filter_map(value).sum()
}
