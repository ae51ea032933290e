//! The StockWatch resource: its API types, what follows purely from a spec, and its generated definition.
//!
//! - [`v1alpha1`] holds the API types as a user writes them: data only, everything optional stays optional.
//! - [`Spec`] is what follows from one StockWatch, checked: defaults filled in, texts parsed, names resolved.
//!   [`Spec::parse`] makes it of the API types, [`load`] of a YAML or JSON text, [`load_value`] of a read one.
//! - [`Backoff`] is the rule by which the operator and the worker try again.
//! - [`flow`] is what a worker answers of its quotes, and what follows from the answers of all workers.
//! - [`definition`] is the CustomResourceDefinition, as `crds/stockwatch.yaml` has it.
//!
//! Every rule of the definition is a rule of [`Spec::parse`] too: a plain file never meets an API server.

mod alarms;
mod backoff;
mod decode;
mod definition;
mod duration;
mod edit_report;
mod edits;
pub mod flow;
mod kafka;
mod limits;
mod load;
mod names;
mod pods;
mod pointer;
mod problem;
mod source;
mod spec;
mod tolerance;
mod topics;
mod trade;
mod url;
pub mod v1alpha1;
mod window;

pub use alarms::Alarms;
pub use backoff::Backoff;
pub use definition::{UNSEEN, definition, definition_yaml};
pub use duration::{
    DurationError, MAX_QUIET_MINUTES, MAX_WINDOW_MINUTES, parse_interval, parse_quiet, parse_window,
};
pub use edit_report::{EditReport, PartitionEdit, merge_edit_reports};
pub use edits::tolerance_edits;
pub use kafka::{CaSecret, ClientSecret, Kafka, KeyPair, LoginFile, OAuth, Sasl, SecretKey, Tls, Username};
pub use load::{LoadError, Loaded, MAX_BYTES, load, load_value};
pub use pointer::Pointer;
pub use problem::{Invalid, InvalidReason, Problem};
pub use source::{Currency, DEFAULT_USER_AGENT, DEFAULT_YAHOO_URL, Http, HttpBatch, Items, Proxy, Source};
pub use spec::{Spec, Ticker, WILDCARD};
pub use tolerance::{Bound, Tolerance, ToleranceError};
pub use topics::{CLEANUP_POLICY, LOG_APPEND_TIME, StateTopic, TIMESTAMP_TYPE, Topic, Topics};
pub use trade::Trade;
pub use v1alpha1::{
    DeletionPolicy, Enter, GapPolicy, Mechanism, StockWatch, StockWatchSpec, StockWatchStatus, TimeFormat,
    YahooMode,
};
pub use window::Window;
