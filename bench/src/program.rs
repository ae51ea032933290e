//! A program under measurement: started, looked at, killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::error::Result;
use crate::process::Process;

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

    /// Where it logs to.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// What the kernel's books say of it.
    pub(crate) fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// Sends SIGKILL and waits until the process is gone; returns the moment of the signal.
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
