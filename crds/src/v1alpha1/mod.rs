//! The API types of `stockwatch.dev/v1alpha1`, as a user writes them: data only.
//!
//! Later versions share this schema without conversion: a field is never renamed or retyped. No field is
//! nullable, and no union or map list has a schema default (it would be persisted beside what a user writes
//! later); [`Spec::parse`](crate::Spec::parse) fills absent ones in.

// KubeSchema repeats each struct inside a function, as public as it is.
#![allow(unreachable_pub)]

mod alarms;
mod durations;
mod http;
mod kafka;
mod oauth;
mod pod;
mod secret;
mod source;
mod status;
mod stockwatch;
mod trade;
mod worker;

pub use alarms::{AlarmsSpec, GapPolicy};
pub use http::{BatchSpec, CurrencySpec, HttpSpec, TimeFormat};
pub use kafka::{DeletionPolicy, KafkaSpec, Mechanism, SaslSpec, TlsSpec, TopicSpec, TopicsSpec};
pub(crate) use kafka::{SAY_NO_KERBEROS, SAY_NO_MSK_IAM, SAY_READABLE};
pub use oauth::OAuthSpec;
pub(crate) use oauth::{SAY_EXTENSIONS, SAY_NEEDS_OAUTH, SAY_SCOPE, SAY_TOKEN_URL};
pub use pod::{MountSpec, VolumeSpec};
pub use secret::{ClientSecretRef, PasswordSecretRef, SecretKeyRef, SourceSecretKeyRef, SourceSecretRef};
pub use source::{ExternalSpec, ProxySpec, SimulatedSpec, SourceSpec, YahooMode, YahooSpec};
pub use status::{FailingTicker, LastEdit, StockWatchStatus, ToleranceEdit, TopicState, TopicStatus};
pub use stockwatch::{OverrideSpec, StockWatch, StockWatchSpec, TickerSpec, WindowSpec};
pub use trade::{Enter, TradeSpec};
pub use worker::{ImagePullPolicy, WorkerSpec};
