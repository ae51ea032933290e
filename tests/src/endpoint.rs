//! What a program of ours says over HTTP.

use std::sync::LazyLock;
use std::time::Duration;

use reqwest::blocking::Client;

/// Each client has a thread of its own: one is enough for all.
static HTTP: LazyLock<Client> =
    LazyLock::new(|| Client::builder().timeout(Duration::from_secs(2)).build().unwrap());

/// The HTTP server of a worker or an operator.
#[derive(Debug, Clone)]
pub struct Endpoint {
    address: String,
}

impl Endpoint {
    /// The server at `host:port`.
    pub fn new(address: String) -> Self {
        Self { address }
    }

    /// What a path answers; `Err` says why there is no answer.
    pub fn get(&self, path: &str) -> Result<(u16, String), String> {
        let url = format!("http://{}{path}", self.address);
        let answer = HTTP.get(url).send().map_err(|error| error.to_string())?;
        Ok((answer.status().as_u16(), answer.text().map_err(|error| error.to_string())?))
    }

    /// The sum of a metric's samples whose labels have `label` in them, as `outcome="ok"`; 0 where there is none.
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let Ok((_, text)) = self.get("/metrics") else { return 0.0 };
        let value = |line: &str| {
            let (sample, value) = line.rsplit_once(' ')?;
            let (family, labels) = sample.split_once('{').unwrap_or((sample, ""));
            let named = family.trim_end_matches("_total") == format!("stockwatch_{name}");
            (named && labels.contains(label)).then(|| value.parse::<f64>().ok())?
        };
        text.lines().filter_map(value).sum()
    }

    /// What a worker's `/config` says.
    pub fn config(&self) -> serde_json::Value {
        serde_json::from_str(&self.get("/config").unwrap().1).unwrap()
    }
}
