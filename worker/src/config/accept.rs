//! What a document does to a running worker: decided from the document and the spec in use alone.

use std::path::PathBuf;

use stockwatch_crds::{LoadError, Loaded, Spec};

/// A StockWatch that was accepted: it parses and breaks no rule.
#[derive(Debug, Clone)]
pub struct LiveSpec {
    /// `metadata.uid`; empty for a plain file that has none.
    pub uid: String,
    /// `metadata.generation`; `None` for a plain file, whose generation counts on from the recorded one.
    pub generation: Option<u64>,
    /// Counts the accepted loads of this process, from 1; a load equal to the one before does not count.
    pub revision: u64,
    /// The parsed spec.
    pub spec: Spec,
    /// Paths of fields that no known version has; they are ignored.
    pub ignored: Vec<String>,
}

impl LiveSpec {
    /// Returns the first spec of a process.
    pub(super) fn first(loaded: Loaded) -> Self {
        let Loaded { uid, generation, spec, ignored } = loaded;
        Self { uid, generation, revision: 1, spec, ignored }
    }
}

/// A document that is not refused.
#[derive(Debug, Clone)]
pub enum Decision {
    /// It is the new spec.
    Take(Box<LiveSpec>),
    /// It says what the one in use says.
    Same,
    /// It is older than one that was decided on: copies of a StockWatch are written late.
    Old,
}

/// Why a document is not used; each sentence says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The file is not there or cannot be read.
    #[error("{}: {problem}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The document has no text.
    #[error("the file is empty: it must hold one StockWatch")]
    Nothing,
    /// It is not a StockWatch, or breaks rules: every problem, one a line.
    #[error(transparent)]
    Invalid(#[from] LoadError),
    /// It is another StockWatch than the one in use.
    #[error(
        "metadata.uid: is {found:?}, but this worker runs {running:?}: another StockWatch needs another worker"
    )]
    OtherUid {
        /// The document's.
        found: String,
        /// That of the spec in use.
        running: String,
    },
    /// It is an older state of the StockWatch in use.
    #[error("metadata.generation: {found} is older than {running}, which is in use")]
    Older {
        /// The document's.
        found: u64,
        /// That of the spec in use.
        running: u64,
    },
    /// It changes what a running worker cannot change.
    #[error(
        "{}: cannot change while the worker runs: restart it to use the new value, or put the old one back",
        .fields.join(", ")
    )]
    Cold {
        /// Paths of the changed fields.
        fields: Vec<&'static str>,
    },
}

/// The spec that a worker starts with: any document that breaks no rule.
pub fn first(document: &str) -> Result<LiveSpec, Refusal> {
    if document.trim().is_empty() {
        return Err(Refusal::Nothing);
    }
    Ok(LiveSpec::first(stockwatch_crds::load(document)?))
}

/// Refuses the document of another StockWatch than the one that runs.
pub(super) fn check_uid(found: &str, running: &str) -> Result<(), Refusal> {
    if found == running {
        return Ok(());
    }
    Err(Refusal::OtherUid { found: found.to_owned(), running: running.to_owned() })
}

/// Decides on the text of a plain file while `current` is in use. People write it, so whatever cannot be taken is
/// refused.
pub fn accept(current: &LiveSpec, document: &str) -> Result<Decision, Refusal> {
    let next = LiveSpec { revision: current.revision + 1, ..first(document)? };
    check_uid(&next.uid, &current.uid)?;
    if let (Some(found), Some(running)) = (next.generation, current.generation)
        && found < running
    {
        return Err(Refusal::Older { found, running });
    }
    let fields = cold_changes(&current.spec, &next.spec);
    if !fields.is_empty() {
        return Err(Refusal::Cold { fields });
    }
    let same =
        next.generation == current.generation && next.spec == current.spec && next.ignored == current.ignored;
    Ok(if same { Decision::Same } else { Decision::Take(Box::new(next)) })
}

/// The fields that differ and that only a new process can take: what it is called and where its topics are.
fn cold_changes(old: &Spec, new: &Spec) -> Vec<&'static str> {
    let (was, is) = (&old.kafka, &new.kafka);
    [
        ("metadata.namespace", old.namespace != new.namespace),
        ("metadata.name", old.name != new.name),
        ("spec.kafka.bootstrapServers", was.bootstrap_servers != is.bootstrap_servers),
        ("spec.kafka.tls", was.tls != is.tls),
        ("spec.kafka.sasl", was.sasl != is.sasl),
        ("spec.kafka.groupId", was.group_id != is.group_id),
        ("spec.kafka.topics.rawInput.name", was.topics.raw_input.name != is.topics.raw_input.name),
        (
            "spec.kafka.topics.afterDedupStream.name",
            was.topics.after_dedup_stream.name != is.topics.after_dedup_stream.name,
        ),
        (
            "spec.kafka.topics.afterDedupStorageTable.name",
            was.topics.after_dedup_storage_table.name != is.topics.after_dedup_storage_table.name,
        ),
        (
            "spec.kafka.topics.averagesOutput.name",
            was.topics.averages_output.name != is.topics.averages_output.name,
        ),
        (
            "spec.kafka.topics.deviationAlarm.name",
            was.topics.deviation_alarm.name != is.topics.deviation_alarm.name,
        ),
        ("spec.kafka.topics.deadLetter.name", was.topics.dead_letter.name != is.topics.dead_letter.name),
        (
            // Before there are accounts nothing hangs on it.
            "spec.kafka.topics.ledger.name",
            old.trade.is_some() && was.topics.ledger.name != is.topics.ledger.name,
        ),
    ]
    .into_iter()
    .filter_map(|(field, changed)| changed.then_some(field))
    .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    const METADATA: &str = "name: tech";
    const SPEC: &str = "{tickers: [{symbol: META}], kafka: {bootstrapServers: 'kafka:9092'}}";

    fn document(metadata: &str, spec: &str) -> String {
        format!(
            "apiVersion: stockwatch.dev/v1alpha1\nkind: StockWatch\nmetadata: {{{metadata}}}\nspec: {spec}\n"
        )
    }

    fn running(metadata: &str, spec: &str) -> LiveSpec {
        first(&document(metadata, spec)).unwrap()
    }

    fn taken(outcome: Result<Decision, Refusal>) -> LiveSpec {
        match outcome.unwrap() {
            Decision::Take(spec) => *spec,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_changed_tolerance_is_taken_and_counted() {
        let current = running(METADATA, SPEC);
        let changed = "{tickers: [{symbol: META}], windows: [{duration: 5m, tolerance: '1%'}], kafka: {bootstrapServers: 'kafka:9092'}}";
        let next = taken(accept(&current, &document(METADATA, changed)));
        assert_eq!((current.revision, next.revision), (1, 2));
        assert_eq!(next.spec.windows[0].tolerance.text, "1%");
    }

    #[test]
    fn the_same_document_with_another_comment_is_nothing_new() {
        let current = running(METADATA, SPEC);
        let commented = document(METADATA, SPEC) + "# a comment\n";
        assert!(matches!(accept(&current, &commented), Ok(Decision::Same)));
    }

    #[test]
    fn another_uid_is_refused() {
        let current = running("name: tech, uid: a", SPEC);
        for metadata in ["name: tech, uid: b", "name: tech"] {
            let refusal = accept(&current, &document(metadata, SPEC)).unwrap_err();
            assert!(matches!(refusal, Refusal::OtherUid { .. }), "{refusal}");
        }
    }

    #[test]
    fn a_generation_never_goes_back() {
        let current = running("name: tech, uid: a, generation: 7", SPEC);
        let refusal = accept(&current, &document("name: tech, uid: a, generation: 6", SPEC)).unwrap_err();
        assert!(matches!(refusal, Refusal::Older { found: 6, running: 7 }), "{refusal}");
        let next = taken(accept(&current, &document("name: tech, uid: a, generation: 8", SPEC)));
        assert_eq!(next.generation, Some(8));
    }

    #[test]
    fn every_cold_field_that_changed_is_named() {
        let current = running(METADATA, SPEC);
        let moved = "{tickers: [{symbol: META}], kafka: {bootstrapServers: 'other:9092', groupId: g, topics: {deviationAlarm: {name: alarms}}}}";
        let text = accept(&current, &document(METADATA, moved)).unwrap_err().to_string();
        for field in
            ["spec.kafka.bootstrapServers", "spec.kafka.groupId", "spec.kafka.topics.deviationAlarm.name"]
        {
            assert!(text.contains(field), "{text}");
        }
        assert!(text.contains("restart") && !text.contains("rawInput"), "{text}");
    }

    #[test]
    fn the_ledger_is_named_with_the_first_accounts_and_not_again() {
        let spec = |trade: &str, name: &str| {
            let topics = format!("topics: {{ledger: {{name: {name}}}}}");
            format!(
                "{{tickers: [{{symbol: META}}], {trade} kafka: {{bootstrapServers: 'kafka:9092', {topics}}}}}"
            )
        };
        let trade = "trade: {window: 5m},";
        let next = taken(accept(&running(METADATA, &spec("", "a")), &document(METADATA, &spec(trade, "b"))));
        let refusal = accept(&next, &document(METADATA, &spec(trade, "c"))).unwrap_err().to_string();
        assert!(refusal.starts_with("spec.kafka.topics.ledger.name"), "{refusal}");
    }

    #[test]
    fn a_document_that_breaks_rules_names_each_of_them() {
        let text = first(&document("name: Tech", "{tickers: []}")).unwrap_err().to_string();
        for path in ["metadata.name", "spec.tickers", "spec.kafka"] {
            assert!(text.contains(path), "{text}");
        }
    }

    #[test]
    fn an_empty_file_is_said_to_be_empty() {
        assert!(matches!(first(" \n"), Err(Refusal::Nothing)));
    }
}
