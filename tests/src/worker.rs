//! The real program as a child process.

use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use tempfile::TempDir;

use crate::endpoint::Endpoint;
use crate::wait::{soon, wait_for};

/// How a worker is started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Another release's program; `None`: the one that is built beside the tests.
    pub program: Option<PathBuf>,
    /// Its StockWatch file.
    pub file: PathBuf,
    /// `--id`.
    pub id: String,
    /// `--credentials`: a directory with the files `<secret name>/<key>`.
    pub credentials: Option<PathBuf>,
    /// `--source-secrets`: a directory with the files `<secret name>/<key>`.
    pub source_secrets: Option<PathBuf>,
    /// The file with the authorities that it trusts; `None`: the system's.
    pub authority: Option<PathBuf>,
}

impl Launch {
    /// Starts the worker and waits for nothing.
    pub fn start(&self) -> Worker {
        let logs = tempfile::Builder::new().prefix("stockwatch-worker-").tempdir().unwrap();
        let log = File::create(logs.path().join("log")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(self.program.clone().unwrap_or_else(program));
        command.args(["run", "--watch-file"]).arg(&self.file);
        command.args(["--http", &format!("127.0.0.1:{port}"), "--id", &self.id]);
        if let Some(credentials) = &self.credentials {
            command.arg("--credentials").arg(credentials);
        }
        if let Some(secrets) = &self.source_secrets {
            command.arg("--source-secrets").arg(secrets);
        }
        if let Some(authority) = &self.authority {
            command.env("SSL_CERT_FILE", authority);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command.env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "info".into()));
        let child = command.spawn().unwrap();
        let http = Endpoint::new(format!("127.0.0.1:{port}"));
        Worker { child, logs, http, id: self.id.clone() }
    }
}

/// The program, built beside the tests.
pub fn program() -> PathBuf {
    built("stockwatch-worker")
}

/// A program of the workspace, built beside the tests.
pub fn built(program: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.ancestors().nth(2).unwrap().join(program);
    assert!(built.exists(), "{}: build it first: cargo build --release -p {program}", built.display());
    built
}

/// A running worker; killed when dropped, its log shown if the test fails.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    logs: TempDir,
    http: Endpoint,
    id: String,
}

impl Worker {
    /// What a path of its HTTP server answers; `Err` says why there is no answer.
    pub fn get(&self, path: &str) -> Result<(u16, String), String> {
        self.http.get(path)
    }

    /// Waits until it is ready.
    pub fn await_ready(&mut self) {
        self.await_readyz("ready", |status, _| status == 200);
    }

    /// Waits until it is not ready with a reason that has all of `words` in it.
    pub fn await_not_ready(&mut self, words: &[&str]) {
        let has = |text: &str| words.iter().all(|word| text.to_lowercase().contains(&word.to_lowercase()));
        self.await_readyz(&format!("not ready because of {words:?}"), |status, text| {
            status != 200 && has(text)
        });
    }

    /// Waits until it is not ready with a reason that has all of `words` in it, or has exited with 1 and said so.
    pub fn await_not_ready_or_exit(&mut self, words: &[&str]) {
        wait_for(60, &format!("worker {} refuses because of {words:?}", self.id), || {
            let (refuses, text) = match self.child.try_wait().unwrap() {
                Some(status) => (status.code() == Some(1), self.log()),
                None => self.get("/readyz").map(|(status, text)| (status != 200, text))?,
            };
            soon(refuses && words.iter().all(|word| text.contains(word)), text)
        });
    }

    fn await_readyz(&mut self, what: &str, mut is: impl FnMut(u16, &str) -> bool) {
        let what = format!("worker {} {what}", self.id);
        wait_for(60, &what, || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("worker {} ended instead of being {what}: {status}\n{}", self.id, self.log());
            }
            let (status, text) = self.get("/readyz")?;
            soon(is(status, &text), (status, text))
        });
    }

    /// A metric without labels, or the sum over its labels; 0 where it is not there.
    pub fn metric(&self, name: &str) -> f64 {
        self.metric_where(name, "")
    }

    /// The sum of a metric's samples whose labels have `label` in them, as `outcome="ok"`.
    pub fn metric_where(&self, name: &str, label: &str) -> f64 {
        self.http.metric(name, label)
    }

    /// Waits until a metric is at least `least`.
    pub fn await_metric(&self, name: &str, label: &str, least: f64) {
        wait_for(60, &format!("worker {}: {name}{{{label}}} >= {least}", self.id), || {
            let seen = self.metric_where(name, label);
            soon(seen >= least, seen)
        });
    }

    /// Waits until it computes with a generation.
    pub fn await_applied(&self, generation: u64) {
        let least = f64::from(u32::try_from(generation).unwrap());
        wait_for(60, &format!("worker {} applies generation {generation}", self.id), || {
            let seen = self.metric("applied_generation");
            soon(seen >= least, seen)
        });
    }

    /// What `/config` says.
    pub fn config(&self) -> serde_json::Value {
        self.http.config()
    }

    /// Kills it at once (SIGKILL).
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Freezes it (SIGSTOP).
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends it in order (SIGTERM): it must exit with 0 within 5 s; gives its log.
    pub fn terminate(self) -> String {
        let id = self.id.clone();
        let (status, log) = self.end();
        assert!(status.success(), "worker {id}: {status} after SIGTERM\n{log}");
        log
    }

    /// Sends SIGTERM: it must exit within 5 s, with whatever status; gives that and its log.
    pub fn end(mut self) -> (ExitStatus, String) {
        self.signal(Signal::TERM);
        let status = self.exits_within(5);
        (status, self.log())
    }

    /// Waits until it exits by itself.
    pub fn await_exit(&mut self) -> ExitStatus {
        self.exits_within(60)
    }

    fn exits_within(&mut self, seconds: u64) -> ExitStatus {
        wait_for(seconds, &format!("worker {} exits", self.id), || {
            self.child.try_wait().unwrap().ok_or_else(|| "still running".to_owned())
        })
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.logs.path().join("log")).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(80)..];
            eprintln!("--- the log of worker {}, last {} lines:\n{}", self.id, tail.len(), tail.join("\n"));
        }
    }
}

/// Runs the program to its end with other arguments: exit status, output and errors.
pub fn run(arguments: &[&str], file: &Path) -> (ExitStatus, String) {
    let output = Command::new(program()).args(arguments).arg(file).stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status, String::from_utf8_lossy(&text).into_owned())
}
