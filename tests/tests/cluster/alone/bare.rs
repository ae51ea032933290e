//! One `helm install` and one `kubectl apply` on a cluster that provides no volumes.

use stockwatch_tests::{Alone, Namespace};

use crate::dev_kafka::TryOut;

#[test]
fn without_a_volume_alarms_come_again_after_a_restart_of_kafka() {
    let alone = Alone::new();
    let cluster = alone.without_release();
    TryOut::start(Namespace::create(cluster, "bare"), &["kafka.storage="]).restarts("without a volume");
}
