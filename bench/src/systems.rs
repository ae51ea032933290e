//! The programs that are compared, and how each is started for a job.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::bare::{Mode, Output};
use crate::cluster::Cluster;
use crate::error::Result;
use crate::job::Job;
use crate::program::Program;

/// Where everything that a measurement needs is found.
#[derive(Debug, Clone)]
pub(crate) struct Bench {
    /// The one broker.
    pub(crate) cluster: Cluster,
    /// Logs, spec files and state; removed at the end.
    pub(crate) dir: PathBuf,
    /// The worker's executable.
    pub(crate) worker: PathBuf,
    /// Java's class path to the peer.
    pub(crate) classes: String,
}

/// The tolerance of every measurement but the one that changes it: 1 %.
pub(crate) const TOLERANCE: &str = "1%";
/// The same for Kafka Streams, as a fraction.
const PEER_TOLERANCE: &str = "0.01";

impl Bench {
    /// The same with topics of so many partitions.
    pub(crate) fn with_partitions(&self, partitions: i32) -> Self {
        let mut bench = self.clone();
        bench.cluster.partitions = partitions;
        bench
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    /// The file that a job's worker watches.
    pub(crate) fn spec_file(&self, job: &Job) -> PathBuf {
        self.dir.join(format!("{}.yaml", job.name))
    }

    /// Writes the spec of a job with the usual windows and that tolerance.
    pub(crate) fn write_spec(&self, job: &Job, tolerance: &str) -> Result<()> {
        self.write_windows(job, &[5, 10, 15], tolerance)
    }

    /// Writes the spec of a job with windows of these minutes.
    pub(crate) fn write_windows(&self, job: &Job, minutes: &[u32], tolerance: &str) -> Result<()> {
        self.write_generation(job, None, "    - {symbol: \"*\"}\n", minutes, tolerance)
    }

    /// The same with any tickers, each a line of a list in YAML, as a generation of its own; a reader sees the old file or
    /// the new one, never half of it.
    pub(crate) fn write_generation(
        &self,
        job: &Job,
        generation: Option<u64>,
        tickers: &str,
        minutes: &[u32],
        tolerance: &str,
    ) -> Result<()> {
        let Cluster { bootstrap, partitions } = &self.cluster;
        let Job { name, raw } = job;
        let (stream, table, averages, alarms) = (job.stream(), job.table(), job.averages(), job.alarms());
        let topic = |name: &str| format!("{{name: {name}, partitions: {partitions}}}");
        let generation = generation.map_or(String::new(), |number| format!(", generation: {number}"));
        let window = |minutes: &u32| format!(r#"{{duration: {minutes}m, tolerance: "{tolerance}"}}"#);
        let windows = minutes.iter().map(window).collect::<Vec<_>>().join(", ");
        let text = format!(
            r#"apiVersion: stockwatch.dev/v1alpha1
kind: StockWatch
metadata: {{name: bench, namespace: bench{generation}}}
spec:
  tickers:
{tickers}  windows: [{windows}]
  source: {{external: {{}}}}
  kafka:
    bootstrapServers: {bootstrap}
    groupId: {name}
    topics:
      rawInput: {raw}
      afterDedupStream: {stream}
      afterDedupStorageTable: {table}
      averagesOutput: {averages}
      deviationAlarm: {alarms}
      deadLetter: {dead}
"#,
            raw = topic(raw),
            stream = topic(&stream),
            table = topic(&table),
            averages = topic(&averages),
            alarms = topic(&alarms),
            dead = topic(&job.dead()),
        );
        let file = self.spec_file(job);
        let new = file.with_extension("new");
        fs::write(&new, text)?;
        Ok(fs::rename(new, file)?)
    }

    /// Writes the spec of a worker that makes up a quote a second of each of six tickers itself; gives the file.
    pub(crate) fn write_simulated(&self, name: &str) -> Result<PathBuf> {
        let text = format!(
            r#"apiVersion: stockwatch.dev/v1alpha1
kind: StockWatch
metadata: {{name: {name}, namespace: bench}}
spec:
  tickers: [{{symbol: A}}, {{symbol: B}}, {{symbol: C}}, {{symbol: D}}, {{symbol: E}}, {{symbol: F}}]
  source: {{simulated: {{interval: 1s, seed: 1}}}}
  kafka: {{bootstrapServers: "{}"}}
"#,
            self.cluster.bootstrap
        );
        let file = self.dir.join(format!("{name}.yaml"));
        fs::write(&file, text)?;
        Ok(file)
    }

    /// A worker of a job whose spec file is written; `id` is unique among the job's workers.
    pub(crate) fn start_worker(&self, job: &Job, id: &str, http: u16) -> Result<Program> {
        self.run_worker(&self.spec_file(job), &format!("{}-{id}", job.name), http)
    }

    /// A worker of any spec file.
    pub(crate) fn run_worker(&self, spec: &Path, id: &str, http: u16) -> Result<Program> {
        self.run_worker_that_trusts(None, spec, id, http)
    }

    /// The same whose sources are to have their certificates from an authority in a file; `None`: from the system's.
    pub(crate) fn run_worker_that_trusts(
        &self,
        authority: Option<&Path>,
        spec: &Path,
        id: &str,
        http: u16,
    ) -> Result<Program> {
        let mut command = Command::new(&self.worker);
        command.args(["run", "--watch-file"]).arg(spec);
        command.args(["--id", id, "--http", &format!("127.0.0.1:{http}")]);
        command.envs(authority.map(|file| ("SSL_CERT_FILE", file)));
        Program::start(&command, &self.log(id))
    }

    /// Kafka Streams with in-memory stores, exactly once, on one thread; `java` are options of the JVM.
    pub(crate) fn start_streams(&self, job: &Job, java: &[&str]) -> Result<Program> {
        let state = self.dir.join("streams");
        // In-memory stores are restored from their changelogs, and files of an earlier run would disagree with them.
        let _ = fs::remove_dir_all(&state);
        let mut command = self.java(java);
        command.args(["peer.StockAlarms", &self.cluster.bootstrap, &job.raw, &job.averages(), &job.alarms()]);
        command.args(["memory", PEER_TOLERANCE, "1"]).arg(state);
        Program::start(&command, &self.log(&job.name))
    }

    /// The group that Kafka Streams commits in.
    pub(crate) fn streams_group(job: &Job) -> String {
        format!("peer-{}", job.averages())
    }

    /// The changelogs of Kafka Streams' stores, which it creates if they are not there.
    pub(crate) fn streams_changelogs(job: &Job) -> [String; 3] {
        ["last", "prices", "averages"].map(|store| format!("{}-{store}-changelog", Self::streams_group(job)))
    }

    /// librdkafka alone.
    pub(crate) fn start_bare(&self, job: &Job, outputs: &[Output], mode: Mode) -> Result<Program> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bare", "--mode", &mode.to_string(), "--bootstrap", &self.cluster.bootstrap]);
        command.args(["--group", &job.name, "--raw", &job.raw]);
        for output in outputs {
            command.args(["--output", &output.to_string()]);
        }
        Program::start(&command, &self.log(&job.name))
    }

    fn java(&self, options: &[&str]) -> Command {
        let mut command = Command::new("java");
        command.args(options).args(["-cp", &self.classes]);
        command
    }
}

/// Builds the Kafka Streams program in `project` if its sources are newer; gives Java's class path.
pub(crate) fn build_peer(project: &Path) -> Result<String> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(std::env::home_dir()?.join(".cache"))).ok_or("no home directory")?;
    let libraries = cache.join("stockwatch/kafka-streams");
    let jar = project.join("target/kafka-streams-peer-1.jar");
    let built = fs::metadata(&jar).and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    if newest(project)? > built || !libraries.exists() {
        let status = Command::new("mvn")
            .args(["-q", "-B", "-f"])
            .arg(project.join("pom.xml"))
            .args(["package", "dependency:copy-dependencies"])
            .arg(format!("-DoutputDirectory={}", libraries.display()))
            .status()
            .map_err(|e| format!("mvn: {e}"))?;
        if !status.success() {
            return Err("the Kafka Streams program does not build".into());
        }
    }
    Ok(format!("{}:{}/*", jar.display(), libraries.display()))
}

/// When the newest source in `directory` was written, what Maven builds left aside.
fn newest(directory: &Path) -> Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name() == "target" {
            continue;
        }
        let kind = entry.file_type()?;
        newest = newest.max(if kind.is_dir() {
            self::newest(&entry.path())?
        } else {
            entry.metadata()?.modified()?
        });
    }
    Ok(newest)
}
