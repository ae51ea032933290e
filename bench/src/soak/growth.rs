//! Whether programs grow: their memory and open files, looked at again and again.

use std::collections::HashMap;

use crate::error::Result;
use crate::process::Process;

/// The processes that were there, with what each look showed.
#[derive(Debug, Default)]
pub(super) struct Growth {
    looks: usize,
    lives: HashMap<Process, Life>,
}

#[derive(Debug, Default)]
struct Life {
    program: &'static str,
    megabytes: Vec<f64>,
    files: Vec<f64>,
}

/// One process, by the first and the last quarter of all looks: its mean memory, and the files that are open when those
/// that come and go are not, as clients are made and closed around every silence of a broker.
#[derive(Debug)]
pub(super) struct Grown {
    /// Its memory in the end, in megabytes.
    pub(super) megabytes: f64,
    megabytes_before: f64,
    files: f64,
    files_before: f64,
}

impl Growth {
    /// Looks at all processes of the programs.
    pub(super) fn look(&mut self) -> Result<()> {
        self.looks += 1;
        for program in ["stockwatch-operator", "stockwatch-worker"] {
            for process in Process::all(program)? {
                // One that has just ended is not among those that live on.
                let (Ok(megabytes), Ok(files)) = (process.own_memory(), process.open_files()) else {
                    continue;
                };
                let life = self.lives.entry(process).or_default();
                life.program = program;
                life.megabytes.push(megabytes);
                life.files.push(files);
            }
        }
        Ok(())
    }

    /// The processes of a program that every look has shown.
    pub(super) fn of(&self, program: &str) -> Vec<Grown> {
        let always = |life: &&Life| life.program == program && life.megabytes.len() == self.looks;
        let grown = |life: &Life| Grown {
            megabytes: mean(last(&life.megabytes)),
            megabytes_before: mean(first(&life.megabytes)),
            files: least(last(&life.files)),
            files_before: least(first(&life.files)),
        };
        self.lives.values().filter(always).map(grown).collect()
    }
}

impl Grown {
    /// Memory in the end against the beginning.
    pub(super) fn memory(&self) -> f64 {
        self.megabytes / self.megabytes_before
    }

    /// Open files in the end, less those of the beginning.
    pub(super) fn files(&self) -> f64 {
        self.files - self.files_before
    }
}

fn first(looks: &[f64]) -> &[f64] {
    &looks[..quarter(looks)]
}

fn last(looks: &[f64]) -> &[f64] {
    &looks[looks.len() - quarter(looks)..]
}

fn quarter(looks: &[f64]) -> usize {
    looks.len().div_ceil(4)
}

/// Infinity of none.
fn least(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(f64::INFINITY, f64::min)
}

/// NaN of none.
fn mean(figures: &[f64]) -> f64 {
    figures.iter().sum::<f64>() / figures.len() as f64
}
