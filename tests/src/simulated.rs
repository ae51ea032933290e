//! StockWatches of a cluster whose workers make up their quotes.

use serde_json::{Value, json};

use crate::broker::Broker;
use crate::namespace::Namespace;
use crate::until::Until;
use crate::watch::Watch;

impl Watch {
    /// A StockWatch of a namespace in a cluster, with a made-up quote of each ticker every second.
    pub fn simulated(namespace: &str, name: &str, bootstrap: &str) -> Self {
        let mut watch = Self::new(name, bootstrap);
        watch.move_to(namespace);
        watch.source = json!({"simulated": {"interval": "1s", "seed": 1}});
        watch
    }

    /// A patch of the spec that gives all windows another tolerance.
    pub(crate) fn retuned(&self, tolerance: &str) -> Value {
        let window =
            |(minutes, _): &(u32, String)| json!({"duration": format!("{minutes}m"), "tolerance": tolerance});
        json!({"windows": self.windows.iter().map(window).collect::<Value>()})
    }
}

impl Namespace {
    /// Applies a StockWatch of [`Watch::simulated`] on the shared broker, with a change.
    pub fn simulate(&self, name: &str, change: impl FnOnce(&mut Watch)) {
        let mut watch = Watch::simulated(self.name(), name, Broker::shared_for_pods().bootstrap());
        change(&mut watch);
        self.apply(&watch.text()).unwrap();
    }

    /// Gives all windows of a StockWatch another tolerance; the status is to say that its workers judge by it.
    pub fn retune(&self, name: &str, tolerance: &str) -> Until {
        let object = format!("stockwatch/{name}");
        let spec = Watch::of(&self.get(&object)).retuned(tolerance);
        let edited = self.patch(&object, &json!({"spec": spec}));
        Until::applied(edited["metadata"]["generation"].as_u64().unwrap())
    }

    /// Waits until a StockWatch that was just applied is ready.
    pub fn await_ready(&self, name: &str) {
        self.wait(120, &format!("stockwatch/{name}"), &Until::ready());
    }
}
