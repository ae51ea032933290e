//! A memory limit as a pod has it: a control group of its own.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::process::Process;

/// Where groups are made, and which of their files has the limit: in version 2 and in version 1.
const HIERARCHIES: [(&str, &str); 2] =
    [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")];

/// A group with a limit; drop it after its processes have ended.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    group: PathBuf,
}

impl MemoryLimit {
    /// A group that may have so many bytes; `None` where no group can be made, as without root.
    pub(crate) fn of(bytes: u64) -> Option<Self> {
        HIERARCHIES.iter().find_map(|(root, file)| Self::create(Path::new(root), file, bytes).ok())
    }

    fn create(root: &Path, file: &str, bytes: u64) -> Result<Self> {
        let group = root.join(format!("stockwatch-bench-{}", std::process::id()));
        fs::create_dir(&group)?;
        let limit = Self { group };
        limit.write(file, bytes)?;
        Ok(limit)
    }

    /// Has a process that has just been started live in the group.
    pub(crate) fn hold(&self, process: Process) -> Result<()> {
        self.write("cgroup.procs", process.0.into())
    }

    /// The kernel makes the files: one that is missing is an error.
    fn write(&self, file: &str, number: u64) -> Result<()> {
        let mut file = OpenOptions::new().write(true).open(self.group.join(file))?;
        Ok(file.write_all(number.to_string().as_bytes())?)
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.group);
    }
}
