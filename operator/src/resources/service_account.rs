//! Who a worker is to the API server.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::Owner;

pub(super) fn build(owner: &Owner) -> ServiceAccount {
    ServiceAccount { metadata: owner.metadata(), ..ServiceAccount::default() }
}
