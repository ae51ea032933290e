//! End-to-end tests: the real programs against a real Kafka and in a real Kubernetes, compared with a naive oracle.
//!
//! A [`Scene`] is one StockWatch on one [`Broker`]: its topics, its file, the quotes written to it and the
//! comparison of all that was read from its topics with what [`oracle`] computes from the raw topic alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answer;
mod audit;
mod broker;
mod chart;
mod cluster;
mod compare;
mod container;
mod copied;
mod crowd;
mod cut;
mod decimal;
mod endpoint;
mod faults;
mod feed;
mod helm;
mod ledger;
mod live;
mod market;
mod namespace;
mod objects;
mod obstacle;
pub mod oracle;
mod producer;
mod provider;
mod scene;
mod secrets;
mod simulated;
mod stream;
mod tls;
mod topics;
mod until;
mod volume;
mod wait;
mod watch;
mod worker;
mod yahoo;

pub use answer::Answer;
pub use audit::{Audit, Request, assert_one_leads};
pub use broker::{Broker, Login};
pub use chart::{Object, refused, rendered};
pub use cluster::{Cluster, Down, image_size};
pub use compare::{Outputs, assert_alarms, outputs};
pub use container::Container;
pub use copied::Copied;
pub use crowd::Crowd;
pub use cut::Cut;
pub use decimal::{parse as parse_decimal, ratio};
pub use endpoint::Endpoint;
pub use faults::{faults, turn};
pub use feed::Feeder;
pub use helm::{Alone, CHART, IMAGES, Release};
pub use ledger::{Held, Paper, assert_ledger, paper};
pub use market::{Market, Raw, quote};
pub use namespace::{Namespace, OWNED};
pub use obstacle::{Obstacle, Webhook};
pub use producer::Producer;
pub use provider::{Asked, Provider};
pub use scene::Scene;
pub use stream::{Act, FakeStream, pricing};
pub use topics::{Isolation, Record, Topics};
pub use until::{Until, condition};
pub use volume::Volume;
pub use wait::{outage, soon, wait_for};
pub use watch::{Ticker, Topic, Watch};
pub use worker::{Launch, Worker, program, run};
pub use yahoo::{FakeYahoo, chart};
