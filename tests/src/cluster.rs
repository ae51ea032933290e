//! The Kubernetes of `tests/cluster/cluster.sh`, with the images built here: the one that runs, or one for this process.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use serde_json::Value;

use crate::container::Container;
use crate::endpoint::Endpoint;
use crate::objects::Objects;
use crate::wait::wait_for;

const API_SERVER: &str = "kube-apiserver";

static SHARED: LazyLock<Cluster> = LazyLock::new(Cluster::start);

/// A running cluster; one that was started for this process ends with it.
pub struct Cluster {
    kubeconfig: PathBuf,
    objects: Objects,
    tools: PathBuf,
    /// Ends what was started for this process at the end of its input.
    holder: Child,
}

/// A cluster whose API server is down.
#[derive(Debug)]
#[must_use]
pub struct Down<'c>(&'c Cluster);

impl Cluster {
    /// Where pods reach what this process, or a broker of its, listens with.
    pub const HOST: &str = "10.200.0.2";

    /// The cluster of all tests in this process.
    pub fn shared() -> &'static Self {
        &SHARED
    }

    fn start() -> Self {
        let mut holder = script("cluster.sh")
            .arg("hold")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0) // Ctrl-C ends the tests; the script ends by the end of its input
            .spawn()
            .expect("tests/cluster/cluster.sh needs bash");
        let mut kubeconfig = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut kubeconfig).unwrap();
        assert!(!kubeconfig.trim().is_empty(), "cluster.sh started no cluster: see its messages above");
        let kubeconfig = PathBuf::from(kubeconfig.trim());
        let cluster = Self { objects: Objects::new(&kubeconfig), kubeconfig, tools: tools(), holder };
        let images = output(script("images.sh").args(["operator", "worker"]), "").unwrap();
        cluster.load(images.lines());
        cluster
    }

    /// Imports the image that takes the place of `apache/kafka`: `stockwatch-test-kafka`, tagged with Kafka's version.
    pub fn load_kafka(&self) {
        let images = output(script("images.sh").arg("kafka"), "").unwrap();
        self.load(images.lines());
    }

    /// Imports the worker's image under another tag.
    pub fn load_worker(&self, tag: &str) {
        let images = output(script("images.sh").env("IMAGE_TAG", tag).arg("worker"), "").unwrap();
        self.load(images.lines());
    }

    /// Imports images, as docker-archives.
    pub fn load<'a>(&self, archives: impl IntoIterator<Item = &'a str>) {
        self.script(&[&["load"], &*archives.into_iter().collect::<Vec<_>>()].concat());
    }

    /// Runs a command of `cluster.sh` on it.
    pub(crate) fn script(&self, arguments: &[&str]) {
        output(script("cluster.sh").env("CLUSTER_DIR", self.directory()).args(arguments), "").unwrap();
    }

    /// Its directory, with `kubeconfig`, `audit.log` and `logs/`.
    pub fn directory(&self) -> &Path {
        self.kubeconfig.parent().unwrap()
    }

    /// Has a command of the cluster's tools run when this process ends, however it does; not where the cluster ends then.
    pub(crate) fn at_end(&self, tool: &str, arguments: &[&str]) {
        let program = self.tools.join(tool);
        let line = format!(
            "KUBECONFIG={} {} {}\n",
            self.kubeconfig.display(),
            program.display(),
            arguments.join(" ")
        );
        self.holder.stdin.as_ref().unwrap().write_all(line.as_bytes()).unwrap();
    }

    /// Does something to one of its components: `stop`, `kill`, `start`, `pause` or `resume` to `kube-apiserver`, …
    pub fn component(&self, what: &str, name: &str) {
        self.script(&[what, name]);
    }

    /// Kills all that runs on its node, pods too, and starts its components again.
    pub fn crash(&self) {
        self.script(&["crash"]);
    }

    /// Kills its API server, which is started again when what this gives is dropped.
    pub fn without_api_server(&self) -> Down<'_> {
        self.component("kill", API_SERVER);
        Down(self)
    }

    /// A command of the cluster's tools (`kubectl`, `helm`), told of this cluster alone.
    pub fn command(&self, tool: &str) -> Command {
        let mut command = Command::new(self.tools.join(tool));
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// Runs `kubectl` and gives its output; panics with its message where it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments).unwrap_or_else(|message| panic!("kubectl {arguments:?}: {message}"))
    }

    /// Runs `kubectl`: its output, or its message where it fails.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        output(self.command("kubectl").args(arguments), "")
    }

    /// The same with something to read.
    pub fn try_kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        output(self.command("kubectl").args(arguments), input)
    }

    /// The API server's objects.
    pub(crate) fn objects(&self) -> &Objects {
        &self.objects
    }

    /// A namespace's pods with these labels: by name, their UIDs and how often their container was restarted.
    pub(crate) fn pods(&self, namespace: &str, labels: &str) -> BTreeMap<String, (String, u64)> {
        let pods = self.objects.list(namespace, "pods", labels, "").unwrap_or_else(|error| panic!("{error}"));
        let pod = |pod: &Value| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let restarts = pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or_default();
            (text(&pod["metadata"]["name"]), (text(&pod["metadata"]["uid"]), restarts))
        };
        pods.iter().map(pod).collect()
    }

    /// The containers of a namespace's pods with these labels that run.
    pub(crate) fn containers(&self, namespace: &str, labels: &str) -> Vec<Container> {
        let pods = self.objects.list(namespace, "pods", labels, "status.phase=Running");
        pods.unwrap_or_else(|error| panic!("{error}")).iter().filter_map(Container::of).collect()
    }

    /// Has a pod's process end at once, and not start again: another pod may take its place.
    pub(crate) fn kill_pod(&self, namespace: &str, container: &Container) {
        // Frozen, it does not hear that it shall end in order.
        container.pause();
        let delete = ["-n", namespace, "delete", "pod", &container.pod];
        self.kubectl(&[&delete[..], &["--grace-period=0", "--force", "--wait=false"]].concat());
        container.end();
    }

    /// The HTTP servers of a namespace's pods with these labels, by the pods' names; only of pods that have an address.
    pub(crate) fn endpoints(&self, namespace: &str, labels: &str) -> BTreeMap<String, Endpoint> {
        let containers = self.containers(namespace, labels).into_iter();
        containers.map(|container| (container.pod.clone(), container.http())).collect()
    }

    /// Whether an account may do something, as `kubectl auth can-i` says.
    pub fn can(&self, account: &str, question: &[&str]) -> bool {
        let account = format!("--as=system:serviceaccount:{account}");
        let answer =
            self.command("kubectl").args(["auth", "can-i", &account]).args(question).output().unwrap();
        match String::from_utf8_lossy(&answer.stdout).trim() {
            "yes" => true,
            "no" => false,
            other => panic!("can-i {question:?}: {other}: {}", String::from_utf8_lossy(&answer.stderr)),
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the cluster of {}", self.kubeconfig.display())
    }
}

impl Drop for Down<'_> {
    fn drop(&mut self) {
        self.0.component("start", API_SERVER);
        wait_for(60, "the API server", || self.0.try_kubectl(&["get", "--raw", "/readyz"]));
    }
}

/// Runs a command to its end with some input: its output, or its messages where it fails.
pub(crate) fn output(command: &mut Command, input: &str) -> Result<String, String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).map_err(|error| error.to_string())?;
    let done = child.wait_with_output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.success() {
        return Ok(text);
    }
    let mut message = String::from_utf8_lossy(&done.stderr).into_owned();
    if !text.is_empty() {
        let _ = write!(message, "\n{text}");
    }
    Err(message)
}

/// The directory of `kubectl`, `helm` and `kubeconform`, built when they are not.
pub(crate) fn tools() -> PathBuf {
    output(script("cluster.sh").arg("build"), "").unwrap();
    output(script("cluster.sh").arg("tools"), "").unwrap().trim().into()
}

/// The bytes that the image of `operator` or `worker`, built when it is not, has on top of its base.
pub fn image_size(name: &str) -> u32 {
    output(script("images.sh").arg(name), "").unwrap();
    output(script("images.sh").args(["size", name]), "").unwrap().trim().parse().unwrap()
}

fn script(name: &str) -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster").join(name))
}
