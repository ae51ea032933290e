//! Tests with releases of their own that look after listed namespaces: side by side, without the shared release.

mod bare;
mod namespaces;
mod rights;
mod upgrade;

use stockwatch_tests::Namespace;

/// The chart's value with which a release looks after one namespace alone.
pub(crate) fn only(home: &Namespace) -> String {
    format!("namespaces={{{}}}", home.name())
}
