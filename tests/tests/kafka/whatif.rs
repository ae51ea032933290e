//! `stockwatch-worker whatif` against what the oracle computes and against what workers really wrote.

use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use stockwatch_tests::{
    Broker, Market, Scene, Ticker, Topic, Watch, Worker, paper, program, quote, ratio, soon, wait_for,
};

const T: u64 = Market::START;
const ENTITIES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn scene(name: &str) -> Scene<'static> {
    Scene::new(Broker::shared(), name, |watch| {
        watch.tickers = ENTITIES.map(Ticker::of).to_vec();
        watch.windows = vec![(1, "0".into()), (5, "0.05%".into()), (60, "0.1".into())];
    })
}

/// Runs the program on the scene's file, as it was last written.
fn run(scene: &Scene, arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.arg("whatif").arg("--watch-file").arg(scene.path("watch.yaml")).args(arguments);
    command.stdin(Stdio::null()).output().unwrap()
}

/// The answer as JSON.
fn answer(scene: &Scene, arguments: &[&str]) -> Value {
    let output = run(scene, &[arguments, &["--output", "json"]].concat());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {text}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Waits until the steady feed has written so many more records: a length of time that quotes measure.
fn let_flow(scene: &Scene, records: i64) {
    let raw = scene.watch.topic(Topic::Raw);
    let written = || (0..3).map(|partition| scene.topics.end(&raw, partition)).sum::<i64>();
    let goal = written() + records;
    wait_for(60, "the feed", || soon(written() >= goal, written()));
}

/// Alarms and episodes of each window of an answer's rules.
fn figures(judged: &Value) -> Vec<(u64, u64)> {
    let windows = judged["windows"].as_array().unwrap();
    windows.iter().map(|w| (w["alarms"].as_u64().unwrap(), w["episodes"].as_u64().unwrap())).collect()
}

/// The same of the alarms that were written.
fn written(scene: &Scene) -> Vec<(u64, u64)> {
    let alarms: Vec<Value> = scene.read(Topic::Alarms).concat().iter().map(|alarm| alarm.json()).collect();
    let of = |minutes: u32| {
        let own: Vec<&Value> = alarms.iter().filter(|alarm| alarm["windowtime"] == minutes).collect();
        let episodes: BTreeSet<String> = own.iter().map(|alarm| alarm["episode"].to_string()).collect();
        (u64::try_from(own.len()).unwrap(), u64::try_from(episodes.len()).unwrap())
    };
    scene.watch.windows.iter().map(|(minutes, _)| of(*minutes)).collect()
}

#[test]
fn the_rules_in_force_give_what_was_written_and_a_candidate_what_the_oracle_says() {
    let mut scene = scene("whatif");
    let worker = scene.worker("w");
    scene.send_market(&mut Market::new(51, &ENTITIES), 3_000);
    let quotes = scene.assert_right();
    worker.terminate();

    let mut candidate = scene.watch.clone();
    candidate.windows[1].1 = "0.2%".into();
    candidate.alarms = json!({"quiet": "3m", "minCount": 2});
    let in_force = std::mem::replace(&mut scene.watch, candidate);
    let file = scene.write("candidate.yaml");
    let candidate = std::mem::replace(&mut scene.watch, in_force);

    let answer = answer(&scene, &["--candidate", file.to_str().unwrap(), "--by", "ticker"]);
    let accepted: Vec<_> = quotes.iter().flat_map(|outputs| &outputs.accepted).collect();
    assert_eq!(answer["quotes"]["count"], accepted.len());
    assert_eq!(figures(&answer["rules"][0]), written(&scene));
    let alarms = |watch: &Watch| accepted.iter().map(|quote| watch.alarms(quote).len()).sum::<usize>();
    assert_eq!(answer["rules"][1]["alarms"], alarms(&candidate));
    let tickers = answer["rules"][1]["tickers"].as_array().unwrap();
    let sum: u64 = tickers.iter().map(|ticker| ticker["alarms"].as_u64().unwrap()).sum();
    assert_eq!(answer["rules"][1]["alarms"], sum);
    let number = |field: &str| answer["rules"][1][field].as_i64().unwrap();
    let before = answer["rules"][0]["alarms"].as_i64().unwrap();
    assert_eq!(number("alarms"), before + number("gained") - number("lost"));
    assert_eq!(answer["incomplete"], json!([]));
    let all = alarms(&scene.watch);
    assert_eq!(answer["fidelity"], json!({"written": all, "found": all, "added": 0, "aside": 0}));
}

#[test]
fn paper_accounts_are_those_of_the_ledger_and_of_a_candidate_what_the_oracle_says() {
    let mut scene = Scene::new(Broker::shared(), "whatif-paper", |watch| {
        watch.tickers = ENTITIES.map(Ticker::of).to_vec();
        watch.windows = vec![(1, "0".into()), (5, "0.05%".into())];
        watch.trade = json!({"window": "5m", "feeBps": "5", "feeMinimum": "1", "stopLoss": "0.1%"});
    });
    let worker = scene.worker("w");
    scene.send_market(&mut Market::new(55, &ENTITIES), 3_000);
    let quotes = scene.assert_right();
    worker.terminate();

    let mut candidate = scene.watch.clone();
    candidate.windows[0].1 = "0.1%".into();
    candidate.trade =
        json!({"window": "1m", "enter": "Down", "budget": "50.5", "slippageBps": "2", "maxWait": "1m"});
    let in_force = std::mem::replace(&mut scene.watch, candidate);
    let file = scene.write("candidate.yaml");
    let candidate = std::mem::replace(&mut scene.watch, in_force);
    let answer = answer(&scene, &["--candidate", file.to_str().unwrap(), "--by", "ticker"]);

    let number = |nanos: i128| ratio(nanos, 1_000_000_000, 9).parse::<f64>().unwrap();
    for (judged, watch) in answer["rules"].as_array().unwrap().iter().zip([&scene.watch, &candidate]) {
        let each = || quotes.iter().map(|outputs| paper(&outputs.accepted, watch));
        let (said, money) = (&judged["paper"], &judged["paper"]["money"][0]);
        let fills: u64 = each().map(|paper| paper.fills).sum();
        assert!(fills > 20 && said["fills"] == fills, "{fills}: {said}");
        for (field, expected) in [
            ("profit", each().map(|paper| paper.profit).sum()),
            ("open", each().map(|paper| paper.open).sum()),
            ("hold", each().map(|paper| paper.hold).sum()),
        ] {
            assert_eq!(money[field].as_f64().unwrap(), number(expected), "{field}: {said}");
        }
        let tickers = judged["tickers"].as_array().unwrap();
        assert_eq!(tickers.iter().map(|one| one["paper"]["fills"].as_u64().unwrap()).sum::<u64>(), fills);
    }
    let written = scene.read(Topic::Ledger).concat();
    let fills = written.iter().filter(|record| record.json()["type"] == "fill").count();
    assert_eq!(answer["rules"][0]["paper"]["fills"], fills);
    assert_eq!(answer["rules"][0]["windows"][1]["paper"], answer["rules"][0]["paper"]);
    let table = String::from_utf8(run(&scene, &[]).stdout).unwrap();
    assert!(table.contains("paper ") && table.contains("HOLD"), "{table}");
}

#[test]
fn every_alarm_of_ten_edits_a_crash_and_a_rebalance_is_found_with_its_id_and_none_is_added() {
    let mut scene = scene("whatif-edits");
    let mut random = fastrand::Rng::with_seed(52);
    let feeder = scene.feed(Market::new(52, &ENTITIES).moody(), 300);
    let mut first = scene.worker("first");
    let mut second = None;
    for edit in 0..10 {
        let_flow(&scene, random.i64(100..400));
        scene.edit(|watch| {
            for (_, tolerance) in &mut watch.windows {
                *tolerance = ["0", "0.05%", "0.25", "0.5%"][random.usize(0..4)].into();
            }
            watch.alarms = json!({
                "gaps": (["Alarm", "Skip"][random.usize(0..2)]),
                "minCount": random.u8(1..3),
                "quiet": format!("{}m", random.u8(0..20)),
            });
        });
        match edit {
            3 => {
                first.kill();
                first = scene.worker("again");
            }
            6 => second = Some(scene.worker("second")),
            _ => {}
        }
    }
    let generation = scene.generation();
    first.await_applied(generation);
    let_flow(&scene, 400);
    feeder.stop();
    scene.assert_right();
    drop((first, second));
    let all = u64::try_from(scene.read(Topic::Alarms).concat().len()).unwrap();
    let answer = answer(&scene, &[]);
    assert_eq!(answer["fidelity"], json!({"written": all, "found": all, "added": 0, "aside": 0}));
}

#[test]
fn an_edit_is_evaluated_beside_the_worker_and_config_says_what_it_changes() {
    let mut scene = scene("whatif-retuned");
    let worker = scene.worker("w");
    scene.send_market(&mut Market::new(54, &ENTITIES), 2_000);
    scene.settle();
    assert_eq!(worker.config().get("lastEdit"), None);
    let answer = answer(&scene, &["--set", "5m=0.3%"]);
    scene.edit(|watch| watch.windows[1].1 = "0.3%".into());
    worker.await_applied(2);
    // An edit of something else leaves the evaluation to its end.
    scene.edit(|watch| watch.source = json!({"external": {"expectEvery": "10m"}}));
    let edit = evaluated(&worker, 2);
    assert_eq!(worker.config()["evaluating"], false);
    assert_eq!(edit["hours"], 24);
    let rules = &answer["rules"];
    assert_eq!(sums(&edit), [&rules[0], &rules[1]].map(all));

    // Another window has other averages.
    let before = self::answer(&scene, &[]);
    scene.edit(|watch| watch.windows[1] = (7, "0.3%".into()));
    let edit = evaluated(&worker, 4);
    assert_eq!(sums(&edit), [&before["rules"][0], &self::answer(&scene, &[])["rules"][0]].map(all));
    assert_ne!(sums(&edit)[0], sums(&edit)[1]);
}

/// What a worker's `/config` says of the edit of a generation, once it is complete.
fn evaluated(worker: &Worker, generation: u64) -> Value {
    wait_for(60, "the edit's evaluation", || {
        let edit = worker.config()["lastEdit"].clone();
        let is_it = edit["complete"] == true && edit["generation"] == generation;
        if is_it { Ok(edit) } else { Err(edit.to_string()) }
    })
}

/// Alarms and episodes before and after an edit, of all three partitions.
fn sums(edit: &Value) -> [(u64, u64); 2] {
    let partitions = edit["partitions"].as_object().unwrap();
    assert_eq!(partitions.len(), 3);
    let sum = |field: &str| partitions.values().map(|partition| partition[field].as_u64().unwrap()).sum();
    [("alarmsBefore", "episodesBefore"), ("alarmsAfter", "episodesAfter")]
        .map(|(alarms, episodes)| (sum(alarms), sum(episodes)))
}

/// Alarms and episodes of all windows of an answer's rules.
fn all(judged: &Value) -> (u64, u64) {
    (judged["alarms"].as_u64().unwrap(), judged["episodes"].as_u64().unwrap())
}

#[test]
fn a_sweep_judges_forty_tolerances_in_one_pass() {
    let scene = scene("whatif-sweep");
    scene.send_market(&mut Market::new(53, &ENTITIES), 2_000);
    let answer = answer(&scene, &["--sweep", "5m=0.01%..2%"]);
    let rules = answer["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 41);
    let of =
        |window: usize| -> Vec<u64> { rules[1..].iter().map(|judged| figures(judged)[window].0).collect() };
    assert!(of(1).is_sorted_by(|more, less| more >= less), "{:?}", of(1));
    assert!(of(1)[0] > of(1)[39]);
    assert!(of(0).iter().all(|alarms| *alarms == of(0)[0]), "the other windows stay");
    // What was never written by a worker is not compared, and whether something is added is not known.
    assert_eq!(answer["fidelity"], json!({"written": 0, "found": 0, "added": null, "aside": 0}));
    let groups = scene.topics.groups();
    assert!(!groups.contains(&scene.watch.group()), "it joins no group and commits nothing");
}

#[test]
fn more_alarms_than_a_gate_allows_are_exit_code_3() {
    let scene = Scene::new(Broker::shared(), "whatif-gate", |watch| {
        watch.windows = vec![(5, "1%".into())];
    });
    for (minute, price) in [(0, "100"), (1, "100"), (2, "200")] {
        scene.send(&quote("a", price, T + 60 * minute));
    }
    scene.flush();
    let code = |arguments: &[&str]| run(&scene, arguments).status.code();
    assert_eq!(code(&["--most-alarms", "1"]), Some(0));
    assert_eq!(code(&["--most-alarms", "0"]), Some(3));
    assert_eq!(code(&["--most-alarms", "0", "--set", "5m=500%"]), Some(0), "the candidate counts");
    assert_eq!(code(&["--set", "10m=1%"]), Some(2));
    let table = String::from_utf8(run(&scene, &["--set", "5m=500%"]).stdout).unwrap();
    assert!(table.contains("in force") && table.contains("5m=500%"), "{table}");
}

#[test]
fn without_a_stockwatch_it_takes_the_copy_that_the_pod_computes_with() {
    let scene = Scene::new(Broker::shared(), "whatif-pod", |_| {});
    scene.send(&quote("a", "1", T));
    scene.flush();
    let state = tempfile::tempdir().unwrap();
    let whatif = || {
        let mut command = Command::new(program());
        command.args(["whatif", "--output", "json", "--spec-directory", "/nowhere", "--state-directory"]);
        command.arg(state.path()).stdin(Stdio::null()).output().unwrap()
    };
    let none = whatif();
    assert_eq!(none.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&none.stderr).contains("--watch-file"));
    let text = std::fs::read_to_string(scene.path("watch.yaml")).unwrap();
    let document: Value = serde_yaml::from_str(&text).unwrap();
    std::fs::write(state.path().join("stockwatch.json"), document.to_string()).unwrap();
    let answer: Value = serde_json::from_slice(&whatif().stdout).unwrap();
    assert_eq!((&answer["quotes"]["count"], &answer["generation"]), (&json!(1), &json!(1)));
    // A newer copy that the worker could not compute with either.
    let spec = tempfile::tempdir().unwrap();
    let mut newer = document;
    (newer["metadata"]["generation"], newer["spec"]["windows"]) = (json!(2), json!([]));
    std::fs::write(spec.path().join("stockwatch.json"), newer.to_string()).unwrap();
    for command in [&["whatif"][..], &["tail", "averages", "--max", "0"]] {
        let mut both = Command::new(program());
        both.args(command)
            .arg("--spec-directory")
            .arg(spec.path())
            .arg("--state-directory")
            .arg(state.path());
        let output = both.stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {} {text}", output.status);
    }
}
