//! Restores partitions beside the loop: committed offset, table, replay. Never on the loop's own thread.
//!
//! Each partition by itself: one that cannot be restored is tried again after a pause, with its own reason, while the
//! others go on. One after another, since a restore holds the whole table partition in memory; all of them share two
//! clients.

mod attempt;
mod context;
mod error;
mod open;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use stockwatch_core::{Partition, Removed, Shape};

use self::attempt::Attempt;
use self::context::Clients;
pub(super) use self::context::Context;
use self::error::Ended;
use self::open::OpenTransaction;

/// Between attempts to restore one partition.
const RETRY: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];
/// Between looks at a transaction that is open on a partition.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Connections are closed when nothing was restored for this long.
const IDLE: Duration = Duration::from_secs(5);

/// What came of a restore.
pub(super) enum Outcome {
    /// It stands at its committed offset.
    Restored(Box<Partition>),
    /// It computes by the new shape.
    Reshaped(Box<Partition>, Vec<Removed>),
    /// An attempt failed and is repeated; the reason and the cure, for people.
    Failed(String),
}

/// A restore that is wanted for as long as this lives.
#[derive(Debug, Default)]
pub(super) struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A partition to restore, with its own retries.
struct Task {
    number: i32,
    /// It only lacks the older samples that a longer window of this shape wants.
    reshape: Option<(Box<Partition>, Arc<Shape>)>,
    cancelled: Arc<AtomicBool>,
    attempts: usize,
    due: Instant,
    /// What is known of a transaction that hides what is to be read.
    open: OpenTransaction,
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
        self.send(number, None)
    }

    /// Gives a partition the older samples that a longer window of `shape` wants, and lets it take the shape.
    pub(super) fn reshape(&self, partition: Box<Partition>, shape: Arc<Shape>) -> Result<Wanted, Died> {
        self.send(partition.number, Some((partition, shape)))
    }

    fn send(&self, number: i32, reshape: Option<(Box<Partition>, Arc<Shape>)>) -> Result<Wanted, Died> {
        let wanted = Wanted::default();
        let cancelled = wanted.0.clone();
        let open = OpenTransaction::default();
        let task = Task { number, reshape, cancelled, attempts: 0, due: Instant::now(), open };
        self.tasks.send(task).map(|()| wanted).map_err(|_| Died)
    }

    /// What came of a partition whose restore is still wanted, if there is news.
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
        // Those that never failed come before those that did: each attempt may take seconds.
        let now = Instant::now();
        let first = (0..tasks.len()).filter(|i| tasks[*i].due <= now);
        if let Some(first) = first.min_by_key(|i| (tasks[*i].attempts.min(1), tasks[*i].due)) {
            let task = tasks.remove(first);
            tasks.extend(attempt(context, &mut clients, task, outbox));
        }
    }
}

/// One attempt; gives the task back if it is to be tried again.
fn attempt(
    context: &Context,
    clients: &mut Option<Clients>,
    mut task: Task,
    outbox: &Sender<Done>,
) -> Option<Task> {
    let began = Instant::now();
    let number = task.number;
    let ended = match attempt_once(context, clients, &mut task) {
        Ok(outcome) => {
            context.metrics.restore_seconds.observe(began.elapsed().as_secs_f64());
            let _ = outbox.send(Done { number, cancelled: task.cancelled, outcome }); // the loop may have gone
            return None;
        }
        Err(ended) => ended,
    };
    if ended.may_be_the_connection() {
        *clients = None;
    }
    let pause = match ended {
        Ended::Cancelled => return None,
        Ended::OpenTransaction => LOOK_AGAIN,
        Ended::Failed(error) => {
            tracing::warn!(partition = number, %error, "a partition cannot be restored, trying again");
            let outcome = Outcome::Failed(error.to_string());
            let _ = outbox.send(Done { number, cancelled: task.cancelled.clone(), outcome });
            task.open = OpenTransaction::default();
            task.attempts += 1;
            RETRY[(task.attempts - 1).min(RETRY.len() - 1)]
        }
    };
    task.due = Instant::now() + pause;
    Some(task)
}

fn attempt_once(context: &Context, clients: &mut Option<Clients>, task: &mut Task) -> Result<Outcome, Ended> {
    let clients = match clients {
        Some(clients) => clients,
        none => none.insert(Clients::open(context)?),
    };
    let cancelled = &*task.cancelled;
    let attempt = Attempt { context, clients, number: task.number, cancelled };
    let Some((mut partition, shape)) = task.reshape.take() else {
        return Ok(Outcome::Restored(Box::new(attempt.restore(&mut task.open)?)));
    };
    let taken = partition.next_change(shape.clone());
    match attempt.older(&partition, &taken) {
        Ok(older) => {
            let removed = partition.apply_shape(taken, &older, 0);
            Ok(Outcome::Reshaped(partition, removed))
        }
        Err(ended) => {
            task.reshape = Some((partition, shape));
            Err(ended)
        }
    }
}
