//! Calls to librdkafka that may never return.
//!
//! `rd_kafka_send_offsets_to_transaction` heeds no timeout while no broker is there at all: it looks for the group's
//! coordinator, and is woken by a broker that comes back, or by nothing.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use rdkafka::error::KafkaError;

/// How often whoever waits for an answer asks whether to go on waiting.
const STEP: Duration = Duration::from_millis(20);

type CallResult = Result<(), KafkaError>;

/// A thread that makes one call at a time for another thread, which may leave it behind, with whatever the call holds.
pub(super) struct Caller {
    calls: Sender<Box<dyn FnOnce() -> CallResult + Send>>,
    answers: Receiver<CallResult>,
}

impl Caller {
    /// Starts the thread. Once this is dropped it ends, after the call that it may be in.
    pub(super) fn start() -> io::Result<Self> {
        let (calls, inbox) = channel::<Box<dyn FnOnce() -> CallResult + Send>>();
        let (outbox, answers) = channel();
        thread::Builder::new().name("caller".into()).spawn(move || {
            while let Ok(call) = inbox.recv() {
                let _ = outbox.send(call()); // nobody waits for what was left behind
            }
        })?;
        Ok(Self { calls, answers })
    }

    /// Makes the call and waits for its answer as long as `wait` says so: with `None` this is of no use any more.
    pub(super) fn call(
        &self,
        wait: impl Fn() -> bool,
        call: impl FnOnce() -> CallResult + Send + 'static,
    ) -> Option<CallResult> {
        self.calls.send(Box::new(call)).ok()?;
        loop {
            match self.answers.recv_timeout(STEP) {
                Ok(answer) => return Some(answer),
                Err(RecvTimeoutError::Timeout) if wait() => {}
                Err(_) => return None,
            }
        }
    }
}
