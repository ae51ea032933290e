//! Objects that the API server refuses, for whatever reason, are said to be and tried again by themselves.

use std::time::Instant;

use serde_json::{Value, json};
use stockwatch_tests::{
    Audit, Cluster, Namespace, OWNED, Obstacle, Release, Request, Until, Watch, Webhook, condition, soon,
    wait_for,
};

/// For what is refused to be said: 5 s on a machine that has nothing else to do.
const SAID: u64 = 20;
/// For all to be well after the obstacle is gone.
const MENDED: u64 = 60;

/// Waits until Ready says of the last generation that it does not hold, for this reason, and gives its message.
fn await_refused(home: &Namespace, object: &str) -> String {
    let began = Instant::now();
    let message = wait_for(SAID, &format!("{object} is said to be refused"), || {
        let watch = home.get(object);
        let (said, generation) = (condition(&watch, "Ready"), &watch["metadata"]["generation"]);
        let refused = said["status"] == "False" && said["reason"] == "ObjectRefused";
        soon(refused && said["observedGeneration"] == *generation, said)?;
        Ok(said["message"].as_str().unwrap().to_owned())
    });
    eprintln!("{}: refused, said after {:?}", home.name(), began.elapsed());
    message
}

fn await_ready(home: &Namespace, object: &str, began: Instant) {
    home.wait(MENDED, object, &Until::ready());
    eprintln!("{}: Ready {:?} after the obstacle went", home.name(), began.elapsed());
}

/// The notes of the events of refusals.
fn events(home: &Namespace) -> Vec<String> {
    let note = |event: &Value| event["message"].as_str().unwrap_or_default().to_owned();
    home.events("ObjectRefused", "tech").iter().map(note).collect()
}

/// The kinds of objects that the StockWatch `tech` has.
fn objects(home: &Namespace) -> Vec<&'static str> {
    let is_there = |kind: &&str| home.try_get(&format!("{kind}/tech-stockwatch")).is_ok();
    OWNED.into_iter().filter(is_there).collect()
}

type Obstruct = for<'a> fn(&'a Namespace, &str) -> Obstacle<'a>;

struct Case {
    home: Namespace,
    /// What is refused, as the message begins.
    object: &'static str,
    words: &'static str,
    /// What is there all the same.
    others: Vec<&'static str>,
    obstruct: Obstruct,
}

fn case(object: &'static str, words: &'static str, missing: &[&str], obstruct: Obstruct) -> Case {
    let others = OWNED.into_iter().filter(|kind| !missing.contains(kind)).collect();
    let home = Namespace::create(Cluster::shared(), "refused");
    Case { home, object, words, others, obstruct }
}

#[test]
fn whatever_refuses_an_object_is_said_in_its_own_words_and_ends_by_itself() {
    let release = Release::shared();
    let user = release.user();
    let cases = [
        case("Service", "exceeded quota: none", &["service"], |home, _| {
            Obstacle::quota(home, "count/services")
        }),
        case("Deployment", "exceeded quota: none", &["deployment"], |home, _| {
            Obstacle::quota(home, "count/deployments.apps")
        }),
        case("ConfigMap", "denied the request: not here", &["configmap", "deployment"], |home, user| {
            Obstacle::webhook(home, user, "configmaps", Webhook::No(400, "not here".into()))
        }),
        case("Service", "denied the request: busy", &["service"], |home, user| {
            Obstacle::webhook(home, user, "services", Webhook::No(409, "busy".into()))
        }),
        case("Deployment", "failed calling webhook", &["deployment"], |home, user| {
            Obstacle::webhook(home, user, "deployments", Webhook::Garbage)
        }),
        case("Role", "denied request: no roles", &["role", "rolebinding", "deployment"], |home, user| {
            Obstacle::policy(home, user, "roles", "Invalid", "no roles")
        }),
        case("PodDisruptionBudget", "denied request: no budgets", &["poddisruptionbudget"], |home, user| {
            Obstacle::policy(home, user, "poddisruptionbudgets", "Forbidden", "no budgets")
        }),
    ];
    let obstacles: Vec<Obstacle<'_>> = cases.iter().map(|case| (case.obstruct)(&case.home, &user)).collect();
    for Case { home, object, words, others, .. } in &cases {
        home.simulate("tech", |_| {});
        let message = await_refused(home, "stockwatch/tech");
        let begin = format!("the API server refuses {object} tech-stockwatch");
        assert!(message.starts_with(&begin) && message.contains(words), "{message}");
        wait_for(60, "all the others", || {
            let there = objects(home);
            soon(there == *others, there)
        });
        wait_for(10, "one event", || soon(events(home) == [message.clone()], events(home)));
    }
    for (obstacle, case) in obstacles.into_iter().zip(&cases) {
        obstacle.lift();
        await_ready(&case.home, "stockwatch/tech", Instant::now());
        assert_eq!(objects(&case.home), OWNED);
        assert_eq!(events(&case.home).len(), 1);
    }
}

#[test]
fn a_webhook_that_never_answers_is_said_to_hang_and_nobody_waits_for_it_for_ever() {
    let release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "hangs");
    let obstacle = Obstacle::webhook(&home, &release.user(), "services", Webhook::Silence);
    home.simulate("tech", |_| {});
    home.wait(240, "stockwatch/tech", &Until::because("Stalled", "WritesTimeOut"));
    let said = condition(&home.get("stockwatch/tech"), "Ready")["message"].clone();
    assert!(said.as_str().unwrap().starts_with("Service tech-stockwatch: "), "{said}");
    obstacle.lift();
    await_ready(&home, "stockwatch/tech", Instant::now());
}

#[test]
fn pods_that_a_quota_refuses_are_said_to_be_in_its_words_and_come_when_it_goes() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "refused");
    let obstacle = Obstacle::quota(&home, "pods");
    home.simulate("tech", |_| {});
    home.wait(60, "stockwatch/tech", &Until::because("Ready", "WorkersNotStarting"));
    let said = condition(&home.get("stockwatch/tech"), "WorkerAvailable")["message"].clone();
    assert!(said.as_str().unwrap().contains("exceeded quota: none"), "{said}");
    obstacle.lift();
    // The ReplicaSet tries again with growing pauses of its own.
    home.wait(180, "stockwatch/tech", &Until::ready());
}

#[test]
fn a_worker_whose_image_is_not_there_has_the_kubelets_own_sentence() {
    let _release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "image");
    home.simulate("tech", |_| {});
    home.wait(120, "stockwatch/tech", &Until::ready());
    home.patch("stockwatch/tech", &json!({"spec": {"worker": {"image": "localhost/not-there:1"}}}));
    wait_for(120, "the image in the message", || {
        let said = condition(&home.get("stockwatch/tech"), "WorkerAvailable").clone();
        let message = said["message"].as_str().unwrap_or_default();
        soon(message.contains("ImagePull") || message.contains("ErrImage"), said)
    });
}

#[test]
fn a_refused_edit_is_not_ready_and_costs_nothing_but_its_retries() {
    let release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "refused");
    home.simulate("tech", |_| {});
    home.wait(120, "stockwatch/tech", &Until::ready());
    let obstacle = Obstacle::policy(&home, &release.user(), "configmaps", "Invalid", "frozen");
    let edit = |tolerance: &str| {
        let windows = json!({"spec": {"windows": [{"duration": "5m", "tolerance": tolerance}]}});
        home.patch("stockwatch/tech", &windows);
    };
    edit("1%");
    let message = await_refused(&home, "stockwatch/tech");
    assert!(message.contains("ConfigMap tech-stockwatch") && message.contains("frozen"), "{message}");
    // The worker takes the edit in by itself, and that is said.
    let generation = home.get("stockwatch/tech")["metadata"]["generation"].as_u64().unwrap();
    home.wait(30, "stockwatch/tech", &Until::applied(generation));

    home.wait(60, "stockwatch/tech", &Until::because("QuotesFlow", "Flowing"));
    home.wait(60, "stockwatch/tech", &Until::evaluated(generation));
    home.await_event(30, "Retuned", "tech", |message| {
        message.starts_with(&format!("generation {generation}: "))
    });

    let version = |home: &Namespace| home.get("stockwatch/tech")["metadata"]["resourceVersion"].clone();
    let (before, mut audit) = (version(&home), Audit::begin(Cluster::shared()));
    let retries = audit.await_of(&release.user(), "two retries", |requests| {
        requests.iter().filter(|request| request.namespace == home.name()).count() >= 2
    });
    let here = retries.iter().filter(|request| request.namespace == home.name());
    for Request { resource, status, .. } in here {
        assert_eq!((resource.as_str(), *status), ("configmaps", 422));
    }
    assert_eq!(version(&home), before, "the status is not written again");
    assert_eq!(events(&home), [message]);
    await_counted(&release, "apply");

    edit("2%");
    audit.await_of(&release.user(), "the new form is tried at once", |requests| {
        requests.iter().any(|request| request.namespace == home.name() && request.resource == "configmaps")
    });
    await_refused(&home, "stockwatch/tech");
    obstacle.lift();
    await_ready(&home, "stockwatch/tech", Instant::now());
    assert_eq!(events(&home).len(), 1);
}

#[test]
fn a_refused_finalizer_is_said_and_everything_else_is_done() {
    let release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "refused");
    let delete = |watch: &mut Watch| _ = watch.kafka.insert("deletionPolicy".into(), json!("Delete"));
    let obstacle = Obstacle::policy(&home, &release.user(), "stockwatches", "Forbidden", "no finalizers");
    home.simulate("tech", delete);
    let message = await_refused(&home, "stockwatch/tech");
    assert!(
        message.contains("the finalizer of StockWatch tech") && message.contains("no finalizers"),
        "{message}"
    );
    home.wait(120, "deployment/tech-stockwatch", &Until::condition("Available", "True"));
    obstacle.lift();
    await_ready(&home, "stockwatch/tech", Instant::now());
    assert_eq!(home.get("stockwatch/tech")["metadata"]["finalizers"], json!(["stockwatch.dev/topics"]));

    let obstacle = Obstacle::policy(&home, &release.user(), "stockwatches", "Forbidden", "it stays");
    home.kubectl(&["delete", "stockwatch/tech", "--wait=false"]);
    wait_for(60, "the deletion is said to be refused", || {
        let watch = home.get("stockwatch/tech");
        let said = condition(&watch, "Ready");
        let message = said["message"].as_str().unwrap_or_default();
        soon(said["reason"] == "ObjectRefused" && message.contains("it stays"), said)
    });
    obstacle.lift();
    home.wait(MENDED, "stockwatch/tech", &Until::gone());
}

#[test]
fn a_refused_status_is_counted_and_written_once_it_may_be() {
    let release = Release::shared();
    let home = Namespace::create(Cluster::shared(), "refused");
    let user = release.user();
    let obstacle = Obstacle::policy(&home, &user, "stockwatches/status", "Forbidden", "no statuses");
    let mut audit = Audit::begin(Cluster::shared());
    home.simulate("tech", |_| {});
    let tried = audit.await_of(&user, "the status is tried three times", |requests| {
        requests.iter().filter(|request| is_status(request, &home)).count() >= 3
    });
    let tried: Vec<&Request> = tried.iter().filter(|request| is_status(request, &home)).collect();
    for pair in tried.windows(2) {
        let apart = seconds(&pair[1].time.0) - seconds(&pair[0].time.0);
        // Another operator begins anew, and the clock at midnight.
        assert!(pair[0].pod != pair[1].pod || !(0.0..=9.0).contains(&apart), "{tried:#?}");
    }
    await_counted(&release, "status");
    obstacle.lift();
    await_ready(&home, "stockwatch/tech", Instant::now());
}

fn await_counted(release: &Release, write: &str) {
    wait_for(60, "the refusals are counted", || {
        let counted = release.metric("refused", &format!("write=\"{write}\""));
        soon(counted >= 1.0, counted)
    });
}

fn is_status(request: &Request, home: &Namespace) -> bool {
    request.resource == "stockwatches/status" && request.namespace == home.name()
}

/// Of an RFC 3339 time: since the day began.
fn seconds(time: &str) -> f64 {
    let clock: Vec<f64> = time[11..26].split(':').map(|part| part.parse().unwrap()).collect();
    clock[0] * 3600.0 + clock[1] * 60.0 + clock[2]
}
