//! One real broker for the whole run.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::error::Result;

/// The JVM options that Kafka's documentation recommends (Operations, Java version). In a heap of half a gigabyte its
/// garbage collector pauses it for more than 1 % of the time, which would be every program's p99.
const JVM: &str = "-Xms6g -Xmx6g -XX:MetaspaceSize=96m -XX:+UseG1GC -XX:MaxGCPauseMillis=20 \
    -XX:InitiatingHeapOccupancyPercent=35 -XX:G1HeapRegionSize=16M -XX:MinMetaspaceFreeRatio=50 \
    -XX:MaxMetaspaceFreeRatio=80 -XX:+ExplicitGCInvokesConcurrent";

/// A Kafka broker of this process: the script stops it when its own standard input closes, however this process ends.
#[derive(Debug)]
pub(crate) struct Broker {
    script: Child,
    /// Its address for clients.
    pub(crate) bootstrap: String,
}

impl Broker {
    /// Starts a broker by `script`, with its data in `dir`, on `port` and the two after it.
    pub(crate) fn start(script: &Path, dir: &Path, port: u16) -> Result<Self> {
        let mut child = Command::new(script)
            .args(["hold", "1"])
            .env("KAFKA_DIR", dir)
            .env("KAFKA_PORT", port.to_string())
            .env("KAFKA_JVM", JVM)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{}: {e}", script.display()))?;
        let mut bootstrap = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut bootstrap)?;
        }
        let bootstrap = bootstrap.trim().to_owned();
        let broker = Self { script: child, bootstrap };
        if broker.bootstrap.is_empty() { Err("the broker did not start".into()) } else { Ok(broker) }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}
