//! What a worker may do: read its own StockWatch, and nothing else.

use k8s_openapi::api::rbac::v1::{PolicyRule, Role};
use kube::Resource;
use stockwatch_crds::StockWatch;

use super::Owner;

pub(super) fn build(owner: &Owner) -> Role {
    let rule = PolicyRule {
        api_groups: Some(vec![StockWatch::group(&()).into_owned()]),
        resources: Some(vec![StockWatch::plural(&()).into_owned()]),
        // A list or watch is granted by name if its field selector names the object.
        resource_names: Some(vec![owner.name.clone()]),
        verbs: ["get", "list", "watch"].map(String::from).to_vec(),
        ..PolicyRule::default()
    };
    Role { metadata: owner.metadata(), rules: Some(vec![rule]) }
}
