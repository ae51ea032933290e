//! Why the worker is not ready: a set of causes, each of which ends by itself.
//!
//! Most causes are read off what they are about whenever they are asked for, so none can outlast it. One comes as an event;
//! what ends it is here.

use super::assignment::Assignment;

/// The cause that comes as an event.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    /// What the consumer said when it could not read the group or the topic; it does not say when it can again. Ends
    /// with the next assignment, or with the next commit of offsets, which needs the same permissions.
    complaint: Option<String>,
}

impl Readiness {
    pub(super) fn assigned(&mut self) {
        *self = Self::default();
    }

    pub(super) fn cannot_consume(&mut self, complaint: String) {
        self.complaint = Some(complaint);
    }

    pub(super) fn committed_offsets(&mut self) {
        self.complaint = None;
    }

    /// Whether a commit of offsets is wanted that shows whether the complaint is over.
    pub(super) fn wants_commit(&self) -> bool {
        self.complaint.is_some()
    }

    /// Returns all causes as sentences; none when the worker is ready.
    pub(super) fn causes(&self, has_joined: bool, owned: &Assignment) -> Vec<String> {
        let mut causes = Vec::new();
        if !has_joined {
            causes.push("joining the consumer group".to_owned());
        }
        causes.extend(self.complaint.clone());
        causes.extend(partitions(owned));
        causes
    }
}

/// Why partitions do not compute; those of the same cause share a sentence.
fn partitions(owned: &Assignment) -> impl Iterator<Item = String> {
    let restoring = owned.all_restoring().map(|(number, restoring)| {
        let why = match (&restoring.failure, &restoring.after) {
            (Some(failure), _) => format!("cannot be restored, trying again: {failure}"),
            (None, Some(after)) => format!("restoring after a failed transaction: {after}"),
            (None, None) => "restoring".to_owned(),
        };
        (number, why)
    });
    let positioning = owned
        .all_restored()
        .map(|(partition, _)| (partition.number, "restored, waiting for the consumer".to_owned()));
    let mut causes: Vec<(String, Vec<String>)> = Vec::new();
    for (number, why) in restoring.chain(positioning) {
        match causes.iter_mut().find(|(known, _)| *known == why) {
            Some((_, numbers)) => numbers.push(number.to_string()),
            None => causes.push((why, vec![number.to_string()])),
        }
    }
    causes.into_iter().map(|(why, numbers)| {
        let noun = if numbers.len() == 1 { "partition" } else { "partitions" };
        format!("{noun} {}: {why}", numbers.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::super::assignment::tests::restoring;
    use super::*;
    use stockwatch_core::Partition;

    fn come_back(owned: &mut Assignment, number: i32) {
        owned.restored(number, Box::new(Partition::new(number, 0, vec![], vec![])));
        owned.activate(number);
    }

    #[test]
    fn a_worker_is_ready_once_it_has_joined_and_all_that_it_owns_computes() {
        let readiness = Readiness::default();
        let mut owned = restoring(&[0, 2]);
        assert_eq!(
            readiness.causes(false, &owned),
            ["joining the consumer group", "partitions 0, 2: restoring"]
        );
        come_back(&mut owned, 0);
        assert_eq!(readiness.causes(true, &owned), ["partition 2: restoring"]);
        come_back(&mut owned, 2);
        assert!(readiness.causes(true, &owned).is_empty());
    }

    #[test]
    fn a_failed_restore_is_a_cause_until_its_partition_is_back() {
        let readiness = Readiness::default();
        let mut owned = restoring(&[0, 1]);
        owned.not_restored(1, "no leader".into());
        let failed = "partition 1: cannot be restored, trying again: no leader";
        assert_eq!(readiness.causes(true, &owned), ["partition 0: restoring", failed]);
        come_back(&mut owned, 0);
        assert_eq!(
            readiness.causes(true, &owned),
            [failed],
            "another partition that comes back does not end it"
        );
        come_back(&mut owned, 1);
        assert!(readiness.causes(true, &owned).is_empty());
    }

    #[test]
    fn a_cause_goes_with_the_partition_that_it_is_about() {
        let mut owned = restoring(&[1]);
        owned.not_restored(1, "no leader".into());
        owned.remove(1);
        assert!(Readiness::default().causes(true, &owned).is_empty());
    }

    #[test]
    fn what_the_consumer_complained_of_ends_with_a_commit_of_offsets_or_an_assignment() {
        let mut readiness = Readiness::default();
        let owned = Assignment::default();
        for end in [Readiness::committed_offsets, Readiness::assigned] {
            readiness.cannot_consume("no permission".into());
            assert_eq!(readiness.causes(true, &owned), ["no permission"]);
            assert!(readiness.wants_commit());
            end(&mut readiness);
            assert!(readiness.causes(true, &owned).is_empty());
        }
    }

    #[test]
    fn causes_stand_beside_each_other() {
        let mut readiness = Readiness::default();
        readiness.cannot_consume("no permission".into());
        let owned = restoring(&[3]);
        assert_eq!(readiness.causes(false, &owned).len(), 3);
        readiness.assigned();
        assert_eq!(readiness.causes(true, &owned), ["partition 3: restoring"]);
    }
}
