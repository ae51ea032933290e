//! Who a worker is to the API server, and to a cloud by the user's annotations.

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::ObjectMeta;
use stockwatch_crds::v1alpha1::WorkerSpec;

use super::Owner;

pub(super) fn build(owner: &Owner, worker: Option<&WorkerSpec>) -> ServiceAccount {
    let annotations = worker.and_then(|worker| worker.service_account_annotations.clone());
    ServiceAccount {
        metadata: ObjectMeta {
            annotations: annotations.filter(|annotations| !annotations.is_empty()),
            ..owner.metadata()
        },
        ..ServiceAccount::default()
    }
}
