//! The Kafka transaction loop: consume, compute, produce, commit; exactly once through every failure.
//!
//! One thread, one transaction at a time for all partitions. State is only ever that of a committed
//! transaction: after any failure the state of every partition is thrown away and restored from the log.
//!
//! | file | what it is |
//! |---|---|
//! | `session` | makes the clients, anew after their connections were lost |
//! | `run` | the loop: what it hears, and what it does next |
//! | `readiness` | why the worker is not ready: a set of causes, each with its own end |
//! | `transaction/` | what is open, when it is committed (`policy`) and how large it may be (`size`), what follows when it fails |
//! | `membership` | who owns what: the group's consumer (`group`), the partitions (`assignment`), the rules of each (`rules`) |
//! | `restore/` | brings each partition to its committed offset, beside the loop |
//! | `holdings` | what the partitions hold, for who asks whether quotes flow |
//! | `ledger` | looks for the ledger topic, without which there are alarms but no paper accounts |
//! | `producers` | the two transactional producers, made for a live feed or for a backlog; `caller` makes calls that may never return |
//!
//! A file uses those further down, and `error`, `settings`, `connector`, `topology` and `record`.

mod assignment;
mod caller;
mod connector;
mod error;
mod group;
mod holdings;
mod ledger;
mod membership;
mod producers;
mod readiness;
pub(crate) mod record;
mod restore;
mod rules;
mod run;
mod session;
mod settings;
mod topology;
mod transaction;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use stockwatch_crds::Backoff;

pub use self::error::Error;
use self::error::SessionError;
use self::settings::Past;
pub use self::settings::Settings;
use crate::topics::RawPartitions;

/// Between two sessions with brokers that fail.
const RETRY: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(3));

/// Computes until told to stop. Blocking: runs on a thread of its own.
///
/// # Errors
/// What only people can mend; everything else is retried, with the reason in [`crate::health::Health`].
pub fn run(settings: Settings) -> Result<(), Error> {
    let mut failures: u32 = 0;
    let past = Past::new(settings.create_topics);
    while !settings.stop.load(Ordering::Relaxed) {
        settings.health.beat();
        let began = Instant::now();
        match session::session(&settings, &past) {
            Ok(()) => break,
            Err(SessionError::Created(RawPartitions(partitions))) => {
                tracing::info!(partitions, "missing topics were created");
                past.may_create.set(false);
            }
            Err(SessionError::Final(error)) => return Err(error),
            Err(SessionError::Fenced { id }) if !past.may_be_taken_for_dead() => {
                return Err(Error::Fenced { id });
            }
            Err(error) => {
                let is_trouble = !matches!(error, SessionError::Fenced { .. });
                tracing::warn!(%error, "the session with the brokers ended, beginning another");
                settings.health.set_causes(vec![error.to_string()]);
                settings.owned.send_modify(|o| o.partitions.clear());
                // A session that lasted had nothing to do with the failures before it.
                failures =
                    if began.elapsed() > Duration::from_secs(30) { 1 } else { failures.saturating_add(1) };
                let until = Instant::now() + RETRY.after(failures, fastrand::f64());
                while Instant::now() < until && !settings.stop.load(Ordering::Relaxed) {
                    settings.health.beat();
                    std::thread::sleep(Duration::from_millis(20));
                }
                session::await_brokers(&settings);
                // Peers hear of it from the brokers: when those are back, however long that took.
                if is_trouble {
                    past.note_trouble();
                }
            }
        }
    }
    Ok(())
}
