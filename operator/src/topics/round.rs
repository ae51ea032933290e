//! One round of work with a cluster: the plans of many StockWatches, carried out in common calls.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;

use super::client::{Answers, BATCH, Client, new_topic};
use super::metrics::Metrics;
use super::observed::{Observed, Problem};
use super::plan::{Plan, Topics};
use super::refusal;
use super::settings::{Need, Setting, need};
use super::trouble::Failure;
use super::wanted::{Wanted, WantedTopic};

/// For grown topics to be known, and for altered settings to be in force, at every broker.
const SPREAD_LIMIT: Duration = Duration::from_secs(3);
/// For created topics: brokers that make thousands of them take longer, and others wait for this round meanwhile.
const CREATED_LIMIT: Duration = Duration::from_millis(500);
/// A topic that exists and is not shown for so long is one that the user may not look at.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same of one that was created: a broker that is busy with thousands of new ones shows the last of them after more
/// than a minute.
const CREATED_PATIENCE: Duration = Duration::from_secs(300);
/// Between two looks meanwhile, at least.
const SPREAD_STEP: Duration = Duration::from_millis(20);
/// And at least so many times what a look takes: among thousands of topics it is work for brokers that are busy enough.
const SPREAD_REST: u32 = 4;

/// What a round says of one StockWatch.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) wanted: Arc<Wanted>,
    pub(super) observed: Observed,
    pub(super) again: Again,
}

/// Whether something is to be tried again though nothing changes. The later one here outweighs the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Again {
    /// It is not.
    No,
    /// Something failed that may succeed: with growing pauses.
    Later,
    /// Something was done that only needs time to be seen.
    Soon,
}

/// A plan, and what became of it so far.
struct Task {
    plan: Plan,
    again: Again,
}

impl Task {
    fn again(&mut self, again: Again) {
        self.again = self.again.max(again);
    }
}

/// Names of all topics of some StockWatches.
pub(super) fn names<'a>(wanted: impl IntoIterator<Item = &'a Wanted>) -> HashSet<&'a str> {
    wanted.into_iter().flat_map(|wanted| wanted.topics.iter().map(|topic| topic.name.as_str())).collect()
}

/// Carries plans out. Blocks.
pub(super) fn carry_out(
    client: &mut Client,
    metrics: &Metrics,
    cluster_id: &str,
    mut found: Topics,
    plans: Vec<Plan>,
) -> Result<Vec<Outcome>, Failure> {
    let mut tasks: Vec<Task> = plans.into_iter().map(|plan| Task { plan, again: Again::No }).collect();
    let created = create(client, metrics, &mut tasks)?;
    let grown = grow(client, &mut tasks)?;
    if !created.is_empty() || !grown.is_empty() {
        found = spread(client, &tasks, &created, &grown)?;
    }
    for (place, count) in &grown {
        if found.get(&topic(&tasks, *place).name).is_none_or(|is| is.partitions < *count) {
            tasks[place.0].again(Again::Soon);
        }
    }
    wait_for_unseen(client, &mut tasks, &found);
    configure(client, &mut tasks)?;
    let outcome = |Task { plan, again }: Task| Outcome {
        observed: Observed::Known {
            cluster_id: plan.wanted.cluster_id.clone().unwrap_or_else(|| cluster_id.to_owned()),
            topics: plan.statuses(cluster_id, &found),
            problem: Problem::of(plan.problems),
        },
        wanted: plan.wanted,
        again,
    };
    Ok(tasks.into_iter().map(outcome).collect())
}

/// A topic of a task.
type Place = (usize, usize);

/// Creates what is missing, and gives what is new. What was created a moment ago and is not shown yet is left alone.
fn create(client: &mut Client, metrics: &Metrics, tasks: &mut [Task]) -> Result<Vec<Place>, Failure> {
    let mut all = wishes(tasks, |plan| &plan.create);
    all.retain(|(place, _)| client.may_appear(&topic(tasks, *place).name) != Some(true));
    let mut created = Vec::new();
    for batch in all.chunks(BATCH) {
        let answers = {
            let request = |(place, count): &(Place, i32)| {
                let topic = topic(tasks, *place);
                new_topic(&topic.name, *count, topic.replication_factor, &topic.config)
            };
            client.create(&batch.iter().map(request).collect::<Vec<_>>())?
        };
        for (place, count) in batch {
            let topic = topic(tasks, *place);
            match answer(&answers, &topic.name) {
                Ok(()) => {
                    tracing::info!(topic = topic.name, "topic created");
                    metrics.topics_created.inc();
                    client.expect(&topic.name, CREATED_PATIENCE);
                    created.push(*place);
                }
                // Its creation was announced, so it was ours that was not heard of.
                Err(RDKafkaErrorCode::TopicAlreadyExists) => {
                    if client.may_appear(&topic.name).is_none() {
                        client.expect(&topic.name, PATIENCE);
                        created.push(*place);
                    }
                }
                Err(code) => {
                    let problem = refusal::creation(topic, *count, code);
                    refuse(&mut tasks[place.0], code, problem);
                }
            }
        }
    }
    Ok(created)
}

/// What exists and is not shown yet is looked for again: brokers learn of new topics one after another.
fn wait_for_unseen(client: &mut Client, tasks: &mut [Task], found: &Topics) {
    client.have_seen(found);
    for (place, _) in wishes(tasks, |plan| &plan.create) {
        match client.may_appear(&topic(tasks, place).name) {
            Some(true) => tasks[place.0].again(Again::Soon),
            Some(false) => {
                let problem = refusal::invisible(topic(tasks, place));
                tasks[place.0].plan.problems.push(problem);
                tasks[place.0].again(Again::Later);
            }
            None => {}
        }
    }
}

/// The topics that have so many partitions now.
fn grow(client: &mut Client, tasks: &mut [Task]) -> Result<Vec<(Place, i32)>, Failure> {
    let all = wishes(tasks, |plan| &plan.grow);
    let mut grown = Vec::new();
    for batch in all.chunks(BATCH) {
        let answers = {
            let request = |(place, count): &(Place, i32)| (topic(tasks, *place).name.as_str(), *count);
            client.grow(&batch.iter().map(request).collect::<Vec<_>>())?
        };
        for (place, count) in batch {
            let topic = topic(tasks, *place);
            match answer(&answers, &topic.name) {
                Ok(()) => {
                    tracing::info!(topic = topic.name, partitions = count, "topic grown");
                    grown.push((*place, *count));
                }
                Err(code) => {
                    let problem = refusal::growth(topic, *count, code);
                    refuse(&mut tasks[place.0], code, problem);
                }
            }
        }
    }
    Ok(grown)
}

/// Looks until what was done is known, or for as long as that may take.
fn spread(
    client: &Client,
    tasks: &[Task],
    created: &[Place],
    grown: &[(Place, i32)],
) -> Result<Topics, Failure> {
    let names = names(tasks.iter().map(|task| &*task.plan.wanted));
    let end = Instant::now() + if grown.is_empty() { CREATED_LIMIT } else { SPREAD_LIMIT };
    loop {
        let looked = Instant::now();
        let (_, found) = client.look(&names)?;
        let took = looked.elapsed();
        let partitions = |place: Place| found.get(&topic(tasks, place).name).map(|is| is.partitions);
        let known = created.iter().all(|place| partitions(*place).is_some())
            && grown.iter().all(|(place, count)| partitions(*place) >= Some(*count));
        if known || Instant::now() > end {
            return Ok(found);
        }
        thread::sleep(SPREAD_STEP.max(SPREAD_REST * took));
    }
}

/// Keeps the settings of the topics that were there before, and says which of them would lose state.
fn configure(client: &mut Client, tasks: &mut [Task]) -> Result<(), Failure> {
    let places =
        |task: usize, plan: &Plan| plan.configure.iter().map(move |i| (task, *i)).collect::<Vec<Place>>();
    let all: Vec<Place> = tasks.iter().enumerate().flat_map(|(i, task)| places(i, &task.plan)).collect();
    for batch in all.chunks(BATCH) {
        let described = describe(client, tasks, batch)?;
        let mut altered: Vec<(Place, BTreeMap<String, String>)> = Vec::new();
        for place in batch.iter().copied() {
            let topic = topic(tasks, place);
            let is = settings(&described, topic);
            if is.is_empty() && topic.role.state().is_some() {
                tracing::info!(
                    topic = topic.name,
                    "whether it keeps the state of workers is not known: its settings cannot be read"
                );
            }
            let (loss, need) = (refusal::loss(topic, is), need(is, &topic.settings()));
            let problem = match need {
                Need::Nothing => None,
                Need::Alter(settings) => {
                    altered.push((place, settings));
                    None
                }
                Need::Unknown(names) => Some(refusal::config(topic, names)),
                Need::Hidden => Some(refusal::hidden(topic)),
            };
            if loss.is_some() {
                // Workers wait for it.
                tasks[place.0].again(Again::Later);
            }
            tasks[place.0].plan.problems.extend(loss.into_iter().chain(problem));
        }
        if altered.is_empty() {
            continue;
        }
        let requests = altered.iter().map(|(place, settings)| (topic(tasks, *place).name.as_str(), settings));
        client.alter(&requests.collect::<Vec<_>>())?;
        let places: Vec<Place> = altered.into_iter().map(|(place, _)| place).collect();
        for place in refused(client, tasks, &places)? {
            let topic = topic(tasks, place);
            let problem = refusal::config(topic, refusal::settings(topic));
            tasks[place.0].plan.problems.push(problem);
        }
    }
    Ok(())
}

fn describe(
    client: &mut Client,
    tasks: &[Task],
    places: &[Place],
) -> Result<HashMap<String, Vec<Setting>>, Failure> {
    let names: Vec<&str> = places.iter().map(|place| topic(tasks, *place).name.as_str()).collect();
    client.describe(&names)
}

/// Those of a topic; none where they may not be read.
fn settings<'a>(described: &'a HashMap<String, Vec<Setting>>, topic: &WantedTopic) -> &'a [Setting] {
    described.get(&topic.name).map(Vec::as_slice).unwrap_or_default()
}

/// Those whose altered settings do not come into force.
fn refused(client: &mut Client, tasks: &[Task], altered: &[Place]) -> Result<Vec<Place>, Failure> {
    let end = Instant::now() + SPREAD_LIMIT;
    loop {
        let described = describe(client, tasks, altered)?;
        let is_unmet = |place: &Place| {
            let topic = topic(tasks, *place);
            need(settings(&described, topic), &topic.settings()) != Need::Nothing
        };
        let unmet: Vec<Place> = altered.iter().copied().filter(is_unmet).collect();
        if unmet.is_empty() || Instant::now() > end {
            for place in altered.iter().filter(|place| !unmet.contains(place)) {
                tracing::info!(topic = topic(tasks, *place).name, "topic's settings altered");
            }
            return Ok(unmet);
        }
        thread::sleep(SPREAD_STEP);
    }
}

fn wishes(tasks: &[Task], of: impl Fn(&Plan) -> &Vec<(usize, i32)>) -> Vec<(Place, i32)> {
    let mut all = Vec::new();
    for (i, task) in tasks.iter().enumerate() {
        all.extend(of(&task.plan).iter().map(|(topic, count)| ((i, *topic), *count)));
    }
    all
}

fn topic(tasks: &[Task], (task, topic): Place) -> &WantedTopic {
    &tasks[task].plan.wanted.topics[topic]
}

fn answer(answers: &Answers, name: &str) -> Result<(), RDKafkaErrorCode> {
    answers.get(name).copied().unwrap_or(Err(RDKafkaErrorCode::Retry))
}

/// Passing trouble is not told, only tried again.
fn refuse(task: &mut Task, code: RDKafkaErrorCode, problem: Problem) {
    if refusal::is_passing(code) {
        task.again(Again::Later);
        return;
    }
    tracing::warn!(%code, "{}", problem.message);
    task.plan.problems.push(problem);
}
