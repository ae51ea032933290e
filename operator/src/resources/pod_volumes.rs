//! The volumes of a worker's pod: the spec, its state, Secrets for Kafka, and the user's own.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EmptyDirVolumeSource, KeyToPath, SecretVolumeSource, Volume, VolumeMount,
};
use stockwatch_crds::v1alpha1::VolumeSpec;

use super::{Owner, Worker, source_volumes};
use crate::names;

pub(super) const SPEC: &str = "/etc/stockwatch/spec";
pub(super) const STATE: &str = "/var/lib/stockwatch";
pub(super) const SECRETS: &str = "/etc/stockwatch/credentials";

pub(super) fn volumes(owner: &Owner, worker: &Worker<'_>) -> Vec<Volume> {
    let empty = |name: &str| Volume {
        name: name.into(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    };
    let spec = Volume {
        name: "spec".into(),
        config_map: Some(ConfigMapVolumeSource {
            name: names::owned(&owner.name),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    };
    let mut volumes = vec![spec, empty("state"), empty("tmp")];
    for (i, (secret, needs)) in worker.secrets().into_iter().enumerate() {
        // Of keys that are tried one after another, some are not there.
        let optional = needs.iter().any(|need| need.len() > 1).then_some(true);
        let keys: BTreeSet<&str> = needs.into_iter().flatten().flatten().collect();
        let item = |key: &str| KeyToPath { key: key.into(), path: key.into(), mode: None };
        volumes.push(Volume {
            name: secret_volume(i),
            secret: Some(SecretVolumeSource {
                secret_name: Some(secret.into()),
                items: Some(keys.into_iter().map(item).collect()),
                optional,
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        });
    }
    volumes.extend(source_volumes::volumes(worker));
    volumes.extend(worker.spec.volumes.iter().flatten().map(users_volume));
    volumes
}

fn users_volume(volume: &VolumeSpec) -> Volume {
    let volume = volume.clone();
    Volume {
        name: volume.name,
        config_map: volume.config_map,
        secret: volume.secret,
        empty_dir: volume.empty_dir,
        downward_api: volume.downward_api,
        projected: volume.projected,
        persistent_volume_claim: volume.persistent_volume_claim,
        csi: volume.csi,
        ..Volume::default()
    }
}

pub(super) fn mounts(worker: &Worker<'_>) -> Vec<VolumeMount> {
    let mount = |name: &str, path: String, read_only: bool| VolumeMount {
        name: name.into(),
        mount_path: path,
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    let mut mounts = vec![
        mount("spec", SPEC.into(), true),
        mount("state", STATE.into(), false),
        mount("tmp", "/tmp".into(), false),
    ];
    for (i, secret) in worker.secrets().into_keys().enumerate() {
        mounts.push(mount(&secret_volume(i), format!("{SECRETS}/{secret}"), true));
    }
    mounts.extend(source_volumes::mounts(worker));
    mounts.extend(worker.spec.volume_mounts.iter().flatten().map(|own| VolumeMount {
        sub_path: own.sub_path.clone(),
        ..mount(&own.name, own.mount_path.clone(), own.read_only == Some(true))
    }));
    mounts
}

/// A Secret's name may be longer than a volume's.
fn secret_volume(i: usize) -> String {
    format!("credentials-{i}")
}
