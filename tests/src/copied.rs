//! The chart as another version of it would be.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::chart::{Object, rendered_chart};
use crate::helm::CHART;

/// A copy of the chart.
#[derive(Debug)]
pub struct Copied(tempfile::TempDir);

impl Copied {
    /// A copy whose `version` and `appVersion` are this one.
    pub fn with_version(version: &str) -> Self {
        Self::with("Chart.yaml", |chart| {
            (chart["version"], chart["appVersion"]) = (version.into(), version.into());
        })
    }

    /// A copy with a change of one of its files of YAML.
    pub fn with(file: &str, change: impl FnOnce(&mut Value)) -> Self {
        let copy = tempfile::tempdir().unwrap();
        copy_to(copy.path());
        let file = copy.path().join(file);
        let mut content: Value = serde_yaml::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        change(&mut content);
        std::fs::write(file, serde_yaml::to_string(&content).unwrap()).unwrap();
        Self(copy)
    }

    /// The same with one of its files replaced.
    #[must_use]
    pub fn replacing(self, file: &str, by: &Path) -> Self {
        std::fs::copy(by, self.path().join(file)).unwrap();
        self
    }

    /// A chart of which ours is a part, if its values say so under `stockwatch.enabled`.
    pub fn in_another() -> Self {
        let another = tempfile::tempdir().unwrap();
        let part = another.path().join("charts/stockwatch");
        std::fs::create_dir_all(&part).unwrap();
        copy_to(&part);
        let chart = json!({
            "apiVersion": "v2", "name": "another", "version": "1.0.0",
            "dependencies": [{"name": "stockwatch", "version": "*", "condition": "stockwatch.enabled"}],
        });
        std::fs::write(another.path().join("Chart.yaml"), chart.to_string()).unwrap();
        Self(another)
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// What a release of it would consist of, as [`crate::rendered`] gives it.
    pub fn rendered(&self, release: &str, namespace: &str, values: &str) -> Vec<Object> {
        rendered_chart(self.path(), release, namespace, values)
    }
}

fn copy_to(directory: &Path) {
    let copied = Command::new("cp").args(["-r", &format!("{CHART}/.")]).arg(directory).status().unwrap();
    assert!(copied.success());
}
