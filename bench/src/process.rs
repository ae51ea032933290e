//! A process as `/proc` shows it.

use std::collections::BTreeMap;
use std::fs;

use crate::error::Result;

/// `USER_HZ`: the unit of times in `/proc/PID/stat`, fixed in Linux's interface to user space.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process, by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// The process of this program that has this in its environment, whichever namespaces it is in.
    pub(crate) fn find(program: &str, variable: &str) -> Result<Self> {
        let has = |process: &Self| {
            process.read("environ").split(|byte| *byte == 0).any(|one| one == variable.as_bytes())
        };
        let found = Self::all(program)?.into_iter().find(has);
        found.ok_or_else(|| format!("no process {program} with {variable}").into())
    }

    /// All processes of this program, whichever namespaces they are in.
    pub(crate) fn all(program: &str) -> Result<Vec<Self>> {
        let is = |process: &Self| {
            let command = process.read("cmdline");
            command.split(|byte| *byte == 0).next().unwrap_or_default().ends_with(program.as_bytes())
        };
        let mut all = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Ok(pid) = entry?.file_name().to_string_lossy().parse() else { continue };
            all.extend(Some(Self(pid)).filter(is));
        }
        Ok(all)
    }

    /// A file of `/proc/PID`; empty if the process has ended.
    fn read(self, file: &str) -> Vec<u8> {
        fs::read(format!("/proc/{}/{file}", self.0)).unwrap_or_default()
    }

    /// User and system time since its start, in seconds.
    pub(crate) fn cpu_seconds(self) -> Result<f64> {
        Ok(spent(&format!("/proc/{}/stat", self.0))?.1)
    }

    /// The same of the threads that it has now, by their names.
    pub(crate) fn cpu_seconds_by_thread(self) -> Result<BTreeMap<String, f64>> {
        let mut all: BTreeMap<String, f64> = BTreeMap::new();
        for thread in fs::read_dir(format!("/proc/{}/task", self.0))? {
            let (name, seconds) = spent(&format!("{}/stat", thread?.path().display()))?;
            *all.entry(name).or_default() += seconds;
        }
        Ok(all)
    }

    /// The most memory that it ever had resident, in megabytes.
    pub(crate) fn peak_memory(self) -> Result<f64> {
        self.memory("VmHWM:")
    }

    /// The memory that it has resident, in megabytes.
    pub(crate) fn resident_memory(self) -> Result<f64> {
        self.memory("VmRSS:")
    }

    /// The memory that it has resident and that no file backs, in megabytes.
    pub(crate) fn own_memory(self) -> Result<f64> {
        self.memory("RssAnon:")
    }

    /// How many files it has open, sockets included.
    pub(crate) fn open_files(self) -> Result<f64> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.0))?.count() as f64)
    }

    fn memory(self, field: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let line =
            status.lines().find_map(|l| l.strip_prefix(field)).ok_or("no memory in /proc/PID/status")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0 / 1e6)
    }
}

/// The name in a file such as `/proc/PID/stat`, and user and system time in seconds.
fn spent(file: &str) -> Result<(String, f64)> {
    let stat = fs::read_to_string(file)?;
    // The second field, the name in parentheses, may hold spaces; utime and stime are the 14th and 15th.
    let (before, after_name) = stat.rsplit_once(") ").ok_or_else(|| format!("{file} is unreadable"))?;
    let name = before.split_once('(').map_or(before, |(_, name)| name);
    let ticks: f64 = after_name.split(' ').skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum();
    Ok((name.to_owned(), ticks / TICKS_PER_SECOND))
}
