//! Reads one StockWatch of a YAML or JSON text.

use serde_json::Value;

use crate::decode::{Decoded, decode};
use crate::problem::{Invalid, Problem, Problems, shown};
use crate::spec::Spec;

/// The longest text that [`load`] reads: more than any legal StockWatch has, comments included.
pub const MAX_BYTES: usize = 4 << 20;

const API_VERSION: &str = "stockwatch.dev/v1alpha1";
const KIND: &str = "StockWatch";

/// A StockWatch that breaks no rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// `metadata.uid`; empty for a plain file that has none.
    pub uid: String,
    /// `metadata.generation`; `None` for a plain file that has none.
    pub generation: Option<u64>,
    /// What follows from it.
    pub spec: Spec,
    /// Paths of fields that no known version has; they are ignored. At most 100.
    pub ignored: Vec<String>,
}

/// Why a text is no StockWatch. Displays every problem, one a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The text is longer than [`MAX_BYTES`].
    #[error("the text has {0} bytes: at most {MAX_BYTES} are read")]
    TooLong(usize),
    /// The text is neither YAML nor JSON, holds several documents or repeats a key.
    #[error("not one YAML or JSON document: {0}")]
    Syntax(String),
    /// It is something else than a StockWatch of a known version.
    #[error("{field} is {found}, but \"{expected}\" is expected")]
    Kind {
        /// `apiVersion` or `kind`.
        field: &'static str,
        /// What the text has there.
        found: String,
        /// What a StockWatch has there.
        expected: &'static str,
    },
    /// It breaks rules.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// Reads one StockWatch (YAML or JSON), checks every rule and fills defaults in.
///
/// Never panics and never takes long, whatever the text: its size, depth and aliases are bounded.
pub fn load(text: &str) -> Result<Loaded, LoadError> {
    if text.len() > MAX_BYTES {
        return Err(LoadError::TooLong(text.len()));
    }
    let document: Value = serde_saphyr::from_str_with_options(text, options())
        .map_err(|error| LoadError::Syntax(one_line(&error.to_string())))?;
    load_value(document)
}

/// [`load`] of a document that was read already, as an API server's answers are.
pub fn load_value(document: Value) -> Result<Loaded, LoadError> {
    expect(&document, "apiVersion", API_VERSION)?;
    expect(&document, "kind", KIND)?;

    let mut unreadable = Problems::default();
    let Some(Decoded { stockwatch, ignored }) = decode(document, &mut unreadable) else {
        return Err(Invalid { problems: unreadable.into_vec() }.into());
    };
    let mut broken = Problems::default();
    let spec = Spec::gather(&stockwatch, &mut broken);
    let metadata = stockwatch.metadata;
    let generation = metadata.generation.map(u64::try_from).transpose();
    let generation =
        broken.ok("metadata.generation", generation.map_err(|_| "a generation is never negative"));

    // What stands where an unreadable value stood was made up: a rule that it breaks says nothing.
    let broken: Vec<Problem> =
        broken.into_vec().into_iter().filter(|problem| !unreadable.cover(&problem.path)).collect();
    let mut problems = unreadable.into_vec();
    problems.extend(broken);
    match generation {
        Some(generation) if problems.is_empty() => {
            Ok(Loaded { uid: metadata.uid.unwrap_or_default(), generation, spec, ignored })
        }
        _ => Err(Invalid { problems }.into()),
    }
}

fn expect(document: &Value, field: &'static str, expected: &'static str) -> Result<(), LoadError> {
    let found = match document.get(field) {
        Some(Value::String(found)) if found == expected => return Ok(()),
        Some(Value::String(found)) => shown(found),
        Some(_) => "not a text".to_owned(),
        None => "missing".to_owned(),
    };
    Err(LoadError::Kind { field, found, expected })
}

/// A legal StockWatch has about 25,000 nodes, 40,000 more for each of its managers, and is 20 levels deep.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 1,
            max_depth: 64,
            max_nodes: 250_000,
            max_events: 1_000_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 250_000,
            max_replay_stack_depth: 16,
        },
        // As kubectl reads it (YAML 1.1): a file that is taken here is taken by the API server as well.
        strict_booleans: false,
        with_snippet: false,
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(512).collect()
}
