//! A pod that is cut off from the API server.

use crate::cluster::Cluster;
use crate::container::Container;

/// A pod that is cut off from the API server, until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Cut(&'static Cluster);

impl Container {
    /// Has the node drop whatever it and the API server send each other.
    pub fn cut_off(&self, cluster: &'static Cluster) -> Cut {
        cluster.script(&["cut", &self.address]);
        Cut(cluster)
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.script(&["join"]);
    }
}
