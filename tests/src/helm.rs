//! Releases of the chart.

use crate::cluster::{Cluster, output};

pub(crate) const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../helm/stockwatch");

/// A release, uninstalled when dropped.
#[derive(Debug)]
pub struct Release {
    cluster: &'static Cluster,
    namespace: String,
    name: String,
    installed: bool,
}

impl Release {
    /// `helm install` with values such as `kafka.enabled=true`, awaited until the operator is ready.
    pub fn install(cluster: &'static Cluster, namespace: &str, name: &str, values: &[&str]) -> Self {
        let release = Self { cluster, namespace: namespace.into(), name: name.into(), installed: true };
        // The definition may have stayed from a release elsewhere.
        release.change(&["install", "--take-ownership"], values);
        release
    }

    /// `helm upgrade` to other values, all that were set before forgotten.
    pub fn upgrade(&self, values: &[&str]) {
        self.change(&["upgrade", "--reset-values"], values);
    }

    /// `helm test`: what it says, or its message where it fails.
    pub fn test(&self) -> Result<String, String> {
        self.helm(&["test", &self.name, "--timeout=60s"])
    }

    /// `helm uninstall`, awaited.
    pub fn uninstall(mut self) {
        self.installed = false;
        self.helm(&["uninstall", &self.name, "--wait", "--timeout=60s"]).unwrap();
    }

    fn change(&self, how: &[&str], values: &[&str]) {
        let values = values.iter().flat_map(|value| ["--set", value]);
        let fixed = [&self.name, CHART, "--wait", "--timeout=120s"];
        let arguments: Vec<&str> = how.iter().copied().chain(fixed).chain(values).collect();
        self.helm(&arguments)
            .unwrap_or_else(|message| panic!("helm {arguments:?}: {message}\n{}", self.describe()));
    }

    fn helm(&self, arguments: &[&str]) -> Result<String, String> {
        output(self.cluster.command("helm").args(["-n", &self.namespace]).args(arguments), "")
    }

    /// The operators' pods and what they have logged.
    pub fn describe(&self) -> String {
        let say = |question: &[&str]| {
            let question = [&["-n", &*self.namespace], question].concat();
            self.cluster.try_kubectl(&question).unwrap_or_else(|message| message)
        };
        let label = format!("app.kubernetes.io/instance={}", self.name);
        let pods = say(&["describe", "pods", "-l", &label]);
        let logs = say(&["logs", "-l", &label, "--prefix", "--tail=100"]);
        format!("--- the operators of release {}\n{pods}\n{logs}", self.name)
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.describe());
        }
        if self.installed {
            let _ = self.helm(&["uninstall", &self.name, "--wait", "--timeout=60s"]);
        }
    }
}
