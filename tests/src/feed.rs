//! Quotes that keep flowing beside a test, at a steady rate, until told to stop.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::market::Market;
use crate::producer::Producer;

/// A thread that writes a market's records to a raw topic.
pub struct Feeder {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<u64>>,
}

impl Feeder {
    /// Starts to write about `rate` records a second.
    pub fn start(producer: Producer, topic: String, mut market: Market, rate: u32) -> Self {
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let start = Instant::now();
            // In bursts: a transaction costs a broker as much for one quote as for a hundred, and the suite waits for
            // brokers. They are too small to be taken for a backlog.
            let step = Duration::from_millis(if rate > 1_000 { 100 } else { 250 });
            let mut sent = 0_u64;
            loop {
                let due = u64::try_from(start.elapsed().as_millis()).unwrap() * u64::from(rate) / 1_000;
                while sent < due {
                    let raw = market.next_raw();
                    producer.send(&topic, None, raw.key.as_deref(), raw.value.as_deref());
                    sent += 1;
                }
                match stopped.recv_timeout(step) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => break,
                }
            }
            producer.flush();
            sent
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }

    /// Tells it to write no more; [`Self::stop`] waits for it.
    pub fn cease(&mut self) {
        drop(self.stop.take());
    }

    /// Stops, waits until all is in Kafka, and gives how many records were written.
    pub fn stop(mut self) -> u64 {
        self.cease();
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.cease();
    }
}
