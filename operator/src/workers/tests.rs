#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::extract::RawQuery;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

/// A worker whose answer can be changed; it is told what it was asked.
struct Worker {
    endpoint: Endpoint,
    answer: watch::Sender<Value>,
    asked: watch::Receiver<String>,
}

impl Worker {
    async fn start(answer: Value) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), answer).await
    }

    async fn start_at(address: IpAddr, answer: Value) -> Self {
        let (answer, answers) = watch::channel(answer);
        let (note, asked) = watch::channel(String::new());
        let config = move |RawQuery(query): RawQuery| {
            note.send_replace(query.unwrap_or_default());
            let answer = answers.borrow().clone();
            async move { Json(answer) }
        };
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new().route("/config", get(config));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let endpoint = Endpoint { pod: format!("pod-{port}"), uid: port.to_string(), address, port };
        Self { endpoint, answer, asked }
    }
}

fn computes_with(generation: i64) -> Value {
    json!({"uid": "u", "generation": generation, "appliedGeneration": generation, "ignored": [], "error": null, "version": "1"})
}

struct Scene {
    queue: Arc<Queue>,
    workers: Workers,
    key: Key,
}

impl Scene {
    fn new() -> Self {
        let queue = Arc::new(Queue::default());
        let workers = Workers::new(Arc::clone(&queue), Arc::default());
        Self { queue, workers, key: Key::new("market", "tech") }
    }

    fn observe(&self, generation: i64, ready: &[&Worker]) -> Report {
        let ready: Vec<Endpoint> = ready.iter().map(|worker| worker.endpoint.clone()).collect();
        self.workers.observe(&self.key, "u", generation, &ready)
    }

    /// Waits until something changed.
    async fn woken(&self) {
        let key = timeout(DEADLINE, self.queue.next()).await.expect("nothing changed").expect("stopped");
        self.queue.done(&key);
    }

    async fn until(&self, generation: i64, ready: &[&Worker], test: impl Fn(&Report) -> bool) -> Report {
        loop {
            let report = self.observe(generation, ready);
            if test(&report) {
                return report;
            }
            self.woken().await;
        }
    }
}

fn applied(report: &Report) -> Vec<Option<i64>> {
    report.pods.iter().map(|pod| pod.answer.as_ref().and_then(|answer| answer.applied)).collect()
}

#[tokio::test]
async fn a_ready_worker_is_asked_and_the_answer_wakes_its_stockwatch() {
    let (scene, worker) = (Scene::new(), Worker::start(computes_with(7)).await);
    assert_eq!(applied(&scene.observe(7, &[&worker])), [None]);
    scene.woken().await;
    assert_eq!(applied(&scene.observe(7, &[&worker])), [Some(7)]);
    assert_eq!(*worker.asked.borrow(), "generation=7&wait=2000ms");
}

#[tokio::test]
async fn a_worker_is_asked_at_an_ipv6_address() {
    let worker = Worker::start_at(Ipv6Addr::LOCALHOST.into(), computes_with(7)).await;
    let scene = Scene::new();
    scene.until(7, &[&worker], |report| applied(report) == [Some(7)]).await;
}

#[tokio::test]
async fn a_worker_that_is_behind_is_asked_until_it_is_not() {
    let (scene, worker) = (Scene::new(), Worker::start(computes_with(6)).await);
    scene.until(7, &[&worker], |report| applied(report) == [Some(6)]).await;
    worker.answer.send_replace(computes_with(7));
    scene.until(7, &[&worker], |report| applied(report) == [Some(7)]).await;
}

#[tokio::test]
async fn a_worker_that_has_answered_is_asked_again_only_about_something_newer() {
    let (scene, mut worker) = (Scene::new(), Worker::start(computes_with(7)).await);
    scene.until(7, &[&worker], |report| applied(report) == [Some(7)]).await;
    worker.asked.mark_unchanged();
    worker.answer.send_replace(computes_with(8));
    scene.observe(7, &[&worker]);
    tokio::task::yield_now().await;
    assert!(!worker.asked.has_changed().unwrap());
    scene.until(8, &[&worker], |report| applied(report) == [Some(8)]).await;
}

#[tokio::test]
async fn a_worker_that_evaluates_an_edit_is_asked_until_it_has() {
    let mut evaluating = computes_with(7);
    evaluating["evaluating"] = json!(true);
    let (scene, worker) = (Scene::new(), Worker::start(evaluating).await);
    let edit =
        |report: &Report| report.pods[0].answer.as_ref().is_some_and(|answer| answer.last_edit.is_some());
    let report = scene.until(7, &[&worker], |report| applied(report) == [Some(7)]).await;
    assert!(!edit(&report));
    let mut evaluated = computes_with(7);
    evaluated["lastEdit"] = json!({"generation": 7, "hours": 24, "partitions": {}, "complete": false});
    worker.answer.send_replace(evaluated);
    scene.until(7, &[&worker], edit).await;
}

#[tokio::test]
async fn a_worker_that_was_not_ready_in_between_is_asked_again() {
    let (scene, mut worker) = (Scene::new(), Worker::start(computes_with(7)).await);
    scene.until(7, &[&worker], |report| applied(report) == [Some(7)]).await;
    worker.asked.mark_unchanged();
    assert!(scene.observe(7, &[]).pods.is_empty());
    assert_eq!(applied(&scene.observe(7, &[&worker])), [None]);
    timeout(DEADLINE, worker.asked.changed()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_worker_that_cannot_be_reached_is_said_to_be_so() {
    let (scene, worker) = (Scene::new(), Worker::start(computes_with(7)).await);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let gone = Worker { endpoint: Endpoint { port, ..worker.endpoint.clone() }, ..worker };
    let report = scene.until(7, &[&gone], |report| report.pods[0].unreachable).await;
    assert_eq!(applied(&report), [None]);
}

#[tokio::test]
async fn the_worker_of_an_older_stockwatch_of_this_name_does_not_count() {
    let mut other = computes_with(7);
    other["uid"] = json!("other");
    let (scene, worker) = (Scene::new(), Worker::start(other).await);
    let report = scene.until(7, &[&worker], |report| report.pods[0].unreachable).await;
    assert_eq!(applied(&report), [None]);
}

#[tokio::test]
async fn a_worker_that_refuses_a_spec_says_so() {
    let mut refusing = computes_with(6);
    refusing["error"] = json!("no");
    let (scene, worker) = (Scene::new(), Worker::start(refusing).await);
    let report = scene.until(7, &[&worker], |report| report.pods[0].answer.is_some()).await;
    assert!(report.pods[0].answer.as_ref().unwrap().refuses);
}
