//! Kafka brokers of `tests/kafka/kafka.sh`, ended with the value that stands for them.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use rdkafka::ClientConfig;
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::tokens::TokenKey;

/// How a client logs in at the TLS listener; the files are PEM.
#[derive(Debug, Clone)]
pub struct Login {
    /// `host:port` of the TLS listener.
    pub bootstrap: String,
    /// The SCRAM-SHA-512 user.
    pub user: String,
    /// The user's password.
    pub password: String,
    /// The CA's certificate.
    pub ca: PathBuf,
    /// A client's certificate, issued by the same CA.
    pub client_certificate: PathBuf,
    /// The key of the client's certificate.
    pub client_key: PathBuf,
    /// What signs tokens that the listener takes.
    pub token_key: TokenKey,
}

/// Room for the replicas of ten thousand partitions.
const WIDE_JVM: &str = "-Xms2g -Xmx2g";

/// How brokers are started.
#[derive(Debug, Clone)]
struct Set {
    host: &'static str,
    tls: bool,
    brokers: u16,
    jvm: Option<&'static str>,
    disk: Option<&'static str>,
}

impl Set {
    const ONE: Self = Self { host: "127.0.0.1", tls: false, brokers: 1, jvm: None, disk: None };
}

/// A set of running brokers; dropped (or the test process ended), they and their files are gone.
#[derive(Debug)]
pub struct Broker {
    dir: TempDir,
    set: Set,
    port: u16,
    bootstrap: String,
    token_key: TokenKey,
    holder: Child,
}

impl Broker {
    /// The broker of all tests in this process that leave it alone; it listens with SASL_SSL as well.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Broker> = LazyLock::new(|| Broker::launch(Set { tls: true, ..Set::ONE }));
        &SHARED
    }

    /// The same where pods reach it.
    pub fn shared_for_pods() -> &'static Self {
        static SHARED: LazyLock<Broker> = LazyLock::new(|| Broker::start_for_pods(Cluster::shared()));
        &SHARED
    }

    /// One broker without security.
    pub fn start() -> Self {
        Self::launch(Set::ONE)
    }

    /// Three brokers without security, each with a disk of `size` (as `mount -t tmpfs` takes it) that [`Self::fill`]
    /// fills; topics are on all of them unless they say otherwise.
    pub fn start_three_with_disks(size: &'static str) -> Self {
        Self::launch(Set { brokers: 3, disk: Some(size), ..Set::ONE })
    }

    /// One broker that listens where pods reach it, without security and with SASL_SSL.
    pub fn start_for_pods(_: &Cluster) -> Self {
        Self::launch(Set { host: Cluster::HOST, tls: true, ..Set::ONE })
    }

    /// One broker without security that pods reach, for thousands of topics.
    pub fn start_wide(_: &Cluster) -> Self {
        Self::launch(Set { host: Cluster::HOST, jvm: Some(WIDE_JVM), ..Set::ONE })
    }

    fn launch(set: Set) -> Self {
        let dir = tempfile::Builder::new().prefix("stockwatch-kafka-").tempdir().unwrap();
        let token_key = TokenKey::generate();
        if set.tls {
            std::fs::write(dir.path().join("jwks.json"), token_key.public()).unwrap();
        }
        // Another set may take the ports between the look and the start: then the next ports are tried.
        for _ in 0..5 {
            let port = free_ports(set.host, 3 * set.brokers);
            let mut holder = script(dir.path(), &set, port)
                .args(["hold", &set.brokers.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .process_group(0) // Ctrl-C ends the tests; the script ends by the end of its input
                .spawn()
                .expect("tests/kafka/kafka.sh needs bash");
            let mut bootstrap = String::new();
            BufReader::new(holder.stdout.take().unwrap()).read_line(&mut bootstrap).unwrap();
            if !bootstrap.trim().is_empty() {
                return Self { dir, set, port, bootstrap: bootstrap.trim().into(), token_key, holder };
            }
            holder.wait().unwrap();
        }
        panic!("kafka.sh started no broker: see its messages above");
    }

    /// `host:port` of the listener without security, of each broker.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Login data for the TLS listener.
    pub fn login(&self) -> Login {
        assert!(self.set.tls, "the broker was started without TLS");
        let tls = self.dir.path().join("tls");
        Login {
            bootstrap: format!("{}:{}", self.set.host, self.port + 2),
            user: "stockwatch".into(),
            password: "secret".into(),
            ca: tls.join("ca.crt"),
            client_certificate: tls.join("client.crt"),
            client_key: tls.join("client.key"),
            token_key: self.token_key.clone(),
        }
    }

    /// Settings of a test's own client.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("log_level", "2");
        config
    }

    /// Ends the broker at once (SIGKILL).
    pub fn kill(&self) {
        self.tell("kill");
    }

    /// Ends the broker in order (SIGTERM).
    pub fn stop(&self) {
        self.tell("stop");
    }

    /// Ends one of several brokers and starts it again: in order, or at once.
    pub fn bounce(&self, id: u16, at_once: bool) {
        self.tell_one(if at_once { "kill" } else { "stop" }, id);
        self.tell_one("start", id);
    }

    /// Ends one of several brokers for good.
    pub fn kill_one(&self, id: u16) {
        self.tell_one("kill", id);
    }

    /// Starts one of several brokers that was killed.
    pub fn start_one(&self, id: u16) {
        self.tell_one("start", id);
    }

    /// Freezes one of several brokers.
    pub fn pause_one(&self, id: u16) {
        self.tell_one("pause", id);
    }

    /// Lets it go on.
    pub fn resume_one(&self, id: u16) {
        self.tell_one("resume", id);
    }

    /// Fills one broker's disk.
    pub fn fill(&self, id: u16) {
        self.tell_one("fill", id);
    }

    /// Waits until the broker with a full disk has ended, makes room and starts it again.
    pub fn recover_from_full_disk(&self, id: u16) {
        for what in ["await-end", "clear", "start"] {
            self.tell_one(what, id);
        }
    }

    /// Starts the broker that was killed or stopped.
    pub fn restart(&self) {
        self.tell("start");
    }

    /// Takes all that the broker holds, which was killed or stopped; its cluster's id stays.
    pub fn empty(&self) {
        self.tell("empty");
    }

    /// Freezes the broker (SIGSTOP).
    pub fn pause(&self) {
        self.tell("pause");
    }

    /// Lets the frozen broker go on (SIGCONT).
    pub fn resume(&self) {
        self.tell("resume");
    }

    /// Gives the user of the TLS listener another password: the old one opens no new connection.
    pub fn set_password(&self, password: &str) {
        let change = format!("SCRAM-SHA-512=[password={password}]");
        let user = self.login().user;
        self.tool(
            "kafka.admin.ConfigCommand",
            &["--alter", "--entity-type", "users", "--entity-name", &user, "--add-config", &change],
        );
    }

    /// Denies the user of the TLS listener to read a topic.
    pub fn deny_reading(&self, topic: &str) {
        self.alter_acl("--add", ["--deny-principal", &self.user(), "--operation", "Read"], topic);
    }

    /// Takes that back.
    pub fn allow_reading(&self, topic: &str) {
        self.alter_acl("--remove", ["--deny-principal", &self.user(), "--operation", "Read"], topic);
    }

    /// Denies the user of the TLS listener to see a topic's settings, and nothing else.
    pub fn hide_settings(&self, topic: &str) {
        // Without it the other rule would deny all the rest as well.
        self.alter_acl("--add", ["--allow-principal", "User:*", "--operation", "All"], topic);
        self.alter_acl("--add", ["--deny-principal", &self.user(), "--operation", "DescribeConfigs"], topic);
    }

    fn user(&self) -> String {
        format!("User:{}", self.login().user)
    }

    fn alter_acl(&self, change: &str, acl: [&str; 4], topic: &str) {
        let arguments = [&[change, "--force"], &acl[..], &["--topic", topic]].concat();
        self.tool("org.apache.kafka.tools.AclCommand", &arguments);
    }

    /// Brokers take so many bytes a second from workers, each; `None`: as many as they can.
    pub fn set_quota(&self, bytes_a_second: Option<u32>) {
        let change = match bytes_a_second {
            Some(rate) => ["--add-config".into(), format!("producer_byte_rate={rate}")],
            None => ["--delete-config".into(), "producer_byte_rate".into()],
        };
        let of = ["--alter", "--entity-type", "clients", "--entity-name", "stockwatch-worker"];
        self.tool("kafka.admin.ConfigCommand", &[&of[..], &[&change[0], &change[1]]].concat());
    }

    fn tool(&self, class: &str, arguments: &[&str]) {
        let status = script(self.dir.path(), &self.set, self.port)
            .args(["tool", class, "--bootstrap-server", &self.bootstrap])
            .args(arguments)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "kafka.sh tool {class}: {status}");
    }

    fn tell(&self, what: &str) {
        self.tell_one(what, 1);
    }

    fn tell_one(&self, what: &str, id: u16) {
        let mut script = script(self.dir.path(), &self.set, self.port);
        let status = script.args([what, &id.to_string()]).status().unwrap();
        assert!(status.success(), "kafka.sh {what} {id}: {status}");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

fn script(dir: &Path, set: &Set, port: u16) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/kafka/kafka.sh"));
    command.env("KAFKA_DIR", dir).env("KAFKA_HOST", set.host).env("KAFKA_PORT", port.to_string());
    command.env("KAFKA_TLS", if set.tls { "1" } else { "" }).stdin(Stdio::null());
    command.envs(set.jvm.map(|options| ("KAFKA_JVM", options)));
    command.env("KAFKA_DISK", set.disk.unwrap_or_default());
    command
}

/// So many free ports in a row, below those that the system gives to outgoing connections.
fn free_ports(host: &str, count: u16) -> u16 {
    // The controllers are on loopback, whatever the brokers listen on.
    let free = |port| ["127.0.0.1", host].iter().all(|host| TcpListener::bind((*host, port)).is_ok());
    std::iter::repeat_with(|| fastrand::u16(20_000..32_000))
        .find(|first| (*first..first + count).all(free))
        .unwrap()
}
