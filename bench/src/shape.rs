//! What a program writes for each raw record: how many records of which size to which kind of topic. The floor
//! writes in the shape that the worker's output was observed to have.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::message::Message;

use crate::bare::Output;
use crate::cluster::Cluster;
use crate::error::Result;
use crate::job::Job;
use crate::reader::Reader;

/// Records of a topic that are measured.
const SAMPLE: usize = 10_000;

/// What the worker writes: `accepted` quotes and `alarms` for each raw record. The sizes are those of its records
/// with entities like `T123`, prices around 100 and whole seconds. Topics are unnamed.
pub(crate) fn usual(accepted: f64, alarms: f64) -> Vec<Output> {
    let output = |topic: &str, rate, value_len, windowed| Output {
        topic: topic.to_owned(),
        rate,
        value_len,
        windowed,
    };
    vec![
        output("stream", accepted, 90, false),
        output("averages", 3.0 * accepted, 100, true),
        output("alarms", alarms, 530, true),
    ]
}

/// The shape of what `job` wrote for `raw` records, so far as its transactions have ended.
pub(crate) fn observe(cluster: &Cluster, job: &Job, raw: u64) -> Result<Vec<Output>> {
    let mut outputs = Vec::new();
    for kind in ["stream", "table", "averages", "alarms"] {
        let topic = topic(kind, job);
        let written: i64 = cluster.ends(&topic)?.iter().sum();
        let (mut records, mut bytes) = (0, 0);
        let mut looked_at: BTreeMap<i32, i64> = BTreeMap::new();
        // The end may be control records alone: what comes is enough, and none for a while is the end.
        let _ =
            Reader::from_start(cluster, &[&topic])?.find::<()>("more", Duration::from_secs(2), |record| {
                records += 1;
                bytes += record.payload().unwrap_or_default().len();
                looked_at.insert(record.partition(), record.offset() + 1);
                (records >= SAMPLE).then_some(())
            });
        if let Some(value_len) = bytes.checked_div(records) {
            let windowed = matches!(kind, "averages" | "alarms");
            // At a thousand quotes a second every tenth offset is a control record's.
            let share = records as f64 / looked_at.values().sum::<i64>() as f64;
            let rate = written as f64 * share / raw as f64;
            outputs.push(Output { topic: kind.to_owned(), rate, value_len, windowed });
        }
    }
    Ok(outputs)
}

/// The same shape, to the topics of `job`.
pub(crate) fn rename(outputs: &[Output], job: &Job) -> Vec<Output> {
    outputs.iter().map(|output| Output { topic: topic(&output.topic, job), ..output.clone() }).collect()
}

/// A line for the report.
pub(crate) fn describe(outputs: &[Output]) -> String {
    let parts: Vec<String> =
        outputs.iter().map(|o| format!("{} {:.3} of {} bytes", o.topic, o.rate, o.value_len)).collect();
    parts.join(", ")
}

fn topic(kind: &str, job: &Job) -> String {
    match kind {
        "stream" => job.stream(),
        "table" => job.table(),
        "averages" => job.averages(),
        _ => job.alarms(),
    }
}
