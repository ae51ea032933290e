//! Names the workers' addresses, by EndpointSlices, to whoever scrapes or asks them.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Owner;
use crate::names;

/// The name of the worker's port.
pub const HTTP: &str = "http";
/// The worker's port.
pub const HTTP_PORT: u16 = 8080;

pub(super) fn build(owner: &Owner) -> Service {
    Service {
        metadata: owner.metadata(),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".into()),
            ip_family_policy: Some("PreferDualStack".into()),
            selector: Some(names::selector(&owner.name)),
            ports: Some(vec![ServicePort {
                name: Some(HTTP.into()),
                port: HTTP_PORT.into(),
                protocol: Some("TCP".into()),
                target_port: Some(IntOrString::String(HTTP.into())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
