//! One run of one program: names of its own for topics and group, so that no run sees another's records.

use crate::cluster::Cluster;
use crate::error::Result;

/// Names of a run.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Unique in the cluster, and the worker's group.
    pub(crate) name: String,
    /// The raw topic; runs may share it.
    pub(crate) raw: String,
}

impl Job {
    /// A run that reads `raw`; creates the topics that it writes.
    pub(crate) fn new(cluster: &Cluster, name: &str, raw: &str) -> Result<Self> {
        let job = Self { name: name.to_owned(), raw: raw.to_owned() };
        cluster.create(&[&job.stream(), &job.averages(), &job.alarms()])?;
        Ok(job)
    }

    /// A run with a raw topic of its own, created empty.
    pub(crate) fn with_raw(cluster: &Cluster, name: &str) -> Result<Self> {
        let raw = format!("{name}.raw");
        cluster.create(&[&raw])?;
        Self::new(cluster, name, &raw)
    }

    /// Accepted quotes.
    pub(crate) fn stream(&self) -> String {
        format!("{}.stream", self.name)
    }

    /// The storage table, which the worker creates compacted.
    pub(crate) fn table(&self) -> String {
        format!("{}.table", self.name)
    }

    /// Records that cannot be used.
    pub(crate) fn dead(&self) -> String {
        format!("{}.dead", self.name)
    }

    /// Averages.
    pub(crate) fn averages(&self) -> String {
        format!("{}.averages", self.name)
    }

    /// Alarms.
    pub(crate) fn alarms(&self) -> String {
        format!("{}.alarms", self.name)
    }
}
