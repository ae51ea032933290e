//! The workers' addresses, by the EndpointSlices of their Service.

use std::net::IpAddr;

use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::resources::HTTP;

/// A ready worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The pod's name.
    pub pod: String,
    /// The pod's uid.
    pub uid: String,
    /// Where it answers.
    pub address: IpAddr,
    /// Where it answers.
    pub port: u16,
}

/// The ready workers of a slice.
pub fn endpoints(slice: &EndpointSlice) -> Vec<Endpoint> {
    let ports = slice.ports.as_deref().unwrap_or_default();
    let port = ports.iter().find(|port| port.name.as_deref() == Some(HTTP)).and_then(|port| port.port);
    let Some(port) = port.and_then(|port| u16::try_from(port).ok()) else { return Vec::new() };
    let ready = slice.endpoints.iter().filter(|endpoint| {
        endpoint.conditions.as_ref().is_none_or(|conditions| conditions.ready != Some(false))
    });
    let known = ready.filter_map(|endpoint| {
        let pod = endpoint.target_ref.as_ref()?;
        Some(Endpoint {
            pod: pod.name.clone()?,
            uid: pod.uid.clone()?,
            address: endpoint.addresses.first()?.parse().ok()?,
            port,
        })
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn only_ready_pods_are_asked() {
        let endpoint = |pod: &str, ready: bool| {
            json!({
                "addresses": ["10.0.0.1"],
                "conditions": {"ready": ready, "serving": ready, "terminating": false},
                "targetRef": {"kind": "Pod", "name": pod, "uid": pod},
            })
        };
        let slice: EndpointSlice = serde_json::from_value(json!({
            "metadata": {"name": "x"},
            "addressType": "IPv4",
            "endpoints": [endpoint("a", true), endpoint("b", false)],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        }))
        .unwrap();
        let found = endpoints(&slice);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].pod.as_str(), found[0].port), ("a", 8080));
    }
}
