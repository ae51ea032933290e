//! What a user may give the worker's pods, and which Secrets those would see.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use serde::Serialize;

use crate::limits::{
    MAX_ANNOTATION, MAX_ANNOTATIONS, MAX_ENV, MAX_GRACE_SECONDS, MAX_IMAGE, MAX_LABELS, MAX_LIST,
    MAX_MOUNT_PATH, MAX_POD_BYTES, MAX_REPLICAS, MAX_VOLUME_NAME, MAX_VOLUMES, MIN_GRACE_SECONDS,
};
use crate::names::{is_label, is_subdomain};
use crate::problem::{Problems, shown};
use crate::v1alpha1::{MountSpec, VolumeSpec, WorkerSpec};

/// What the operator's own annotations begin with.
const OURS: &str = "stockwatch.dev/";
/// The operator's own environment variable.
const POD_NAME: &str = "POD_NAME";
const OUR_VOLUMES: [&str; 3] = ["spec", "state", "tmp"];
const OUR_VOLUMES_BEGIN: &str = "credentials";
/// The Secrets of sources, which the operator counts.
const OUR_SOURCES_BEGIN: &str = "source-";
/// Where the worker and Kubernetes have files of their own.
const OUR_PATHS: [&str; 6] =
    ["/etc/stockwatch", "/var/lib/stockwatch", "/tmp", "/var/run/secrets", "/run/secrets", "/usr/local/bin"];

/// The rules of the definition for annotations, env, volumes and their mounts.
fn check(worker: &WorkerSpec, problems: &mut Problems) {
    for (field, annotations) in [
        ("annotations", &worker.annotations),
        ("serviceAccountAnnotations", &worker.service_account_annotations),
    ] {
        let Some(annotations) = annotations else { continue };
        let path = format!("spec.worker.{field}");
        if annotations.len() > MAX_ANNOTATIONS {
            problems.add(&path, format!("at most {MAX_ANNOTATIONS} are allowed"));
        }
        for (key, value) in annotations {
            if key.starts_with(OURS) {
                let key = shown(key);
                problems.add(
                    &path,
                    format!("{key}: annotations of {OURS} are the operator's own: choose another prefix"),
                );
            }
            if value.chars().count() > MAX_ANNOTATION {
                problems
                    .add(format!("{path}.{key}"), format!("at most {MAX_ANNOTATION} characters are allowed"));
            }
        }
    }
    for (i, env) in worker.env.iter().flatten().enumerate() {
        if env.name == POD_NAME {
            problems
                .add(format!("spec.worker.env[{i}].name"), "POD_NAME is set by the operator: leave it out");
        }
    }
    let named = worker.env.iter().flatten().map(|env| &*env.name);
    refuse_repeated("env", "name", named, problems);
    let volumes = worker.volumes.as_deref().unwrap_or_default();
    for (i, volume) in volumes.iter().enumerate() {
        check_volume(volume, &format!("spec.worker.volumes[{i}]"), problems);
    }
    refuse_repeated("volumes", "name", volumes.iter().map(|volume| &*volume.name), problems);
    let mounts = worker.volume_mounts.as_deref().unwrap_or_default();
    for (i, mount) in mounts.iter().enumerate() {
        let path = format!("spec.worker.volumeMounts[{i}]");
        if !volumes.iter().any(|volume| volume.name == mount.name) {
            problems.add(
                format!("{path}.name"),
                format!("{} is none of spec.worker.volumes", shown(&mount.name)),
            );
        }
        check_mount(mount, &path, problems);
    }
    refuse_repeated("volumeMounts", "mountPath", mounts.iter().map(|mount| &*mount.mount_path), problems);
    for name in worker.pod_secrets().into_iter().filter(|name| !is_subdomain(name)) {
        problems.add("spec.worker", format!("{} is not the name of a Secret", shown(name)));
    }
    let bytes = bytes(worker);
    if bytes > MAX_POD_BYTES {
        problems.add(
            "spec.worker",
            format!(
                "{bytes} bytes of annotations, env, envFrom, volumes and volumeMounts: at most {MAX_POD_BYTES} are \
                 allowed, so that kubectl apply can keep its copy: put more into a ConfigMap"
            ),
        );
    }
}

fn check_volume(volume: &VolumeSpec, path: &str, problems: &mut Problems) {
    let VolumeSpec {
        name,
        config_map,
        secret,
        empty_dir,
        downward_api,
        projected,
        persistent_volume_claim: claim,
        csi,
    } = volume;
    if !is_label(name, MAX_VOLUME_NAME) {
        problems.add(
            format!("{path}.name"),
            format!(
                "{} is not the name of a volume: 1 to {MAX_VOLUME_NAME} of a-z, 0-9 and '-', starting and ending \
                 with a letter or digit",
                shown(name)
            ),
        );
    } else if is_ours(name) {
        problems.add(
            format!("{path}.name"),
            format!("{} is a volume of the operator: choose another name", shown(name)),
        );
    }
    let sources = [
        config_map.is_some(),
        secret.is_some(),
        empty_dir.is_some(),
        downward_api.is_some(),
        projected.is_some(),
        claim.is_some(),
        csi.is_some(),
    ];
    if sources.into_iter().filter(|given| *given).count() != 1 {
        problems.add(
            path,
            "a volume is exactly one of configMap, secret, emptyDir, downwardAPI, projected, persistentVolumeClaim and \
             csi; hostPath and others are not allowed: use a persistentVolumeClaim",
        );
    }
}

/// Whether the operator has, or may come to have, a volume of this name.
fn is_ours(volume: &str) -> bool {
    let source = volume.strip_prefix(OUR_SOURCES_BEGIN).unwrap_or_default();
    OUR_VOLUMES.contains(&volume)
        || volume.starts_with(OUR_VOLUMES_BEGIN)
        || (!source.is_empty() && source.bytes().all(|byte| byte.is_ascii_digit()))
}

fn check_mount(mount: &MountSpec, path: &str, problems: &mut Problems) {
    let at = &*mount.mount_path;
    let path_of = format!("{path}.mountPath");
    let is_path = (2..=MAX_MOUNT_PATH).contains(&at.chars().count())
        && !at.contains(':')
        && at.strip_prefix('/').is_some_and(|at| at.split('/').all(|part| !matches!(part, "" | "." | "..")));
    let within = |a: &str, b: &str| format!("{a}/").starts_with(&format!("{b}/"));
    if !is_path {
        problems.add(
            path_of,
            format!(
                "{} is not a path of the container: it begins with /, and has no :, no . or .. and no / at its end",
                shown(at)
            ),
        );
    } else if OUR_PATHS.iter().any(|ours| within(at, ours) || within(ours, at)) {
        problems.add(
            path_of,
            format!(
                "{} cannot be mounted: the worker has its own in {}: choose another path",
                shown(at),
                OUR_PATHS.join(", ")
            ),
        );
    }
    if mount.sub_path.as_ref().is_some_and(|path| path.chars().count() > MAX_MOUNT_PATH) {
        problems.add(format!("{path}.subPath"), format!("at most {MAX_MOUNT_PATH} characters are allowed"));
    }
}

fn refuse_repeated<'a>(
    field: &str,
    key: impl Display,
    values: impl Iterator<Item = &'a str>,
    problems: &mut Problems,
) {
    let mut seen = BTreeSet::new();
    for (i, value) in values.enumerate() {
        if !seen.insert(value) {
            problems
                .add(format!("spec.worker.{field}[{i}].{key}"), format!("{} is listed twice", shown(value)));
        }
    }
}

/// As JSON, without the fields' own names.
fn bytes(worker: &WorkerSpec) -> usize {
    fn of<T: Serialize>(field: Option<&T>) -> usize {
        field.and_then(|field| serde_json::to_string(field).ok()).map_or(0, |text| text.len())
    }
    of(worker.annotations.as_ref())
        + of(worker.service_account_annotations.as_ref())
        + of(worker.env.as_ref())
        + of(worker.env_from.as_ref())
        + of(worker.volumes.as_ref())
        + of(worker.volume_mounts.as_ref())
}

impl WorkerSpec {
    /// The rules of the definition; what only the API server knows of pods is left to it.
    pub(crate) fn check(&self, problems: &mut Problems) {
        if let Some(replicas) = self.replicas
            && !(0..=MAX_REPLICAS).contains(&replicas)
        {
            problems.add(
                "spec.worker.replicas",
                format!("{replicas} is out of range: 0 to {MAX_REPLICAS} is allowed"),
            );
        }
        if let Some(image) = &self.image
            && !(1..=MAX_IMAGE).contains(&image.chars().count())
        {
            problems.add("spec.worker.image", format!("1 to {MAX_IMAGE} characters are allowed"));
        }
        let lengths = [
            ("imagePullSecrets", self.image_pull_secrets.as_ref().map(Vec::len), MAX_LIST),
            ("nodeSelector", self.node_selector.as_ref().map(BTreeMap::len), MAX_LABELS),
            ("tolerations", self.tolerations.as_ref().map(Vec::len), MAX_LIST),
            ("topologySpreadConstraints", self.topology_spread_constraints.as_ref().map(Vec::len), MAX_LIST),
            ("labels", self.labels.as_ref().map(BTreeMap::len), MAX_LABELS),
            ("env", self.env.as_ref().map(Vec::len), MAX_ENV),
            ("envFrom", self.env_from.as_ref().map(Vec::len), MAX_ENV),
            ("volumes", self.volumes.as_ref().map(Vec::len), MAX_VOLUMES),
            ("volumeMounts", self.volume_mounts.as_ref().map(Vec::len), MAX_VOLUMES),
        ];
        for (field, length, most) in lengths {
            if length.is_some_and(|length| length > most) {
                problems.add(format!("spec.worker.{field}"), format!("at most {most} are allowed"));
            }
        }
        if let Some(class) = &self.priority_class_name
            && !is_subdomain(class)
        {
            problems.add(
                "spec.worker.priorityClassName",
                format!("{} is not the name of a PriorityClass", shown(class)),
            );
        }
        if let Some(seconds) = self.termination_grace_period_seconds
            && !(MIN_GRACE_SECONDS..=MAX_GRACE_SECONDS).contains(&seconds)
        {
            problems.add(
                "spec.worker.terminationGracePeriodSeconds",
                format!("{seconds} is out of range: {MIN_GRACE_SECONDS} to {MAX_GRACE_SECONDS} is allowed"),
            );
        }
        check(self, problems);
    }

    /// The names of the Secrets that the pods would see by env, envFrom and volumes.
    pub fn pod_secrets(&self) -> BTreeSet<&str> {
        let env = self
            .env
            .iter()
            .flatten()
            .filter_map(|env| Some(&*env.value_from.as_ref()?.secret_key_ref.as_ref()?.name));
        let env_from =
            self.env_from.iter().flatten().filter_map(|from| Some(&*from.secret_ref.as_ref()?.name));
        env.chain(env_from).chain(self.volumes.iter().flatten().flat_map(volume_secrets)).collect()
    }
}

fn volume_secrets(volume: &VolumeSpec) -> impl Iterator<Item = &str> {
    let whole = volume.secret.as_ref().and_then(|secret| secret.secret_name.as_deref());
    let driver = volume.csi.as_ref().and_then(|csi| Some(&*csi.node_publish_secret_ref.as_ref()?.name));
    let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    let projected = sources.filter_map(|source| Some(&*source.secret.as_ref()?.name));
    whole.into_iter().chain(driver).chain(projected)
}
