//! Random edits and faults in a cluster, in an order that a seed decides.

use std::collections::BTreeMap;
use std::time::Instant;

use fastrand::Rng;
use serde_json::{Value, json};
use stockwatch_tests::{Broker, Cluster, Container, Namespace, Release, Scene, outage};

/// An edit or a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Retuned,
    Reshaped,
    Scaled,
    WorkerKilled,
    WorkerPodKilled,
    OperatorKilled,
    OperatorPodKilled,
    BrokerKilled,
    BrokerRestarted,
    BrokerFrozen,
    ApiServerKilled,
}

/// How often each happens, in percent.
const CHANCES: [(Event, u32); 11] = [
    (Event::Retuned, 34),
    (Event::Reshaped, 12),
    (Event::Scaled, 14),
    (Event::WorkerKilled, 14),
    (Event::WorkerPodKilled, 10),
    (Event::OperatorKilled, 4),
    (Event::OperatorPodKilled, 3),
    (Event::BrokerKilled, 2),
    (Event::BrokerRestarted, 2),
    (Event::BrokerFrozen, 2),
    (Event::ApiServerKilled, 3),
];

/// Everything that events can hit.
pub(super) struct Chaos<'a> {
    cluster: &'static Cluster,
    broker: &'a Broker,
    release: &'a Release,
    home: &'a Namespace,
    scenes: Vec<Scene<'a>>,
    random: Rng,
    happened: BTreeMap<Event, u32>,
    begun: Instant,
}

impl<'a> Chaos<'a> {
    /// Returns it before the first event.
    pub(super) fn new(
        cluster: &'static Cluster,
        broker: &'a Broker,
        release: &'a Release,
        home: &'a Namespace,
        scenes: Vec<Scene<'a>>,
        seed: u64,
    ) -> Self {
        let (random, happened, begun) = (Rng::with_seed(seed), BTreeMap::new(), Instant::now());
        Self { cluster, broker, release, home, scenes, random, happened, begun }
    }

    /// Causes a random event. Those that end operators only if `operators` is set: without an API server a leader ends,
    /// too.
    pub(super) fn cause_one(&mut self, operators: bool) {
        let all: u32 = CHANCES.iter().map(|(_, chance)| chance).sum();
        let mut drawn = self.random.u32(0..all);
        let event = CHANCES.iter().find_map(|(event, chance)| match drawn.checked_sub(*chance) {
            Some(left) => {
                drawn = left;
                None
            }
            None => Some(*event),
        });
        let Some(event) = event else { return };
        let ends_operators =
            matches!(event, Event::OperatorKilled | Event::OperatorPodKilled | Event::ApiServerKilled);
        if operators || !ends_operators {
            self.cause(event);
        }
    }

    /// Returns the seconds until the next event.
    pub(super) fn pause(&mut self) -> u64 {
        self.random.u64(1..=6)
    }

    /// Returns how often each event has happened.
    pub(super) fn happened(&self) -> String {
        let each: Vec<String> =
            self.happened.iter().map(|(event, times)| format!("{event:?} {times}")).collect();
        each.join(", ")
    }

    /// Waits until every StockWatch is computed with as it is now.
    pub(super) fn await_applied(&self) {
        self.scenes.iter().for_each(|scene| scene.await_applied(self.home));
    }

    /// Returns the scenes, after the last event.
    pub(super) fn end(self) -> Vec<Scene<'a>> {
        self.scenes
    }

    fn cause(&mut self, event: Event) {
        *self.happened.entry(event).or_default() += 1;
        eprintln!("{:>6.1} s  {event:?}", self.begun.elapsed().as_secs_f64());
        let (home, release) = (self.home, self.release);
        match event {
            Event::Retuned => {
                let tolerance = self.tolerance();
                self.scene().retune(home, &tolerance);
            }
            Event::Reshaped => {
                let windows = self.windows();
                self.scene().patch(home, &json!({"windows": windows}));
            }
            Event::Scaled => {
                let replicas = if self.random.u8(0..4) == 0 { 2 } else { 1 };
                self.scene().scale(home, replicas);
            }
            Event::WorkerKilled => self.worker().iter().for_each(Container::end),
            Event::WorkerPodKilled => self.worker().iter().for_each(|worker| home.kill_pod(worker)),
            Event::OperatorKilled => self.operator().iter().for_each(Container::end),
            Event::OperatorPodKilled => {
                self.operator().iter().for_each(|operator| release.kill_pod(operator));
            }
            Event::BrokerKilled => self.without(Broker::kill, Broker::restart),
            Event::BrokerRestarted => self.without(Broker::stop, Broker::restart),
            Event::BrokerFrozen => self.without(Broker::pause, Broker::resume),
            Event::ApiServerKilled => {
                let victim = self.worker();
                let down = self.cluster.without_api_server();
                victim.iter().for_each(Container::end);
                outage(self.random.u64(2..=20));
                drop(down);
            }
        }
    }

    /// The broker is away for a while, in which one worker is killed and one StockWatch edited.
    fn without(&mut self, strike: fn(&Broker), mend: fn(&Broker)) {
        strike(self.broker);
        for event in [Event::Retuned, Event::WorkerKilled] {
            outage(self.random.u64(1..=8));
            self.cause(event);
        }
        mend(self.broker);
    }

    fn scene(&mut self) -> &mut Scene<'a> {
        let one = self.random.usize(0..self.scenes.len());
        &mut self.scenes[one]
    }

    /// A worker of one StockWatch; none if it has none that runs at the moment.
    fn worker(&mut self) -> Option<Container> {
        let pods = self.scene().pods();
        let workers = self.home.containers(&pods);
        self.random.choice(workers)
    }

    fn operator(&mut self) -> Option<Container> {
        self.random.choice(self.release.containers())
    }

    fn tolerance(&mut self) -> String {
        format!("0.0{}%", self.random.u8(1..=9))
    }

    /// One to four windows with a tolerance each: that of the accounts, and others.
    fn windows(&mut self) -> Vec<Value> {
        let count = self.random.usize(0..=3);
        let mut minutes = self.random.choose_multiple([7, 10, 15], count);
        minutes.push(5);
        minutes.sort_unstable();
        let window = |minutes: i32| json!({"duration": format!("{minutes}m"), "tolerance": self.tolerance()});
        minutes.into_iter().map(window).collect()
    }
}
