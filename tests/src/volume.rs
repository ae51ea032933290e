//! A volume of the node, since nobody provides any in the tests' cluster.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::json;

use crate::cluster::Cluster;

/// A PersistentVolume for one claim, gone with the value that stands for it.
#[derive(Debug)]
pub struct Volume {
    cluster: &'static Cluster,
    name: String,
    directory: PathBuf,
}

impl Volume {
    /// Creates one that only this claim gets.
    pub fn create(cluster: &'static Cluster, namespace: &str, claim: &str) -> Self {
        let name = format!("{namespace}-{claim}");
        let directory = cluster.directory().join("volumes").join(&name);
        fs::create_dir_all(&directory).unwrap();
        // The group of the pod's security context is given to the directory; on the way to it anyone may pass.
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
        let node = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": ["node"]});
        let volume = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "8Gi"},
                "accessModes": ["ReadWriteOnce"],
                "claimRef": {"namespace": namespace, "name": claim},
                "local": {"path": directory},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [node]}]}},
            },
        });
        cluster.try_kubectl_with(&["apply", "-f", "-"], &volume.to_string()).unwrap();
        Self { cluster, name, directory }
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = self.cluster.try_kubectl(&["delete", "pv", &self.name, "--wait=false"]);
        let _ = fs::remove_dir_all(&self.directory);
    }
}
