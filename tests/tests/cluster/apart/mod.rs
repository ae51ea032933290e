//! Releases of their own, side by side: each looks after namespaces of one test alone, so the shared release, which looks
//! after all, must not be there.

mod bare;
mod namespaces;
mod rights;
mod upgrade;

use stockwatch_tests::Namespace;

/// The chart's value with which a release looks after one namespace alone.
pub(crate) fn only(home: &Namespace) -> String {
    format!("namespaces={{{}}}", home.name())
}
