//! What a status follows from, and what it said before.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition as ApiCondition;
use stockwatch_crds::v1alpha1::{FailingTicker, ToleranceEdit};
use stockwatch_crds::{Invalid, Spec, StockWatch, StockWatchStatus};

use super::condition::{Condition, Holds, Statement, said};
use crate::credentials;
use crate::reconcile::{Decision, HeldRollout, ObjectProblem};
use crate::rollout::Rollout;
use crate::topics::Observed;
use crate::workers::Report;

/// What is known of a StockWatch's quotes by this process; `None`: what the status says stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quotes {
    /// Of the condition.
    pub statement: Option<Statement>,
    /// The tickers to name.
    pub failing: Option<Vec<FailingTicker>>,
}

/// What was seen of a StockWatch.
#[derive(Debug)]
pub struct Seen<'a> {
    /// The object, with the status as it is.
    pub stockwatch: &'a StockWatch,
    /// Its parsed spec.
    pub spec: Result<&'a Spec, &'a Invalid>,
    /// Why Kafka cannot be reached the way the spec says.
    pub access: Option<&'a credentials::SecretProblem>,
    /// What Kafka says; `None`: it is not asked.
    pub kafka: Option<&'a Observed>,
    /// What was decided of the workers.
    pub decision: Decision,
    /// Objects that are not as they should be.
    pub objects: &'a [ObjectProblem],
    /// The Deployment.
    pub rollout: Option<&'a Rollout>,
    /// What Kubernetes says of pods that do not become ready.
    pub pods: Option<&'a str>,
    /// Why its pods are not replaced yet, where they are to be.
    pub turn: Option<&'a HeldRollout>,
    /// What the workers answered.
    pub report: &'a Report,
    /// Why the source cannot be asked the way the spec says.
    pub source: Option<&'a credentials::SecretProblem>,
    /// What the workers' quotes led to.
    pub quotes: &'a Quotes,
    /// Changes of tolerances that the status does not list yet.
    pub edits: &'a [ToleranceEdit],
}

/// What is said of a condition, and the generation that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) statement: Statement,
    pub(super) generation: Option<i64>,
}

impl Seen<'_> {
    pub(super) fn generation(&self) -> i64 {
        self.stockwatch.metadata.generation.unwrap_or_default()
    }

    pub(super) fn previous(&self) -> Option<&StockWatchStatus> {
        self.stockwatch.status.as_ref()
    }

    pub(super) fn said(&self, condition: Condition) -> Option<&ApiCondition> {
        said(self.previous()?, condition)
    }

    /// Returns what was said before, for as long as nothing newer is known; otherwise `first`.
    pub(super) fn as_before(&self, condition: Condition, first: Statement) -> Said {
        match self.said(condition) {
            Some(before) => Said {
                statement: Statement {
                    holds: Holds::of(&before.status),
                    reason: before.reason.clone(),
                    message: before.message.clone(),
                },
                generation: before.observed_generation,
            },
            None => self.now(first),
        }
    }

    /// Returns what was said before of this generation; otherwise `first`: a verdict on an older one says nothing of this
    /// one.
    pub(super) fn as_said_of_this(&self, condition: Condition, first: Statement) -> Said {
        match self.said(condition) {
            Some(before) if before.observed_generation == Some(self.generation()) => {
                self.as_before(condition, first)
            }
            _ => self.now(first),
        }
    }

    pub(super) fn now(&self, statement: Statement) -> Said {
        Said { statement, generation: Some(self.generation()) }
    }
}
