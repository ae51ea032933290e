//! The StockWatch operator: turns each StockWatch into Kafka topics and a worker Deployment, and says how they are.
//!
//! `watch` fills `store` and `queue`; `controller` takes from the queue; `reconcile` makes one StockWatch what its spec
//! says, out of pure parts (`resources`, `status`, `reconcile::decide`) with I/O at both ends. What takes long goes on
//! beside it and wakes it: Kafka in `topics`, the workers' answers in `workers`, whether quotes flow in `flow`.

pub mod args;
pub mod bounded;
pub mod cache;
pub mod claims;
pub mod client;
pub mod context;
pub mod controller;
pub mod credentials;
pub mod events;
pub mod fence;
pub mod flow;
pub mod health;
pub mod http;
pub mod key;
pub mod leader;
pub mod managed;
pub mod metrics;
pub mod names;
pub mod pods;
pub mod queue;
pub mod reconcile;
pub mod refusals;
pub mod resources;
pub mod rollout;
pub mod run;
pub mod slots;
pub mod status;
pub mod store;
pub mod synced;
pub mod topics;
pub mod watch;
pub mod workers;
pub mod writes;
