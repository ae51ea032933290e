//! The program in a pod as a process of this machine: found and hit without the API server's help.

use rustix::process::{Pid, Signal, kill_process};

use crate::endpoint::Endpoint;
use crate::wait::{soon, wait_for};

/// The one container of ours in a pod, whichever process it is at a time.
#[derive(Debug, Clone)]
pub struct Container {
    /// The pod's name.
    pub pod: String,
    uid: String,
    pub(crate) address: String,
}

impl Container {
    /// That of a pod as the API server shows it, once it has an address and is not to go.
    pub(crate) fn of(pod: &serde_json::Value) -> Option<Self> {
        let metadata = &pod["metadata"];
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let stays = metadata["deletionTimestamp"].is_null();
        let address = text(&pod["status"]["podIP"]).filter(|_| stays)?;
        Some(Self { pod: text(&metadata["name"])?, uid: text(&metadata["uid"])?, address })
    }

    /// Its HTTP server.
    pub fn http(&self) -> Endpoint {
        Endpoint::new(format!("{}:8080", self.address))
    }

    /// Ends its process at once (SIGKILL), as the kernel would that is out of memory.
    pub fn kill(&self) {
        self.await_process();
        self.end();
    }

    /// Ends its process at once, if it has not ended by itself.
    pub fn end(&self) {
        let Some(pid) = self.process() else { return };
        let _ = kill_process(pid, Signal::KILL);
        wait_for(10, &format!("the end of the process in {}", self.pod), || {
            let now = self.process();
            soon(now != Some(pid), now)
        });
    }

    /// Freezes its process (SIGSTOP).
    pub fn pause(&self) {
        kill_process(self.await_process(), Signal::STOP).unwrap();
    }

    /// Lets its process go on (SIGCONT).
    pub fn resume(&self) {
        kill_process(self.await_process(), Signal::CONT).unwrap();
    }

    /// Waits until it has a process, which says that it is ready.
    pub fn await_ready(&self) {
        let http = self.http();
        wait_for(90, &format!("{} ready", self.pod), || {
            let (status, text) = http.get("/readyz")?;
            soon(status == 200 && self.process().is_some(), text)
        });
    }

    fn await_process(&self) -> Pid {
        wait_for(60, &format!("a process in {}", self.pod), || {
            self.process().ok_or_else(|| "none".to_owned())
        })
    }

    fn process(&self) -> Option<Pid> {
        let group = format!("/pod{}/", self.uid);
        let read = |pid: i32, file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let is_it = |pid: &i32| {
            let program = read(*pid, "cmdline");
            // Not the sandbox's, and not one that is being started or has ended.
            let program = program.split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(program).contains("stockwatch-")
                && String::from_utf8_lossy(&read(*pid, "cgroup")).contains(&group)
        };
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.find(is_it).and_then(Pid::from_raw)
    }
}
