//! The Secrets of sources in a worker's pod: each is a directory, its keys are files.

use k8s_openapi::api::core::v1::{SecretVolumeSource, Volume, VolumeMount};

use super::Worker;

/// A worker's own default: older ones do not know the argument.
const SOURCE_SECRETS: &str = "/etc/stockwatch/sources";

/// Whole, so that a key that is added is seen; optional, since without it the worker computes all the same.
pub(super) fn volumes(worker: &Worker<'_>) -> impl Iterator<Item = Volume> {
    worker.sources.iter().enumerate().map(|(i, secret)| Volume {
        name: name(i),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.clone()),
            optional: Some(true),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    })
}

pub(super) fn mounts(worker: &Worker<'_>) -> impl Iterator<Item = VolumeMount> {
    worker.sources.iter().enumerate().map(|(i, secret)| VolumeMount {
        name: name(i),
        mount_path: format!("{SOURCE_SECRETS}/{secret}"),
        read_only: Some(true),
        ..VolumeMount::default()
    })
}

/// A Secret's name may be longer than a volume's.
fn name(i: usize) -> String {
    format!("source-{i}")
}
