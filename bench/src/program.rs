//! A program under measurement: started, asked the kernel for its figures, killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::Result;

/// `USER_HZ`: the unit of times in `/proc/PID/stat`, fixed in Linux's interface to user space.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running program; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    log: PathBuf,
    started: Instant,
}

impl Program {
    /// Starts `command` with its output in `log`. The kernel kills it when this process dies in whatever way.
    pub(crate) fn start(command: &Command, log: &Path) -> Result<Self> {
        let output = File::create(log)?;
        let mut wrapped = Command::new("setpriv");
        wrapped.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        wrapped.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let started = Instant::now();
        let child = wrapped.spawn().map_err(|e| format!("{command:?} does not start: {e}"))?;
        Ok(Self { child, log: log.to_owned(), started })
    }

    /// When it was started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Fails with the end of its log if it has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(15)..].join("\n");
        Err(format!("the program ended with {status}:\n{tail}").into())
    }

    /// Waits until it ends by itself and gives what it printed.
    pub(crate) fn output(mut self, limit: Duration) -> Result<String> {
        while self.child.try_wait()?.is_none() {
            if self.started.elapsed() > limit {
                return Err(format!("a program took more than {limit:?}, see {}", self.log.display()).into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(fs::read_to_string(&self.log)?)
    }

    /// User and system time since its start, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The second field, the name in parentheses, may hold spaces; utime and stime are the 14th and 15th.
        let (_, after_name) = stat.rsplit_once(") ").ok_or("an unreadable /proc/PID/stat")?;
        let ticks: f64 = after_name.split(' ').skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum();
        Ok(ticks / TICKS_PER_SECOND)
    }

    /// The most memory that it ever had resident, in megabytes.
    pub(crate) fn peak_memory(&self) -> Result<f64> {
        self.memory("VmHWM:")
    }

    /// The memory that it has resident, in megabytes.
    pub(crate) fn resident_memory(&self) -> Result<f64> {
        self.memory("VmRSS:")
    }

    fn memory(&self, field: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line =
            status.lines().find_map(|l| l.strip_prefix(field)).ok_or("no memory in /proc/PID/status")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0 / 1e6)
    }

    /// SIGKILL, and gone when this returns; gives the moment of the signal.
    pub(crate) fn kill(mut self) -> Result<Instant> {
        let at = Instant::now();
        self.child.kill()?;
        self.child.wait()?;
        Ok(at)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
