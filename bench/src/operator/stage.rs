//! The cluster, the broker and the operator that the measurements share.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use stockwatch_crds::StockWatch;
use stockwatch_tests::{Broker, Cluster, Injector, Namespace, Release};
use tokio::runtime::Runtime;
use tokio::time::sleep;

use crate::error::Result;
use crate::operator::crowd;
use crate::operator::follower::Follower;
use crate::process::Process;

/// The release, and with it the objects of the operator.
const RELEASE: &str = "stockwatch";
/// For an operator to lead.
const ELECTION: Duration = Duration::from_secs(60);

/// Everything that runs. The order of the fields is that in which they end: the operator first, the broker last.
pub(super) struct Stage {
    release: Release,
    home: Namespace,
    beside: Namespace,
    _system: Namespace,
    pub(super) broker: Broker,
    pub(super) cluster: &'static Cluster,
    pub(super) client: Client,
    /// The same API server, asked with the operator's rights alone.
    pub(super) as_operator: Client,
}

impl Stage {
    /// Starts it all, the operator as the chart installs it: for all namespaces.
    pub(super) fn set(runtime: &Runtime) -> Result<Self> {
        let cluster = Cluster::shared();
        let broker = Broker::start_wide(cluster);
        let [system, home, beside] =
            ["system", "scale", "bare"].map(|purpose| Namespace::create(cluster, purpose));
        let release = Release::install(cluster, system.name(), RELEASE, &[]);
        let as_operator = runtime.block_on(client(cluster, Some(release.user())))?;
        let client = runtime.block_on(client(cluster, None))?;
        Ok(Self { release, home, beside, _system: system, broker, cluster, client, as_operator })
    }

    /// The namespace of the StockWatches that the operator is measured with.
    pub(super) fn home(&self) -> &str {
        self.home.name()
    }

    /// The namespace of the plain clients.
    pub(super) fn beside(&self) -> &str {
        self.beside.name()
    }

    /// The StockWatches that the operator looks after.
    pub(super) fn stockwatches(&self) -> Api<StockWatch> {
        Api::namespaced(self.client.clone(), self.home())
    }

    /// Who the operator is to the API server.
    pub(super) fn user(&self) -> String {
        self.release.user()
    }

    /// How many calls to Kafka the operators have made.
    pub(super) fn kafka_calls(&self) -> f64 {
        self.release.metric("kafka_calls", "")
    }

    /// Sees what becomes of the StockWatches from now on.
    pub(super) fn follow(&self) -> Follower {
        Follower::of(self.stockwatches())
    }

    /// The process of the operator that leads; after a restart nobody does for a moment.
    pub(super) async fn leader(&self) -> Result<Process> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), self.release.namespace());
        let begun = Instant::now();
        loop {
            let found = leases.list(&ListParams::default()).await?;
            let holder = found.items.into_iter().find_map(|lease| lease.spec?.holder_identity);
            let leader =
                Process::find("stockwatch-operator", &format!("POD_NAME={}", holder.unwrap_or_default()));
            if leader.is_ok() || begun.elapsed() > ELECTION {
                return leader;
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Replaces the operators (`kubectl rollout restart`).
    pub(super) fn restart(&self) {
        let here = ["-n", self.release.namespace(), "rollout"];
        self.cluster.kubectl(&[&here[..], &["restart", "deployment"]].concat());
        self.cluster.kubectl(&[&here[..], &["status", "deployment", "--timeout=120s"]].concat());
    }

    /// Ends all operators, or starts so many and waits until they are ready.
    pub(super) fn scale(&self, operators: usize) {
        let here = ["-n", self.release.namespace()];
        let replicas = format!("--replicas={operators}");
        self.cluster.kubectl(&[&here[..], &["scale", "deployment", RELEASE, &replicas]].concat());
        let gone = ["wait", "pod", "--for=delete", "-l", &self.release.pods(), "--timeout=120s"];
        if operators == 0 {
            self.cluster.kubectl(&[&here[..], &gone].concat());
        } else {
            self.release.await_operators();
        }
    }

    /// Has Deployments of the StockWatches changed on their way in.
    pub(super) fn inject(&self) -> Injector<'_> {
        Injector::of(&self.home)
    }

    /// Whether the Deployment of a StockWatch was.
    pub(super) fn is_injected(&self, name: &str) -> bool {
        Injector::has_changed(&self.home.get(&format!("deployment/{name}-stockwatch")))
    }

    /// Deletes what the plain clients applied.
    pub(super) fn clear_beside(&self) {
        self.cluster.kubectl(&["delete", "namespace", self.beside(), "--timeout=600s"]);
    }

    /// Deletes StockWatches.
    pub(super) async fn delete(&self, names: &[String]) -> Result<()> {
        let api = self.stockwatches();
        let delete = |name: &String| {
            let (api, name) = (api.clone(), name.clone());
            async move { api.delete(&name, &DeleteParams::default()).await }
        };
        Ok(stream::iter(names.iter().map(delete))
            .buffer_unordered(crowd::AT_ONCE)
            .try_for_each(|_| async { Ok(()) })
            .await?)
    }
}

/// A client told of this cluster alone: the administrator's, or one with the rights of a user.
async fn client(cluster: &Cluster, user: Option<String>) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(cluster.directory().join("kubeconfig"))?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.auth_info.impersonate = user;
    Ok(Client::try_from(config)?)
}
