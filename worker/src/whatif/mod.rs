//! `stockwatch-worker whatif`: the alarms that rules would have given for the quotes of the raw topic, and what paper
//! accounts would have come to.
//!
//! Averages follow from windows and tickers alone, so one pass computes them once and judges each by all candidates.
//! [`Study`] is the pure part, over any [`RawLog`]; `kafka` reads, [`table`] and [`Answer`] are what is printed.

pub(crate) mod after_edit;
mod answer;
mod budget;
pub(crate) mod candidate;
mod kafka;
mod paper;
mod pass;
mod plan;
mod spec;
mod study;
mod table;
mod tally;
mod warm_up;
mod written;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::error::KafkaError;
use stockwatch_core::Shape;

pub use answer::{Answer, Judged, Part, Span};
pub use candidate::{Candidate, CandidateError, Setting, Sweep, candidates};
pub use paper::{Amount, Money, Paper};
pub use pass::{Extent, Seen};
pub use study::{RawLog, Study};
pub use table::table;
pub use tally::{Figures, Skipped};
pub use written::{Fidelity, Written};

use self::budget::Budget;
use self::kafka::Topics;
use self::spec::SpecError;
use crate::args::{By, Output, WhatIf};
use crate::config::{LiveSpec, Refusal};
use crate::kafka::log_reader::ReadError;
use crate::kafka::{Connection, ConnectionError};
use crate::process::{BAD_INPUT, complain, log_to_stderr};

/// The exit code for more alarms than `--most-alarms`.
const TOO_MANY: u8 = 3;

/// Why there is no answer; the message says what to do.
#[derive(Debug, thiserror::Error)]
enum WhatIfError {
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error("--candidate {0}")]
    File(#[from] Refusal),
    #[error(transparent)]
    Candidate(#[from] CandidateError),
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("Kafka's client cannot start: {0}")]
    Client(#[from] KafkaError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the answer cannot be written: {0}")]
    Write(#[from] io::Error),
    #[error("the answer cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

/// Prints the answer. 0: done, 1: it cannot be given, or not in full where it is a gate; 2: an argument or a file is bad;
/// 3: more alarms than allowed.
pub fn run(arguments: &WhatIf) -> ExitCode {
    log_to_stderr(arguments.log_format, "warn");
    match print(arguments) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            match error {
                WhatIfError::Spec(SpecError::Find(_))
                | WhatIfError::File(_)
                | WhatIfError::Candidate(_)
                | WhatIfError::Connection(_) => ExitCode::from(BAD_INPUT),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn print(arguments: &WhatIf) -> Result<ExitCode, WhatIfError> {
    let live = spec::find(arguments)?;
    let in_force = Arc::new(Shape::of(&live.uid, live.generation.unwrap_or(0), &live.spec));
    let files = spec::files(arguments)?;
    let candidates = candidates(in_force, &arguments.set, files, &arguments.sweep)?;
    let (answer, is_whole) = answer(arguments, &live, &candidates)?;
    let mut out = io::stdout().lock();
    match arguments.output {
        Output::Table => out.write_all(table(&answer).as_bytes())?,
        Output::Json => {
            serde_json::to_writer_pretty(&mut out, &answer)?;
            writeln!(out)?;
        }
    }
    let Some(most) = arguments.most_alarms else { return Ok(ExitCode::SUCCESS) };
    let alarms = answer.most_alarms();
    if alarms > most {
        complain(&format!("{alarms} alarms are more than --most-alarms {most}"));
        return Ok(ExitCode::from(TOO_MANY));
    }
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The time so long ago, in milliseconds since 1970.
fn ago(length: Duration) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.saturating_sub(length).as_millis()).unwrap_or(i64::MAX)
}

/// The answer, and whether every partition is in it.
fn answer(
    arguments: &WhatIf,
    live: &LiveSpec,
    candidates: &[Candidate],
) -> Result<(Answer, bool), WhatIfError> {
    let kafka = &live.spec.kafka;
    let connection = Connection::new(kafka, &arguments.pod.credentials)?;
    let names = (kafka.topics.raw_input.name.as_str(), kafka.topics.deviation_alarm.name.as_str());
    let mut topics = Topics::open(&connection, &kafka.group_id, names, Budget::begin())?;
    let since = ago(arguments.since);
    let by_ticker = arguments.by == Some(By::Ticker);
    let mut study = Study::new(candidates, since, by_ticker);
    let (mut fidelity, mut incomplete) = (Some(Fidelity::default()), Vec::new());
    let is_whole = judge(&mut topics, live, candidates, since, &mut study, &mut fidelity, &mut incomplete)?;
    for partition in &study.cut {
        incomplete.push(format!(
            "partition {partition}: its log begins too late to fill the windows as of {} ago: the range begins later",
            crate::args::written_since(arguments.since)
        ));
    }
    if let Some(fidelity) = &mut fidelity {
        fidelity.added = study.seen.added;
    }
    let stockwatch = format!("{}/{}", live.spec.namespace, live.spec.name);
    let answer = Answer {
        generation: live.generation,
        incomplete,
        fidelity,
        ..Answer::new(&study, candidates, stockwatch)
    };
    Ok((answer, is_whole))
}

/// Judges all raw partitions, grouped by the output partition that their alarms are in; returns whether memory was enough.
fn judge(
    topics: &mut Topics<'_>,
    live: &LiveSpec,
    candidates: &[Candidate],
    since: i64,
    study: &mut Study<'_>,
    fidelity: &mut Option<Fidelity>,
    incomplete: &mut Vec<String>,
) -> Result<bool, WhatIfError> {
    let (raw_count, alarm_count) = topics.partitions()?;
    // Before the alarms: those of what was committed by then can be read. All or none: a sum over some of the partitions
    // would look like that over all.
    let judged_to: Option<BTreeMap<i32, i64>> =
        (0..raw_count).map(|p| topics.judged_to(p).map(|offset| (p, offset))).collect();
    for group in 0..raw_count.min(alarm_count) {
        let partitions = || (group..raw_count).step_by(usize::try_from(alarm_count).unwrap_or(1));
        let written = match topics.written(group, since) {
            Ok(written) => written,
            Err(error) => {
                incomplete.push(format!("what was written is not compared: {error}"));
                *fidelity = None;
                Some(Written::new(""))
            }
        };
        let Some(mut written) = written else {
            incomplete.push(used_up(topics, group));
            return Ok(false);
        };
        let rules = rules_in_force(live, candidates, &written);
        let before = study.left_out.clone();
        for partition in partitions() {
            let judged_to = judged_to.as_ref().and_then(|all| all.get(&partition).copied());
            if !study.judge(topics, partition, &rules, judged_to, &mut written)? {
                incomplete.push(used_up(topics, partition));
                return Ok(false);
            }
        }
        let is_counted = |ticker: &str, minutes: u32| {
            let is_left_out = study.left_out.contains(ticker) && !before.contains(ticker);
            rules.computes(ticker) && !is_left_out && rules.minutes().any(|m| m == minutes)
        };
        if let Some(fidelity) = fidelity {
            *fidelity += written.finish(is_counted);
        }
    }
    Ok(true)
}

fn used_up(topics: &Topics<'_>, partition: i32) -> String {
    format!(
        "partition {partition} and those after it are not counted: {} MiB of memory, half of what was left, are used up; \
         raise the memory limit, or ask for a shorter --since",
        topics.budget().mebibytes()
    )
}

/// The rules in force; those of a plain file without a generation are of the newest one that alarms name.
fn rules_in_force(live: &LiveSpec, candidates: &[Candidate], written: &Written) -> Arc<Shape> {
    let rules = candidates.first().map(|c| Arc::clone(&c.rules)).unwrap_or_default();
    match live.generation {
        Some(_) => rules,
        None => Arc::new(Shape { generation: written.generation(), ..(*rules).clone() }),
    }
}
