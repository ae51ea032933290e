//! A worker of the release before episodes and accounts takes over from this one and back while quotes flow. `make
//! test-faults` builds that release's once, and says where it is.

use std::path::PathBuf;

use serde_json::json;
use stockwatch_tests::{
    Broker, Held, Launch, Market, Scene, Ticker, Topic, Watch, Worker, assert_ledger, soon, wait_for,
};

const ENTITIES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// The older release's program.
fn older() -> PathBuf {
    let older = std::env::var_os("STOCKWATCH_BEFORE").map(PathBuf::from);
    older.expect("STOCKWATCH_BEFORE: the worker of bench/before.sh")
}

/// Both releases have written alarms.
fn assert_both_have_judged(scene: &Scene<'_>) {
    let of_older = |alarm| scene.watch.is_of_older(alarm);
    let alarms: Vec<bool> = scene.read(Topic::Alarms).iter().flatten().map(of_older).collect();
    assert!(alarms.contains(&true) && alarms.contains(&false), "both have judged");
}

#[test]
#[ignore = "needs an older worker: make test-faults"]
fn an_older_worker_takes_over_and_back_and_nothing_is_lost_or_twice() {
    let older = older();
    let mut scene = Scene::new(Broker::shared(), "takeover", |watch| {
        watch.tickers = ENTITIES.map(Ticker::of).to_vec();
        watch.windows = vec![(1, "0".into()), (5, "0.05%".into()), (60, "0.1".into())];
        watch.has_older = true;
    });
    let feeder = scene.feed(Market::new(40, &ENTITIES), 300);
    let mut worker = scene.worker("w0");
    for round in 1..=8_u8 {
        scene.await_progress(300);
        scene.edit(|watch| {
            watch.windows[1].1 = format!("0.0{round}%");
            if round % 4 == 0 {
                watch.windows[2].0 += 30;
            }
        });
        let program = (round % 2 == 1).then(|| older.clone());
        let launch = Launch { program, ..scene.launch(&format!("w{round}")) };
        let beside = (round % 3 > 0).then(|| launch.start());
        if beside.is_some() {
            // Both have partitions for a while.
            scene.await_progress(300);
        }
        if round % 4 < 2 {
            worker.kill();
        } else {
            worker.terminate();
        }
        worker = beside.unwrap_or_else(|| launch.start());
        worker.await_ready();
    }
    scene.await_progress(300);
    feeder.stop();
    scene.assert_right();
    assert_both_have_judged(&scene);
}

/// A StockWatch with accounts, whose workers are of one release at a time.
struct Releases<'b> {
    scene: Scene<'b>,
    /// The older release's program.
    older: PathBuf,
    is_older: bool,
    /// From which raw offsets on accounts were kept, or left as they were: the older release knows none. By partition.
    held: Vec<Vec<Held>>,
}

impl<'b> Releases<'b> {
    fn new(broker: &'b Broker, name: &str) -> Self {
        let scene = Scene::new(broker, name, |watch| {
            watch.tickers = ENTITIES.map(Ticker::of).to_vec();
            watch.windows = vec![(1, "0".into()), (5, "0.05%".into()), (60, "0.1".into())];
            watch.trade = json!({"window": "5m", "feeBps": "5", "slippageBps": "2", "stopLoss": "1%"});
            watch.has_older = true;
        });
        let mut releases = Self { scene, older: older(), is_older: false, held: vec![Vec::new(); 3] };
        releases.note([0; 3]);
        releases
    }

    /// The release that runs now computes each partition from these raw offsets on.
    fn note(&mut self, offsets: [i64; 3]) {
        // Entries name the generation in force: edits come while quotes flow, so it is not known which.
        let watch = Watch { generation: None, ..self.scene.watch.clone() };
        for (held, from) in self.held.iter_mut().zip(offsets) {
            held.push(Held { from, watch: watch.clone(), has_ledger: !self.is_older });
        }
    }

    /// Starts a worker of the release that runs now, and waits until it is ready.
    fn worker(&self, id: &str) -> Worker {
        let program = self.is_older.then(|| self.older.clone());
        let mut worker = Launch { program, ..self.scene.launch(id) }.start();
        worker.await_ready();
        worker
    }

    /// The other release goes on from where a worker of this one ends in order: after that nothing is uncommitted, so it
    /// is known which quotes each of them has judged. No other worker runs.
    fn hand_over(&mut self, id: &str) {
        let worker = self.worker(id);
        self.scene.await_progress(100);
        worker.terminate();
        self.is_older = !self.is_older;
        let committed = self.scene.committed();
        self.note([0, 1, 2].map(|partition| committed.get(&partition).map_or(0, |(offset, _)| *offset)));
    }

    /// Another worker joins, then the first one is killed; returns the other one.
    fn rebalance(&self, worker: Worker, id: &str) -> Worker {
        let other = self.worker(id);
        wait_for(60, "all partitions owned, some by each", || {
            let owned = [&worker, &other].map(|worker| worker.metric("partitions_owned"));
            soon(owned.iter().sum::<f64>() == 3.0 && owned.iter().all(|owned| *owned > 0.0), owned)
        });
        self.scene.await_progress(200);
        worker.kill();
        self.scene.await_progress(200);
        other
    }

    /// Alarms with their episodes are the oracle's whoever judged, and so is the ledger: what older workers judge leaves
    /// accounts as they were, and the next worker of this release goes on with them. Returns how many fills there are.
    fn assert_right(&self) -> usize {
        let outputs = self.scene.assert_right();
        let (alarms, ledger) = (self.scene.read(Topic::Alarms), self.scene.read(Topic::Ledger));
        for (partition, outputs) in outputs.iter().enumerate() {
            assert_ledger(&outputs.accepted, &alarms[partition], &ledger[partition], &self.held[partition]);
        }
        ledger.iter().flatten().filter(|entry| entry.json()["type"] == "fill").count()
    }
}

/// Kills the broker, and starts it again once the worker has noticed.
fn outlive_outage(broker: &Broker, worker: &mut Worker) {
    broker.kill();
    let ended = "the session with the brokers ended";
    wait_for(60, ended, || soon(worker.log().contains(ended), worker.log()));
    broker.restart();
    worker.await_ready();
}

#[test]
#[ignore = "needs an older worker: make test-faults"]
fn alarms_episodes_and_the_ledger_are_right_over_kills_edits_rebalances_an_outage_and_an_older_worker() {
    let broker = Broker::start();
    let mut releases = Releases::new(&broker, "all-faults");
    let mut random = fastrand::Rng::with_seed(41);
    let feeder = releases.scene.feed(Market::new(41, &ENTITIES), 300);
    for round in 0..20_u32 {
        // To the older release and back.
        if [7, 14].contains(&round) {
            releases.hand_over(&format!("last-before-{round}"));
        }
        let mut worker = releases.worker(&format!("w{round}"));
        releases.scene.await_progress(random.i64(1..300));
        // Nothing that the older release does not know, but for what only episodes and accounts depend on.
        releases.scene.edit(|watch| {
            watch.windows[1].1 = format!("0.0{}%", 1 + round % 9);
            watch.alarms = json!({"quiet": format!("{}m", 5 + round % 4)});
            if round % 4 == 0 {
                watch.windows[2].0 += 30;
            }
        });
        if random.bool() {
            worker.await_applied(releases.scene.generation());
        }
        match round {
            4 => outlive_outage(&broker, &mut worker),
            2 | 10 | 17 => worker = releases.rebalance(worker, &format!("beside-{round}")),
            _ => {}
        }
        releases.scene.await_progress(random.i64(1..300));
        worker.kill();
    }
    let _last = releases.worker("last");
    releases.scene.await_progress(300);
    feeder.stop();
    let fills = releases.assert_right();
    assert!(fills > 20, "{fills} fills");
    assert_both_have_judged(&releases.scene);
}
