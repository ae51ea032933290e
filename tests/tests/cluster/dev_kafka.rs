//! The chart's development Kafka: one `helm install` and one `kubectl apply` show alarms, and after a restart of Kafka
//! they come again while nobody does anything, with a volume and without one.

use std::time::Instant;

use serde_json::{Value, json};
use stockwatch_tests::{CHART, Cluster, IMAGES, Namespace, Release, Until, Volume, soon, wait_for};

const WORKERS: &str = "stockwatch.dev/name=first";
/// Within so many seconds of a restart there are alarms again.
const AGAIN: u64 = 120;

/// A release with its own Kafka, and the StockWatch of `examples/first.yaml` in its namespace.
pub(crate) struct TryOut {
    home: Namespace,
    release: Release,
    values: Vec<String>,
}

impl TryOut {
    /// Installs a release with more values, and waits for an alarm.
    pub(crate) fn start(home: Namespace, more: &[&str]) -> Self {
        let cluster = Cluster::shared();
        cluster.load_kafka();
        let fixed = ["kafka.enabled=true", "kafka.image.repository=stockwatch-test-kafka"];
        let values: Vec<String> = [&fixed[..], more].concat().into_iter().map(str::to_owned).collect();
        let release = Release::install(cluster, home.name(), "stockwatch", &refs(&values));
        let mut first: Value = serde_yaml::from_str(include_str!("../../../examples/first.yaml")).unwrap();
        first["spec"]["kafka"]["bootstrapServers"] = json!(format!("kafka.{}:9092", home.name()));
        first["spec"]["windows"] = json!([{"duration": "1m", "tolerance": "0.0001%"}]);
        home.apply(&serde_yaml::to_string(&first).unwrap()).unwrap();
        home.wait(120, "stockwatch/first", &Until::ready());
        let it = Self { home, release, values };
        it.await_alarm();
        it
    }

    /// The first alarm that the topic has, as Kafka's own tool reads it.
    fn first_alarm(&self) -> Value {
        let topic = format!("{}.first.deviation-alarm", self.home.name());
        let command = format!(
            "exec kafka-0 -- /opt/kafka/bin/kafka-console-consumer.sh --bootstrap-server kafka:9092 \
             --isolation-level read_committed --from-beginning --max-messages 1 --timeout-ms 60000 --topic {topic}"
        );
        let text = self.home.kubectl(&command.split_whitespace().collect::<Vec<_>>());
        // It prints its warnings among the records, and times out without a failure.
        serde_json::from_str(text.lines().find(|line| line.starts_with('{')).unwrap()).unwrap()
    }

    /// The next alarm that is written.
    fn next_alarm(&self) -> Result<Value, String> {
        let command = "exec deploy/first-stockwatch -- timeout 10 stockwatch-worker tail alarms --max 1";
        let text = self.home.try_kubectl(&command.split(' ').collect::<Vec<_>>())?;
        let value = text.trim_end().rsplit('\t').next().unwrap_or_default();
        serde_json::from_str(value).map_err(|error| format!("{error}: {text}"))
    }

    /// Waits until an alarm is written.
    fn await_alarm(&self) {
        wait_for(AGAIN, "an alarm", || self.next_alarm());
    }

    /// How long it takes from a restart of Kafka to an alarm of a quote that is younger.
    fn measure(&self, what: &str, restart: impl FnOnce()) {
        let pod = || self.home.pods("app.kubernetes.io/name=stockwatch-kafka");
        let (before, workers) = (pod(), self.home.pods(WORKERS));
        let status = |home: &Namespace| home.get("stockwatch/first")["status"].clone();
        let cluster_id = status(&self.home)["kafkaClusterId"].clone();
        let began = Instant::now();
        restart();
        wait_for(60, "another pod of Kafka", || {
            let after = pod();
            soon(after.len() == 1 && after != before, after)
        });
        self.await_alarm();
        eprintln!("{what}: alarms again after {:.1} s", began.elapsed().as_secs_f64());
        self.home.wait(60, "stockwatch/first", &Until::ready());
        assert_eq!(status(&self.home)["kafkaClusterId"], cluster_id);
        eprintln!("{what}: Ready after {:.1} s", began.elapsed().as_secs_f64());
        let after = self.home.pods(WORKERS);
        assert_eq!(workers.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "the same workers");
    }

    fn upgrade(&self, value: &str) {
        self.release.upgrade(&[&refs(&self.values)[..], &[value]].concat());
    }

    /// Restarts Kafka in two ways, and says how long alarms stayed away.
    pub(crate) fn restarts(&self, with: &str) {
        self.measure(&format!("{with}, Kafka's pod deleted"), || {
            self.home.kubectl(&["delete", "pod", "kafka-0", "--wait=false"]);
        });
        self.measure(&format!("{with}, helm upgrade with another heap"), || self.upgrade("kafka.heap=400m"));
    }
}

fn refs(values: &[String]) -> Vec<&str> {
    values.iter().map(String::as_str).collect()
}

#[test]
fn with_a_volume_alarms_go_on_after_a_restart_of_kafka() {
    let (cluster, _release) = (Cluster::shared(), Release::shared());
    let home = Namespace::create(cluster, "volume");
    let _volume = Volume::create(cluster, home.name(), "kafka-data");
    // The shared release's operator looks after it: the claim of the cluster stays that release's.
    let namespaces = format!("namespaces[0]={}", home.name());
    let it = TryOut::start(home, &["kafka.storage=8Gi", "replicas=0", &namespaces]);
    let first = it.first_alarm();
    it.restarts("with a volume");
    assert_eq!(it.first_alarm(), first, "what was there is still there");
}

#[test]
fn where_no_volume_is_provided_an_upgrade_to_do_without_one_is_enough() {
    let (cluster, _release) = (Cluster::shared(), Release::shared());
    cluster.load_kafka();
    let home = Namespace::create(cluster, "unbound");
    let helm = |arguments: &str| {
        // Told of its own namespace alone, it leaves the claim of the cluster to the other tests' release.
        let values = format!(
            "--set=kafka.enabled=true,kafka.image.repository=stockwatch-test-kafka,replicas=0,namespaces[0]={}",
            home.name()
        );
        let images = format!("--set={}", IMAGES.join(","));
        let mut helm = cluster.command("helm");
        helm.args(["-n", home.name()]).args(arguments.split(' ')).args([
            CHART,
            &values,
            &images,
            "--take-ownership",
        ]);
        let done = helm.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    helm("install stockwatch");
    home.wait(60, "pod/kafka-0", &Until::because("PodScheduled", "Unschedulable"));
    helm("upgrade stockwatch --set=kafka.storage= --wait --timeout=120s");
    home.wait(10, "pod/kafka-0", &Until::ready());
    let uninstalled = cluster.command("helm").args(["-n", home.name(), "uninstall", "stockwatch"]).status();
    assert!(uninstalled.unwrap().success());
}
