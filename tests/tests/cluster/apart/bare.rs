//! One `helm install` and one `kubectl apply` on a cluster that provides no volumes.

use stockwatch_tests::{Apart, Namespace};

use super::only;
use crate::dev_kafka::TryOut;

#[test]
fn without_a_volume_alarms_come_again_after_a_restart_of_kafka() {
    let apart = Apart::new();
    let home = Namespace::create(apart.cluster(), "bare");
    let only = only(&home);
    TryOut::start(home, &["kafka.storage=", &only]).restarts("without a volume");
}
