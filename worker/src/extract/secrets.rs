//! Secrets of sources, as files `DIRECTORY/<secret name>/<key>`. They are read again while the worker runs, and their
//! values are neither logged nor said.

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Proxy;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use stockwatch_crds::{SecretKey, Source};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::fetched::FetchError;
use super::source::{Batch, Orders, RunningSource};

/// Secrets are looked at again after this time; a kubelet takes about a minute to show another value.
const AGAIN: Duration = Duration::from_secs(10);
/// A source that lacks its Secrets says so again after this time.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// A header, a URL or a bundle of certificates beyond this is a mistake.
const MAX_BYTES: u64 = 1024 * 1024;
/// What a socks proxy or one for HTTP is called.
const PROXY_SCHEMES: [&str; 4] = ["http://", "https://", "socks5://", "socks5h://"];

/// Where the Secrets of sources are.
#[derive(Debug, Clone)]
pub(super) struct SourceSecrets {
    directory: PathBuf,
}

/// What a source needs of its Secrets.
#[derive(Clone, Default)]
pub(super) struct Material {
    /// For each request.
    pub(super) headers: HeaderMap,
    /// What stands between.
    pub(super) proxy: Option<Proxy>,
    /// More authorities, as PEM.
    pub(super) authorities: Option<Vec<u8>>,
    /// All that was read, to tell another value by.
    read: Vec<(String, Vec<u8>)>,
}

/// Without the values.
impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.read.iter().map(|(name, _)| name).collect();
        f.debug_struct("Material").field("read", &names).finish_non_exhaustive()
    }
}

impl PartialEq for Material {
    fn eq(&self, other: &Self) -> bool {
        self.read == other.read
    }
}

impl SourceSecrets {
    /// Reads below this directory.
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Reads what a source needs. The error is a sentence that names the Secret and, where it is about one, the key.
    pub(super) fn read(&self, spec: &Source) -> Result<Material, String> {
        let mut material = Material::default();
        match spec {
            Source::Http(http) => {
                if let Some(name) = &http.headers_secret {
                    self.headers(name, &mut material)?;
                }
            }
            Source::Yahoo { proxy: Some(proxy), .. } => {
                let url = self.value(&proxy.url, &mut material)?;
                let at = |said: &str| format!("Secret {}: the key {} {said}", proxy.url.name, proxy.url.key);
                let text = String::from_utf8(url).map_err(|_| at("is no text"))?;
                let text = text.trim();
                if !PROXY_SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
                    return Err(at(
                        "is no proxy's URL: http://, https://, socks5:// and socks5h:// are allowed",
                    ));
                }
                // What reqwest says of it may have the password in it.
                material.proxy = Some(Proxy::all(text).map_err(|_| at("is no proxy's URL"))?);
                if let Some(authority) = &proxy.ca {
                    material.authorities = Some(self.value(authority, &mut material)?);
                }
            }
            _ => {}
        }
        Ok(material)
    }

    /// Each key of a Secret is a header's name.
    fn headers(&self, name: &str, material: &mut Material) -> Result<(), String> {
        let directory = self.directory.join(name);
        let entries = std::fs::read_dir(&directory).map_err(|error| missing(name, &directory, &error))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        // The files of a mounted Secret that are no keys start with a dot.
        let mut keys: Vec<String> = names.filter(|key| !key.starts_with('.')).collect();
        keys.sort();
        for key in keys {
            let value = self.value(&SecretKey { name: name.to_owned(), key: key.clone() }, material)?;
            let header = HeaderName::from_bytes(key.as_bytes());
            let header =
                header.map_err(|_| format!("Secret {name}: the key {key:?} is not the name of a header"))?;
            let mut value = HeaderValue::from_bytes(value.trim_ascii())
                .map_err(|_| format!("Secret {name}: the value of {key} cannot be that of a header"))?;
            value.set_sensitive(true);
            material.headers.insert(header, value);
        }
        if material.headers.is_empty() {
            return Err(format!("Secret {name} has no keys: each is the name of a header"));
        }
        Ok(())
    }

    fn value(&self, key: &SecretKey, material: &mut Material) -> Result<Vec<u8>, String> {
        let SecretKey { name, key } = key;
        let path = self.directory.join(name).join(key);
        let length = std::fs::metadata(&path).map_err(|error| missing(name, &path, &error))?.len();
        if !(1..=MAX_BYTES).contains(&length) {
            return Err(format!("Secret {name}: the key {key} is empty or larger than 1 MiB"));
        }
        let value = std::fs::read(&path).map_err(|error| missing(name, &path, &error))?;
        material.read.push((format!("{name}/{key}"), value.clone()));
        Ok(value)
    }
}

fn missing(name: &str, path: &Path, error: &io::Error) -> String {
    format!(
        "Secret {name} cannot be used: {}: {error}; it must be there and have the label \
         stockwatch.dev/credentials: \"source\"",
        path.display()
    )
}

/// Starts a source with what its Secrets hold. The error is a sentence.
pub(super) type StartWith = dyn Fn(&Material, watch::Receiver<Orders>, mpsc::Sender<Batch>) -> Result<RunningSource, String>
    + Send
    + Sync;

/// Runs a source with its Secrets: with others it starts anew, and without them it does not ask, but says why.
pub(super) async fn with_secrets(
    secrets: SourceSecrets,
    mut orders: watch::Receiver<Orders>,
    batches: mpsc::Sender<Batch>,
    start: Box<StartWith>,
) -> Infallible {
    let mut said = None;
    loop {
        let spec = orders.borrow().spec.clone();
        let read = secrets.read(&spec);
        let started = match &read {
            Ok(material) => start(material, orders.clone(), batches.clone()),
            Err(why) => Err(why.clone()),
        };
        match started {
            Ok(source) => {
                said = None;
                tokio::select! {
                    never = source => match never {},
                    () = another(&secrets, &spec, &read) => tracing::info!("the source's Secrets have changed"),
                }
            }
            Err(why) => {
                if said.as_ref() != Some(&why) {
                    tracing::error!("nothing is asked of the source: {why}");
                }
                let told = orders.borrow_and_update().clone();
                let quotes = told
                    .tickers
                    .iter()
                    .map(|ticker| (ticker.clone(), Err(FetchError::NotConfigured(why.clone()))));
                let batch =
                    Batch { took: None, interval: SAY_AGAIN, is_apart: false, quotes: quotes.collect() };
                let _ = batches.send(batch).await;
                said = Some(why);
                tokio::select! {
                    () = sleep(SAY_AGAIN) => {}
                    () = another(&secrets, &spec, &read) => {}
                    Ok(()) = orders.changed() => {}
                }
            }
        }
    }
}

/// Until the Secrets hold something else; never, if none are needed.
async fn another(secrets: &SourceSecrets, spec: &Source, before: &Result<Material, String>) {
    if spec.secrets().is_empty() {
        pending::<()>().await;
    }
    loop {
        sleep(AGAIN).await;
        // A Secret that is gone while its source works changes nothing: the values may still be good.
        match (secrets.read(spec), before) {
            (Ok(read), Ok(before)) if read != *before => return,
            (Ok(_), Err(_)) => return,
            _ => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use futures::future::FutureExt;
    use stockwatch_crds::{Proxy as ProxySpec, Ticker, YahooMode};

    use super::*;

    fn mounted(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        directory
    }

    fn provider() -> Source {
        let text = "apiVersion: stockwatch.dev/v1alpha1\nkind: StockWatch\nmetadata: {name: a}\nspec: {tickers: [{symbol: \
                    A}], kafka: {bootstrapServers: 'k:1'}, source: {http: {url: 'https://p/{symbol}', price: /p, time: /t, \
                    headersSecret: {name: keys}}}}";
        stockwatch_crds::load(text).unwrap().spec.source
    }

    fn proxied() -> Source {
        let key = |key: &str| SecretKey { name: "proxy".into(), key: key.into() };
        Source::Yahoo {
            mode: YahooMode::Spark,
            interval: Duration::from_secs(60),
            base_url: "https://query1.finance.yahoo.com".into(),
            user_agent: "a".into(),
            proxy: Some(ProxySpec { url: key("url"), ca: None }),
        }
    }

    fn read(directory: &tempfile::TempDir, spec: &Source) -> Result<Material, String> {
        SourceSecrets::new(directory.path()).read(spec)
    }

    #[test]
    fn each_key_of_a_secret_is_a_header_and_its_value_never_shows() {
        let files = [("keys/X-Token", "hunter2\n"), ("keys/apikey", "k"), ("keys/..data", "x")];
        let material = read(&mounted(&files), &provider()).unwrap();
        assert_eq!(material.headers.len(), 2);
        assert_eq!(material.headers["x-token"], "hunter2", "without the line end");
        assert!(!format!("{material:?} {:?}", material.headers).contains("hunter2"));
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_said_without_its_value() {
        for (files, spec, expected) in [
            (vec![], provider(), "Secret keys cannot be used"),
            (vec![("keys/.hidden", "x")], provider(), "Secret keys has no keys"),
            (vec![("keys/a b", "hunter2")], provider(), "is not the name of a header"),
            (vec![("keys/a", "hunter2\r\nb: c")], provider(), "the value of a cannot be"),
            (vec![("keys/a", "")], provider(), "is empty"),
            (vec![("proxy/user", "hunter2")], proxied(), "Secret proxy cannot be used"),
            (vec![("proxy/url", "hunter2")], proxied(), "the key url is no proxy's URL"),
            (vec![("proxy/url", "http://:hunter2@")], proxied(), "the key url is no proxy's URL"),
        ] {
            let said = read(&mounted(&files), &spec).unwrap_err();
            assert!(said.contains(expected) && !said.contains("hunter2"), "{said}");
        }
        for url in ["http://u:p@proxy:3128", "socks5h://10.0.0.1:1080\n", "https://proxy"] {
            assert!(read(&mounted(&[("proxy/url", url)]), &proxied()).unwrap().proxy.is_some(), "{url}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_waits_for_its_secrets_and_starts_anew_with_others() {
        let directory = mounted(&[]);
        let ticker = Arc::new(Ticker { symbol: "A".into(), entity: "a".into(), overrides: vec![] });
        let orders = Orders { spec: provider(), tickers: vec![ticker], owned: 1, partitions: 1 };
        let (_told, orders) = watch::channel(orders);
        let (batches, mut heard) = mpsc::channel(1);
        let (starts, mut started) = mpsc::unbounded_channel();
        let start: Box<StartWith> = Box::new(move |material, _, _| {
            starts.send(material.headers["key"].clone()).unwrap();
            Ok(pending().boxed())
        });
        let secrets = SourceSecrets::new(directory.path());
        let task = tokio::spawn(with_secrets(secrets, orders, batches, start));
        let batch = heard.recv().await.unwrap();
        assert!(
            matches!(&batch.quotes[..], [(_, Err(FetchError::NotConfigured(said)))] if said.contains("keys"))
        );
        assert!(started.try_recv().is_err(), "nothing is asked");

        for value in ["one", "two"] {
            fs::create_dir_all(directory.path().join("keys")).unwrap();
            fs::write(directory.path().join("keys/key"), value).unwrap();
            assert_eq!(started.recv().await.unwrap(), value);
        }
        task.abort();
    }
}
