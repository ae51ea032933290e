//! Restores partitions beside the loop: committed offset, table, replay. Never on the loop's own thread.
//!
//! Each partition by itself: one that cannot be restored is tried again after a pause, with its own reason, while the
//! others go on. One after another, since a restore holds the whole table partition in memory; all of them share two
//! clients.
//!
//! It also reads the raw log for longer windows of partitions that compute, in stretches, and looks where that log
//! begins: a restore comes first.

mod attempt;
mod context;
mod error;
mod open;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use stockwatch_core::{Backfill, Partition};
use stockwatch_crds::Backoff;

use self::attempt::Attempt;
use self::context::Clients;
pub(super) use self::context::Context;
use self::error::AttemptEnd;
use self::open::OpenTransaction;
use crate::kafka::log_reader::Patience;
use crate::rests::Rests;

/// Between attempts for one partition.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
/// Between looks at a transaction that is open on a partition.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Connections are closed when nothing was restored for this long.
const IDLE: Duration = Duration::from_secs(5);

/// Records read in a row for one partition's longer window; then other partitions' tasks have a turn.
const STRETCH: i64 = 100_000;

/// What came of a task.
pub(super) enum Outcome {
    /// The partition stands at its committed offset; its raw log begins at the other one.
    Restored(Box<Partition>, i64),
    /// Its raw log begins at this offset.
    LogStart(i64),
    /// The raw log is read as far as was asked for.
    Read(Backfill),
    /// An attempt failed and is repeated; the reason and the cure, for people.
    Failed(String),
}

/// Cancels its task when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What is to be done for one partition, with its own retries.
struct Task {
    number: i32,
    job: Job,
    cancelled: Arc<AtomicBool>,
    attempts: u32,
    due: Instant,
}

enum Job {
    /// Bring it to its committed offset, past a transaction that may be open on it.
    Restore(OpenTransaction),
    /// Read the raw log up to an offset for a longer window.
    Read(Backfill, i64),
    /// Look where the raw log begins.
    LogStart,
}

impl Task {
    /// Restores come first, those that never failed before those that did: each attempt may take seconds.
    fn turn(&self) -> (bool, u32, Instant) {
        (!matches!(self.job, Job::Restore(_)), self.attempts.min(1), self.due)
    }
}

struct Done {
    number: i32,
    cancelled: Arc<AtomicBool>,
    outcome: Outcome,
}

/// The thread that restores is gone: a defect.
#[derive(Debug, thiserror::Error)]
#[error("the thread that restores died")]
pub(super) struct Died;

/// The thread that restores, and the two ends of its queues.
pub(super) struct Restorer {
    tasks: Sender<Task>,
    done: Receiver<Done>,
    thread: JoinHandle<()>,
}

impl Restorer {
    /// Starts the thread.
    pub(super) fn start(context: Context) -> std::io::Result<Self> {
        let (tasks, inbox) = channel();
        let (outbox, done) = channel();
        let thread =
            thread::Builder::new().name("restore".into()).spawn(move || work(&context, &inbox, &outbox))?;
        Ok(Self { tasks, done, thread })
    }

    /// Brings a partition to the state of its committed offset.
    pub(super) fn restore(&self, number: i32) -> Result<Wanted, Died> {
        self.send(number, Job::Restore(OpenTransaction::default()))
    }

    /// Reads a partition's raw log for a longer window, up to the offset `to`.
    pub(super) fn read(&self, number: i32, backfill: Backfill, to: i64) -> Result<Wanted, Died> {
        self.send(number, Job::Read(backfill, to))
    }

    /// Looks where a partition's raw log begins.
    pub(super) fn look_at_log_start(&self, number: i32) -> Result<Wanted, Died> {
        self.send(number, Job::LogStart)
    }

    fn send(&self, number: i32, job: Job) -> Result<Wanted, Died> {
        let wanted = Wanted::default();
        let cancelled = wanted.0.clone();
        let task = Task { number, job, cancelled, attempts: 0, due: Instant::now() };
        self.tasks.send(task).map(|()| wanted).map_err(|_| Died)
    }

    /// What came of a task that is still wanted, if there is news.
    pub(super) fn next(&self) -> Option<(i32, Outcome)> {
        let wanted = self.done.try_iter().find(|done| !done.cancelled.load(Ordering::Relaxed));
        wanted.map(|done| (done.number, done.outcome))
    }

    /// Ends the thread, once nothing is wanted of it any more.
    pub(super) fn close(self) {
        drop(self.tasks);
        if self.thread.join().is_err() {
            tracing::error!("the thread that restores died");
        }
    }
}

/// Takes whatever is due first, until the loop has gone.
fn work(context: &Context, inbox: &Receiver<Task>, outbox: &Sender<Done>) {
    // Connects while the group forms; a failure is told by the first restore.
    let mut clients = Clients::open(context).inspect(|clients| clients.warm(context)).ok();
    let mut tasks: Vec<Task> = Vec::new();
    loop {
        let next = tasks.iter().map(|task| task.due).min();
        let wait = next.map_or(IDLE, |due| due.saturating_duration_since(Instant::now()));
        match inbox.recv_timeout(wait) {
            Ok(task) => tasks.push(task),
            Err(RecvTimeoutError::Timeout) if next.is_none() => clients = None,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        tasks.extend(inbox.try_iter());
        tasks.retain(|task| !context.is_cancelled(&task.cancelled));
        let now = Instant::now();
        let first = (0..tasks.len()).filter(|i| tasks[*i].due <= now);
        if let Some(first) = first.min_by_key(|i| tasks[*i].turn()) {
            let task = tasks.remove(first);
            tasks.extend(attempt(context, &mut clients, task, outbox));
        }
    }
}

/// One attempt; gives the task back if it is to go on or to be tried again.
fn attempt(
    context: &Context,
    clients: &mut Option<Clients>,
    mut task: Task,
    outbox: &Sender<Done>,
) -> Option<Task> {
    let number = task.number;
    let ended = match attempt_once(context, clients, &mut task) {
        Ok(None) => return Some(task),
        Ok(Some(outcome)) => {
            let _ = outbox.send(Done { number, cancelled: task.cancelled, outcome }); // the loop may have gone
            return None;
        }
        Err(ended) => ended,
    };
    if ended.may_be_the_connection() {
        *clients = None;
    }
    let pause = match ended {
        AttemptEnd::Cancelled => return None,
        AttemptEnd::OpenTransaction => LOOK_AGAIN,
        AttemptEnd::Failed(error) => {
            match &mut task.job {
                Job::Restore(open) => {
                    tracing::warn!(partition = number, %error, "a partition cannot be restored, trying again");
                    *open = OpenTransaction::default();
                    let outcome = Outcome::Failed(error.to_string());
                    let _ = outbox.send(Done { number, cancelled: task.cancelled.clone(), outcome });
                }
                Job::Read(..) | Job::LogStart => {
                    tracing::warn!(partition = number, %error, "the raw log cannot be read, trying again");
                }
            }
            task.attempts += 1;
            RETRY.after(task.attempts, fastrand::f64())
        }
    };
    task.due = Instant::now() + pause;
    Some(task)
}

/// Returns `None` if there is more to do, after others had their turn.
fn attempt_once(
    context: &Context,
    clients: &mut Option<Clients>,
    task: &mut Task,
) -> Result<Option<Outcome>, AttemptEnd> {
    let began = Instant::now();
    let clients = match clients {
        Some(clients) => clients,
        none => none.insert(Clients::open(context)?),
    };
    // A first attempt goes before those that failed: others like it may wait.
    clients.set_patience(if task.attempts == 0 { Patience::BRIEF } else { Patience::FULL });
    let attempt = Attempt { context, clients, number: task.number, cancelled: &task.cancelled };
    Ok(match &mut task.job {
        Job::Restore(open) => {
            let (partition, log_start) = attempt.restore(open)?;
            context.metrics.restore_seconds.observe(began.elapsed().as_secs_f64());
            Some(Outcome::Restored(Box::new(partition), log_start))
        }
        Job::LogStart => Some(Outcome::LogStart(attempt.log_start()?)),
        Job::Read(backfill, to) => {
            let rests = Rests::begin(1);
            attempt
                .read_older(backfill, *to, STRETCH, Some(&rests))?
                .then(|| Outcome::Read(std::mem::take(backfill)))
        }
    })
}
