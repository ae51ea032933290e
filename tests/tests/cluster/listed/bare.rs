//! One `helm install` and one `kubectl apply` on a cluster that provides no volumes.

use stockwatch_tests::{Listed, Namespace};

use super::only;
use crate::dev_kafka::TryOut;

#[test]
fn without_a_volume_alarms_come_again_after_a_restart_of_kafka() {
    let listed = Listed::new();
    let home = Namespace::create(listed.cluster(), "bare");
    let namespaces = only(&home);
    TryOut::start(home, &["kafka.storage=", &namespaces]).restarts("without a volume");
}
