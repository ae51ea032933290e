//! One round of work with a cluster: the plans of many StockWatches, carried out in common calls.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;

use super::client::{Answers, BATCH, Client, new_topic};
use super::found::FoundTopics;
use super::metrics::Metrics;
use super::observed::{KafkaProblem, Observed};
use super::ownership::Creations;
use super::plan::TopicsPlan;
use super::refusal;
use super::settings::{Need, Setting, need};
use super::trouble::Failure;
use super::wanted::{Wanted, WantedTopic};

/// For grown topics to be known, and for altered settings to be in force, at every broker.
const SPREAD_LIMIT: Duration = Duration::from_secs(3);
/// The same for created topics. Shorter, since brokers that create thousands take longer than a round may hold up
/// others.
const CREATED_LIMIT: Duration = Duration::from_millis(500);
/// If metadata does not show an existing topic within this time, the Kafka user lacks Describe on it.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same for a topic that was just created: a broker that is busy with thousands of new ones shows the last of them
/// after more than a minute.
const CREATED_PATIENCE: Duration = Duration::from_secs(300);
/// Least pause between two requests for metadata.
const SPREAD_STEP: Duration = Duration::from_millis(20);
/// The pause is also at least this many times as long as the request took: metadata of thousands of topics is work for
/// brokers that are busy already.
const SPREAD_REST: u32 = 4;

/// The result of a round for one StockWatch.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) wanted: Arc<Wanted>,
    pub(super) creations: Creations,
    pub(super) observed: Observed,
    pub(super) retry: Retry,
}

/// Whether the work is repeated although nothing changes. A later variant outweighs an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Retry {
    /// It is not repeated.
    No,
    /// The brokers refuse: a permission or a policy may be changed without a word. Repeated with growing pauses, up to
    /// the regular look at everything.
    Refused,
    /// A transient failure: repeated with growing pauses.
    Later,
    /// A change that metadata does not show yet: repeated soon.
    Soon,
}

/// A plan, and what became of it so far.
struct Task {
    plan: TopicsPlan,
    retry: Retry,
    writers_stamp: bool,
}

impl Task {
    fn retry(&mut self, retry: Retry) {
        self.retry = self.retry.max(retry);
    }
}

/// Returns the names of all topics of some StockWatches.
pub(super) fn names<'a>(wanted: impl IntoIterator<Item = &'a Wanted>) -> HashSet<&'a str> {
    wanted.into_iter().flat_map(|wanted| wanted.topics.iter().map(|topic| topic.name.as_str())).collect()
}

/// Carries plans out. Blocks.
pub(super) fn carry_out(
    client: &mut Client,
    metrics: &Metrics,
    cluster_id: &str,
    mut found: FoundTopics,
    plans: Vec<TopicsPlan>,
) -> Result<Vec<Outcome>, Failure> {
    let mut tasks: Vec<Task> =
        plans.into_iter().map(|plan| Task { plan, retry: Retry::No, writers_stamp: false }).collect();
    validate(client, &mut tasks)?;
    let created = create(client, metrics, &mut tasks)?;
    let grown = grow(client, &mut tasks)?;
    if !created.is_empty() || !grown.is_empty() {
        found = spread(client, &tasks, &created, &grown)?;
        tasks.iter_mut().for_each(|task| task.plan.settle(&found));
    }
    for (place, count) in &grown {
        if found.get(&topic(&tasks, *place).name).is_none_or(|is| is.partitions < *count) {
            tasks[place.0].retry(Retry::Soon);
        }
    }
    wait_for_unseen(client, &mut tasks, &found);
    configure(client, &mut tasks)?;
    let outcome = |Task { plan, retry, writers_stamp }: Task| Outcome {
        observed: Observed::Known {
            cluster_id: plan.wanted.cluster_id.clone().unwrap_or_else(|| cluster_id.to_owned()),
            topics: plan.statuses(cluster_id, &found),
            problem: KafkaProblem::of(plan.problems),
            writers_stamp,
        },
        wanted: plan.asked,
        creations: plan.creations,
        retry,
    };
    Ok(tasks.into_iter().map(outcome).collect())
}

/// The index of a task, and that of one of its topics.
type TopicIndex = (usize, usize);

/// Creates missing topics and returns those that are new. Topics that were created a moment ago and that metadata does
/// not show yet are skipped.
fn create(client: &mut Client, metrics: &Metrics, tasks: &mut [Task]) -> Result<Vec<TopicIndex>, Failure> {
    let mut all = wishes(tasks, |plan| &plan.create);
    all.retain(|(place, _)| client.may_appear(&topic(tasks, *place).name) != Some(true));
    let mut created = Vec::new();
    for batch in all.chunks(BATCH) {
        let answers = {
            let settings: Vec<_> =
                batch.iter().map(|(place, _)| topic(tasks, *place).at_creation()).collect();
            let wanted = batch.iter().zip(&settings).map(|((place, count), settings)| {
                let topic = topic(tasks, *place);
                new_topic(&topic.name, *count, topic.replication_factor, settings)
            });
            client.create(&wanted.collect::<Vec<_>>())?
        };
        for (place, count) in batch {
            let topic = topic(tasks, *place);
            let name = topic.name.clone();
            match answer(&answers, &name) {
                Ok(()) => {
                    tracing::info!(topic = name, "topic created");
                    metrics.topics_created.inc();
                    client.expect(&name, CREATED_PATIENCE);
                    created.push(*place);
                    tasks[place.0].plan.creations.succeed(&name);
                }
                Err(RDKafkaErrorCode::TopicAlreadyExists) => {
                    if client.may_appear(&name).is_none() {
                        client.expect(&name, PATIENCE);
                        created.push(*place);
                    }
                    tasks[place.0].plan.creations.exists(&name);
                }
                Err(code) => {
                    let problem = refusal::creation(topic, *count, code);
                    let creations = &mut tasks[place.0].plan.creations;
                    if refusal::is_passing(code) {
                        creations.lose_answer(&name);
                    } else {
                        creations.refuse(&name);
                    }
                    refuse(&mut tasks[place.0], code, problem);
                }
            }
        }
    }
    Ok(created)
}

/// Asks whether what was refused would be created now: then the status announces it anew.
fn validate(client: &mut Client, tasks: &mut [Task]) -> Result<(), Failure> {
    let all = wishes(tasks, |plan| &plan.validate);
    for batch in all.chunks(BATCH) {
        let settings: Vec<_> = batch.iter().map(|(place, _)| topic(tasks, *place).at_creation()).collect();
        let answers = {
            let request = |((place, count), settings)| {
                let topic = topic(tasks, place);
                new_topic(&topic.name, count, topic.replication_factor, settings)
            };
            client.validate(&batch.iter().copied().zip(&settings).map(request).collect::<Vec<_>>())?
        };
        for (place, count) in batch {
            let topic = topic(tasks, *place);
            match answer(&answers, &topic.name) {
                Ok(()) => {
                    let name = topic.name.clone();
                    tasks[place.0].plan.creations.allow(&name);
                }
                // It is there, and metadata does not show it.
                Err(RDKafkaErrorCode::TopicAlreadyExists) => {
                    if client.may_appear(&topic.name).is_none() {
                        client.expect(&topic.name, PATIENCE);
                    }
                }
                Err(code) => {
                    let problem = refusal::missing(topic, refusal::creation(topic, *count, code));
                    refuse(&mut tasks[place.0], code, problem);
                }
            }
        }
    }
    Ok(())
}

/// Has topics that exist but that metadata does not show yet looked for again: brokers learn of new topics one after
/// another.
fn wait_for_unseen(client: &mut Client, tasks: &mut [Task], found: &FoundTopics) {
    client.have_seen(found);
    let validated = wishes(tasks, |plan| &plan.validate);
    for (place, _) in wishes(tasks, |plan| &plan.create).into_iter().chain(validated) {
        match client.may_appear(&topic(tasks, place).name) {
            Some(true) => tasks[place.0].retry(Retry::Soon),
            Some(false) => {
                let topic = topic(tasks, place);
                let problem = refusal::missing(topic, refusal::invisible(topic));
                tasks[place.0].plan.problems.push(problem);
                tasks[place.0].retry(Retry::Refused);
            }
            None => {}
        }
    }
}

/// Adds partitions; returns the topics to which the brokers granted them, with their new counts.
fn grow(client: &mut Client, tasks: &mut [Task]) -> Result<Vec<(TopicIndex, i32)>, Failure> {
    let all = wishes(tasks, |plan| &plan.grow);
    let mut grown = Vec::new();
    for batch in all.chunks(BATCH) {
        let answers = {
            let request = |(place, count): &(TopicIndex, i32)| (topic(tasks, *place).name.as_str(), *count);
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

/// Waits until metadata shows what was created and grown, for a limited time; returns the topics as it shows them.
fn spread(
    client: &Client,
    tasks: &[Task],
    created: &[TopicIndex],
    grown: &[(TopicIndex, i32)],
) -> Result<FoundTopics, Failure> {
    let names = names(tasks.iter().map(|task| &*task.plan.wanted));
    let end = Instant::now() + if grown.is_empty() { CREATED_LIMIT } else { SPREAD_LIMIT };
    loop {
        let looked = Instant::now();
        let (_, found) = client.look(&names)?;
        let took = looked.elapsed();
        let partitions = |place: TopicIndex| found.get(&topic(tasks, place).name).map(|is| is.partitions);
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
    let places = |task: usize, plan: &TopicsPlan| {
        plan.configure.iter().map(move |i| (task, *i)).collect::<Vec<TopicIndex>>()
    };
    let all: Vec<TopicIndex> = tasks.iter().enumerate().flat_map(|(i, task)| places(i, &task.plan)).collect();
    for batch in all.chunks(BATCH) {
        let described = describe(client, tasks, batch)?;
        let mut altered: Vec<(TopicIndex, BTreeMap<String, String>)> = Vec::new();
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
            let writers_stamp =
                topic.role.state().is_some_and(|state| is.iter().any(|s| s.lets_writers_stamp(state)));
            let problem = match need {
                Need::Nothing => None,
                Need::Alter(settings) => {
                    altered.push((place, settings));
                    None
                }
                Need::Unknown(names) => Some(refusal::config(topic, names, None)),
                Need::Hidden => Some(refusal::hidden(topic)),
            };
            if loss.is_some() {
                // Workers wait for it.
                tasks[place.0].retry(Retry::Later);
            }
            if problem.is_some() {
                tasks[place.0].retry(Retry::Refused);
            }
            tasks[place.0].writers_stamp |= writers_stamp;
            tasks[place.0].plan.problems.extend(loss.into_iter().chain(problem));
        }
        if altered.is_empty() {
            continue;
        }
        let requests = altered.iter().map(|(place, settings)| (topic(tasks, *place).name.as_str(), settings));
        client.alter(&requests.collect::<Vec<_>>())?;
        let places: Vec<TopicIndex> = altered.into_iter().map(|(place, _)| place).collect();
        for place in refused(client, tasks, &places)? {
            let topic = topic(tasks, place);
            let problem = refusal::config(topic, refusal::settings(topic), None);
            tasks[place.0].plan.problems.push(problem);
            tasks[place.0].retry(Retry::Refused);
        }
    }
    Ok(())
}

fn describe(
    client: &mut Client,
    tasks: &[Task],
    places: &[TopicIndex],
) -> Result<HashMap<String, Vec<Setting>>, Failure> {
    let names: Vec<&str> = places.iter().map(|place| topic(tasks, *place).name.as_str()).collect();
    client.describe(&names)
}

/// Those of a topic; none where they may not be read.
fn settings<'a>(described: &'a HashMap<String, Vec<Setting>>, topic: &WantedTopic) -> &'a [Setting] {
    described.get(&topic.name).map(Vec::as_slice).unwrap_or_default()
}

/// Returns the topics whose altered settings do not come into force.
fn refused(client: &mut Client, tasks: &[Task], altered: &[TopicIndex]) -> Result<Vec<TopicIndex>, Failure> {
    let end = Instant::now() + SPREAD_LIMIT;
    loop {
        let described = describe(client, tasks, altered)?;
        let is_unmet = |place: &TopicIndex| {
            let topic = topic(tasks, *place);
            need(settings(&described, topic), &topic.settings()) != Need::Nothing
        };
        let unmet: Vec<TopicIndex> = altered.iter().copied().filter(is_unmet).collect();
        if unmet.is_empty() || Instant::now() > end {
            for place in altered.iter().filter(|place| !unmet.contains(place)) {
                tracing::info!(topic = topic(tasks, *place).name, "topic's settings altered");
            }
            return Ok(unmet);
        }
        thread::sleep(SPREAD_STEP);
    }
}

fn wishes(tasks: &[Task], of: impl Fn(&TopicsPlan) -> &Vec<(usize, i32)>) -> Vec<(TopicIndex, i32)> {
    let mut all = Vec::new();
    for (i, task) in tasks.iter().enumerate() {
        all.extend(of(&task.plan).iter().map(|(topic, count)| ((i, *topic), *count)));
    }
    all
}

fn topic(tasks: &[Task], (task, topic): TopicIndex) -> &WantedTopic {
    &tasks[task].plan.wanted.topics[topic]
}

fn answer(answers: &Answers, name: &str) -> Result<(), RDKafkaErrorCode> {
    answers.get(name).copied().unwrap_or(Err(RDKafkaErrorCode::Retry))
}

/// A transient failure is retried without a word in the status.
fn refuse(task: &mut Task, code: RDKafkaErrorCode, problem: KafkaProblem) {
    if refusal::is_passing(code) {
        task.retry(Retry::Later);
        return;
    }
    tracing::warn!(%code, "{}", problem.message);
    task.retry(Retry::Refused);
    task.plan.problems.push(problem);
}
