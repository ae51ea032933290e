//! Plain clients that do the same work with the same rights: every object applied, every topic created, without a look
//! at what is there.

use std::collections::{BTreeSet, HashSet};
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::Value;
use stockwatch_crds::v1alpha1::WorkerSpec;
use stockwatch_crds::{Spec, StockWatch, Topic};
use stockwatch_operator::names;
use stockwatch_operator::resources::{Desired, Kind, Owner, Worker, surroundings, workers};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::error::Result;
use crate::operator::crowd;
use crate::operator::stage::Stage;

/// Topics in one call.
const BATCH: usize = 100;
const CALL: Duration = Duration::from_secs(60);
/// Between two looks at all topics.
const LOOK: Duration = Duration::from_secs(1);

type Admin = AdminClient<DefaultClientContext>;

/// How long it took, in seconds.
pub(super) struct Bare {
    /// Until all was answered: objects and topics at the same time.
    pub(super) all: f64,
    /// Until the last object was answered.
    pub(super) objects: f64,
    /// Until the last topic was.
    pub(super) topics: f64,
    /// Until the broker shows all of them, which is when anybody can use them.
    pub(super) shown: f64,
}

/// Applies so many StockWatches, all that they own, and creates their topics; the topics are deleted again.
pub(super) async fn run(stage: &Stage, count: usize) -> Result<Bare> {
    let brokers = stage.broker.bootstrap();
    let all: Vec<Value> =
        (0..count).map(|n| crowd::stockwatch(stage.beside(), &crowd::name(n), brokers)).collect();
    let topics = topics(&all)?;
    let admin: Arc<Admin> = Arc::new(stage.broker.client().create()?);
    let begun = Instant::now();
    let (objects, topics_done) = tokio::try_join!(
        async {
            apply(stage, all).await?;
            Result::Ok(begun.elapsed())
        },
        async {
            create(&admin, &topics).await?;
            let created = begun.elapsed();
            until_shown(&admin, &topics, true).await?;
            Result::Ok((created, begun.elapsed()))
        },
    )?;
    let (objects, created, shown) =
        (objects.as_secs_f64(), topics_done.0.as_secs_f64(), topics_done.1.as_secs_f64());
    remove(&admin, &topics).await?;
    Ok(Bare { all: objects.max(created), objects, topics: created, shown })
}

async fn apply(stage: &Stage, all: Vec<Value>) -> Result<()> {
    let api: Api<StockWatch> = Api::namespaced(stage.client.clone(), stage.beside());
    let one = |body: Value| {
        let api = &api;
        async move {
            let stockwatch = crowd::apply_one(api, &body).await?;
            // Nobody but an administrator may bind a role that is not there.
            let (bindings, others): (Vec<_>, Vec<_>) =
                owned(&stockwatch)?.into_iter().partition(|desired| desired.kind == Kind::RoleBinding);
            for together in [others, bindings] {
                try_join_all(together.iter().map(|desired| apply_owned(stage, &stockwatch, desired))).await?;
            }
            Result::Ok(())
        }
    };
    stream::iter(all.into_iter().map(one))
        .buffer_unordered(crowd::AT_ONCE)
        .try_for_each(|()| async { Ok(()) })
        .await
}

/// Returns the objects that the operator would apply, byte for byte.
fn owned(stockwatch: &StockWatch) -> Result<Vec<Desired>> {
    let owner = Owner::of(&stockwatch.metadata).ok_or("the API server gave it no uid")?;
    let spec = Spec::parse(stockwatch)?;
    let wishes: WorkerSpec = stockwatch.spec.worker.clone().unwrap_or_default();
    let worker = Worker {
        replicas: wishes.replicas,
        image: "stockwatch-worker:bare".into(),
        pull_secrets: &[],
        pull_policy: None,
        listen: Ipv6Addr::UNSPECIFIED.into(),
        kafka: &spec.kafka,
        connection: "0".repeat(32),
        sources: &BTreeSet::new(),
        spec: &wishes,
    };
    let mut owned = surroundings(&owner, stockwatch)?;
    owned.push(workers(&owner, &worker)?);
    Ok(owned)
}

async fn apply_owned(stage: &Stage, stockwatch: &StockWatch, desired: &Desired) -> Result<()> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(stage.as_operator.clone(), stage.beside(), &desired.kind.resource());
    let name = names::owned(stockwatch.metadata.name.as_deref().unwrap_or_default());
    api.patch_metadata(&name, &PatchParams::apply(crowd::MANAGER), &Patch::Apply(&desired.body)).await?;
    Ok(())
}

fn topics(all: &[Value]) -> Result<Vec<Topic>> {
    let mut topics = Vec::new();
    for body in all {
        let stockwatch: StockWatch = serde_json::from_value(body.clone())?;
        topics.extend(Spec::parse(&stockwatch)?.kafka.topics.iter().cloned());
    }
    Ok(topics)
}

async fn create(admin: &Arc<Admin>, topics: &[Topic]) -> Result<()> {
    for batch in topics.chunks(BATCH) {
        let new: Vec<NewTopic<'_>> = batch.iter().map(new_topic).collect();
        for result in admin.create_topics(&new, &options()).await? {
            result.map_err(|(topic, code)| format!("topic {topic}: {code}"))?;
        }
    }
    Ok(())
}

fn new_topic(topic: &Topic) -> NewTopic<'_> {
    let new = NewTopic::new(&topic.name, -1, TopicReplication::Fixed(-1));
    topic.config.iter().fold(new, |new, (key, value)| new.set(key, value))
}

/// Deletes the topics, so that the operator finds the broker as the plain clients did.
async fn remove(admin: &Arc<Admin>, topics: &[Topic]) -> Result<()> {
    for batch in topics.chunks(BATCH) {
        let batch: Vec<&str> = batch.iter().map(|topic| topic.name.as_str()).collect();
        admin.delete_topics(&batch, &options()).await?;
    }
    until_shown(admin, topics, false).await
}

/// Waits until the broker shows all of them, or none.
async fn until_shown(admin: &Arc<Admin>, topics: &[Topic], all: bool) -> Result<()> {
    let names: HashSet<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    let wanted = if all { names.len() } else { 0 };
    loop {
        let looking = Arc::clone(admin);
        // It blocks, and the objects are being applied meanwhile.
        let metadata = spawn_blocking(move || looking.inner().fetch_metadata(None, CALL)).await??;
        if metadata.topics().iter().filter(|topic| names.contains(topic.name())).count() == wanted {
            return Ok(());
        }
        sleep(LOOK).await;
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(CALL)).request_timeout(Some(CALL))
}
