//! Limits that the definition has for the API server and `Spec::parse` for a plain file.

pub(crate) const MAX_TICKERS: usize = 1000;
pub(crate) const MAX_WINDOWS: usize = 10;
pub(crate) const MAX_OVERRIDES: usize = 3;
/// Quotes that `alarms.minCount` may ask for.
pub(crate) const MAX_MIN_COUNT: i64 = 1_000_000;
/// Characters of a ticker's symbol.
pub(crate) const MAX_SYMBOL: usize = 32;
/// Characters of an entity's name.
pub(crate) const MAX_ENTITY: usize = 64;
/// Of the tickers as JSON: `kubectl apply` keeps the whole StockWatch in an annotation as well, and an object's
/// annotations have at most 256 KiB. What else a StockWatch may say takes up to 70 KB of that, and [`MAX_POD_BYTES`].
pub(crate) const MAX_TICKERS_BYTES: usize = 180_000;
/// `{"name":"","symbol":"","tolerances":[]},`
pub(crate) const TICKER_BYTES: usize = 40;
/// `{"tolerance":"","window":""},`
pub(crate) const OVERRIDE_BYTES: usize = 30;

/// 2⁵³ − 1: what every JSON reader keeps exactly.
pub(crate) const MAX_SEED: i64 = 9_007_199_254_740_991;
/// Characters of a source's base URL.
pub(crate) const MAX_URL: usize = 1024;
pub(crate) const MAX_USER_AGENT: usize = 256;
/// Tickers of one request to a provider.
pub(crate) const MAX_BATCH: i32 = 1000;
/// Characters between two tickers in a URL.
pub(crate) const MAX_SEPARATOR: usize = 16;
/// Requests to a provider in a minute.
pub(crate) const MAX_PER_MINUTE: i32 = 6000;
/// Characters of a JSON Pointer.
pub(crate) const MAX_POINTER: usize = 256;
/// Characters of a currency's name: ISO codes have 3, crypto currencies more.
pub(crate) const MAX_CURRENCY: usize = 16;

/// Characters of the list of brokers.
pub(crate) const MAX_BOOTSTRAP_SERVERS: usize = 1024;
/// Characters of a SASL user's name.
pub(crate) const MAX_USERNAME: usize = 256;
/// Characters of an OAuth scope.
pub(crate) const MAX_SCOPE: usize = 512;
/// Characters of the SASL extensions that go with a token.
pub(crate) const MAX_EXTENSIONS: usize = 1024;
/// Kafka's own limit of a topic's name; group names share it.
pub(crate) const MAX_KAFKA_NAME: usize = 249;
pub(crate) const MAX_PARTITIONS: i32 = 10_000;
pub(crate) const MAX_REPLICATION_FACTOR: i32 = 100;
/// Settings of one topic.
pub(crate) const MAX_SETTINGS: usize = 32;
pub(crate) const MAX_SETTING_KEY: usize = 64;
pub(crate) const MAX_SETTING_VALUE: usize = 256;

/// Tickers that a status names.
pub(crate) const MAX_FAILING: usize = 20;
/// Characters of the reason of one.
pub(crate) const MAX_FAILING_REASON: usize = 64;
/// Changes of tolerances that a status lists.
pub(crate) const MAX_EDITS: usize = 20;
/// Of what a user gives the worker's pods, as JSON: see [`MAX_TICKERS_BYTES`].
pub(crate) const MAX_POD_BYTES: usize = 8_000;
pub(crate) const MAX_ANNOTATIONS: usize = 32;
/// Characters of one annotation.
pub(crate) const MAX_ANNOTATION: usize = 4096;
pub(crate) const MAX_ENV: usize = 64;
pub(crate) const MAX_VOLUMES: usize = 16;
/// A DNS label.
pub(crate) const MAX_VOLUME_NAME: usize = 63;
pub(crate) const MAX_MOUNT_PATH: usize = 512;
/// A worker ends within this time.
pub(crate) const MIN_GRACE_SECONDS: i64 = 5;
pub(crate) const MAX_GRACE_SECONDS: i64 = 600;

/// Replicas of the worker.
pub(crate) const MAX_REPLICAS: i32 = 1000;
/// Characters of an image's name.
pub(crate) const MAX_IMAGE: usize = 1024;
/// Labels of a pod, and of the nodes that it may run on.
pub(crate) const MAX_LABELS: usize = 64;
/// Members of a pod's other lists.
pub(crate) const MAX_LIST: usize = 64;
/// Characters of a PriorityClass's name.
pub(crate) const MAX_PRIORITY_CLASS: usize = 253;
