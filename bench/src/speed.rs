//! How fast the machine is: times say as much about it as about what was measured, so each report begins with this.

use std::fmt;
use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use crate::error::Result;

/// Steps of the fixed loop: some tenths of a second.
const STEPS: u64 = 200_000_000;
/// How long blocks are written.
const WRITING: Duration = Duration::from_secs(1);
const BLOCK: [u8; 4096] = [7; 4096];

/// Two figures of the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Speed {
    /// Millions of steps of the fixed loop a second, on one core.
    steps: f64,
    /// Synchronous writes of 4 KiB a second, to where the broker's data is.
    writes: f64,
}

impl Speed {
    /// Takes about two seconds, in which nothing else should run.
    pub(crate) fn measure() -> Result<Self> {
        let begun = Instant::now();
        let mut state = black_box(1_u64);
        for _ in 0..STEPS {
            // Marsaglia's xorshift64: no step can be computed without the one before.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
        }
        black_box(state);
        let steps = STEPS as f64 / 1e6 / begun.elapsed().as_secs_f64();
        let mut file = tempfile::tempfile()?;
        let (begun, mut writes) = (Instant::now(), 0_u32);
        while begun.elapsed() < WRITING {
            file.write_all(&BLOCK)?;
            file.sync_data()?;
            writes += 1;
        }
        Ok(Self { steps, writes: f64::from(writes) / begun.elapsed().as_secs_f64() })
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { steps, writes } = self;
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        write!(
            f,
            "machine of {cores} cores: {steps:.0} million steps/s of a fixed loop on one, {writes:.0} synchronous \
             writes of 4 KiB/s"
        )
    }
}
