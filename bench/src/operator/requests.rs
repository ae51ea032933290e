//! Who asked what of the API server: writes by its audit log, reads by its own counters.

use std::collections::BTreeMap;
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

/// How many of each.
pub(super) type Counts = BTreeMap<String, usize>;

impl Writes {
    /// From now on.
    pub(super) fn begin(stage: &Stage) -> Self {
        Self { audit: Audit::begin(stage.cluster), user: stage.user() }
    }

    /// The operator's since the last look, by verb and resource.
    pub(super) fn taken(&mut self) -> Counts {
        let mut counts = Counts::new();
        let all = self.of_all();
        all.iter()
            .filter(|request| request.user == self.user)
            .for_each(|request| count(&mut counts, request));
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
        let mut counts = Counts::new();
        while last.elapsed() < STILL {
            if begun.elapsed() > limit {
                return Err(format!("there are still writes after {limit:?}: {counts:?}").into());
            }
            sleep(STEP).await;
            for request in self.of_all().into_iter().filter(&whose) {
                last = Instant::now();
                count(&mut counts, &request);
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

fn count(counts: &mut Counts, request: &Request) {
    *counts.entry(format!("{} {}", request.verb, request.resource)).or_default() += 1;
}

/// How many there are.
pub(super) fn sum(counts: &Counts) -> usize {
    counts.values().sum()
}

/// Those of a resource.
pub(super) fn of_resource(counts: &Counts, resource: &str) -> usize {
    counts.iter().filter(|(what, _)| what.ends_with(&format!(" {resource}"))).map(|(_, count)| count).sum()
}

/// For a line of text.
pub(super) fn listed(counts: &Counts) -> String {
    let each: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    if each.is_empty() { "none".into() } else { each.join(", ") }
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
