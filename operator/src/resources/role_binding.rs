//! Grants a worker its role.

use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};

use super::{Kind, Owner};
use crate::names;

pub(super) fn build(owner: &Owner) -> RoleBinding {
    RoleBinding {
        metadata: owner.metadata(),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".into(),
            kind: Kind::Role.to_string(),
            name: names::owned(&owner.name),
        },
        subjects: Some(vec![Subject {
            kind: Kind::ServiceAccount.to_string(),
            name: names::owned(&owner.name),
            namespace: Some(owner.namespace.clone()),
            api_group: None,
        }]),
    }
}
