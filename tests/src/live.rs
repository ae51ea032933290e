//! A scene whose workers run in the cluster.

use serde_json::{Value, json};

use crate::broker::Broker;
use crate::namespace::Namespace;
use crate::scene::Scene;
use crate::until::Until;
use crate::wait::{soon, wait_for};

impl<'b> Scene<'b> {
    /// Applied as by [`Scene::apply`] and scaled to so many workers; awaited until it is ready.
    pub fn running(broker: &'b Broker, home: &Namespace, name: &str, replicas: usize) -> Self {
        let mut scene = Self::apply(broker, home, name, |_| {});
        scene.scale(home, replicas);
        scene.await_workers(home, replicas);
        scene
    }

    /// Asks for so many workers (`kubectl scale`), as its next generation.
    pub fn scale(&mut self, home: &Namespace, replicas: usize) {
        let object = self.object();
        home.kubectl(&["scale", &object, &format!("--replicas={replicas}")]);
        self.applied_again(&home.get(&object));
    }

    /// As `kubectl` names it.
    pub fn object(&self) -> String {
        format!("stockwatch/{}", self.watch.name)
    }

    /// The labels of its workers' pods.
    pub fn pods(&self) -> String {
        format!("stockwatch.dev/name={}", self.watch.name)
    }

    /// Merges something into its spec, as its next generation.
    pub fn patch(&mut self, home: &Namespace, spec: &Value) {
        let object = home.patch(&self.object(), &json!({"spec": spec}));
        self.applied_again(&object);
    }

    /// Gives all its windows another tolerance, as its next generation.
    pub fn retune(&mut self, home: &Namespace, tolerance: &str) {
        self.patch(home, &self.watch.retuned(tolerance));
    }

    /// Waits until the status says that it works by its last generation.
    pub fn await_applied(&self, home: &Namespace) {
        home.wait(90, &self.object(), &Until::applied(self.generation()));
        home.wait(90, &self.object(), &Until::ready());
    }

    /// Waits until there are so many workers, and none besides.
    pub fn await_workers(&self, home: &Namespace, replicas: usize) {
        home.wait(120, &self.object(), &Until::status("replicas", replicas));
        home.wait(120, &self.object(), &Until::ready());
        wait_for(60, &format!("{replicas} workers"), || {
            let pods = home.pods(&self.pods());
            soon(pods.len() == replicas, pods)
        });
    }
}
