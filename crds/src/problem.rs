//! What is wrong with a StockWatch: a field's path and a sentence that says what is allowed.

use std::fmt;

/// Problems listed at most; a sentence counts the rest.
const LISTED: usize = 100;

/// The kind of a [`Problem`], as the reason of a status condition names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidReason {
    /// A field breaks a rule.
    InvalidSpec,
    /// Two tickers have the same effective entity name.
    DuplicateEntity,
}

impl InvalidReason {
    /// The reason as a condition has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidSpec => "InvalidSpec",
            Self::DuplicateEntity => "DuplicateEntity",
        }
    }
}

/// One broken rule. Displays as `spec.windows[1].tolerance: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field, such as `spec.tickers[3].name`.
    pub path: String,
    /// What kind of rule is broken.
    pub reason: InvalidReason,
    /// A sentence that says what is wrong and what is allowed.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// A StockWatch that breaks rules: every problem found, one a line when displayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.problems))]
pub struct Invalid {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl Invalid {
    /// The reason of a condition: the most specific that all the problems share.
    pub fn reason(&self) -> InvalidReason {
        match self.problems.first() {
            Some(first) if self.problems.iter().all(|problem| problem.reason == first.reason) => first.reason,
            _ => InvalidReason::InvalidSpec,
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    let mut lines: Vec<String> = problems.iter().take(LISTED).map(Problem::to_string).collect();
    if problems.len() > LISTED {
        lines.push(format!("and {} more problems", problems.len() - LISTED));
    }
    lines.join("\n")
}

/// Gathers problems while a spec is parsed, so that all of them are reported at once.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    pub(crate) fn add(&mut self, path: impl Into<String>, message: impl fmt::Display) {
        self.push(path.into(), InvalidReason::InvalidSpec, message);
    }

    pub(crate) fn add_duplicate_entity(&mut self, path: impl Into<String>, message: impl fmt::Display) {
        self.push(path.into(), InvalidReason::DuplicateEntity, message);
    }

    /// The value, or `None` with the error noted.
    pub(crate) fn ok<T, E: fmt::Display>(
        &mut self,
        path: impl Into<String>,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|error| self.add(path, error)).ok()
    }

    /// A problem of this field, or of one that it is a part of, was added.
    pub(crate) fn cover(&self, path: &str) -> bool {
        self.0.iter().any(|problem| {
            path.strip_prefix(&problem.path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn into_vec(self) -> Vec<Problem> {
        self.0
    }

    fn push(&mut self, path: String, reason: InvalidReason, message: impl fmt::Display) {
        self.0.push(Problem { path, reason, message: message.to_string() });
    }
}

/// A user's text as a message shows it: quoted, escaped, and no longer than a line.
pub(crate) fn shown(text: &str) -> String {
    const CHARS: usize = 64;
    if text.chars().nth(CHARS).is_none() {
        format!("{text:?}")
    } else {
        let start: String = text.chars().take(CHARS).collect();
        format!("{start:?}…")
    }
}
