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
/// annotations have at most 256 KiB. What else a StockWatch may say takes up to 70 KB of that.
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

/// Characters of the list of brokers.
pub(crate) const MAX_BOOTSTRAP_SERVERS: usize = 1024;
/// Kafka's own limit of a topic's name; group names share it.
pub(crate) const MAX_KAFKA_NAME: usize = 249;
pub(crate) const MAX_PARTITIONS: i32 = 10_000;
pub(crate) const MAX_REPLICATION_FACTOR: i32 = 100;
/// Settings of one topic.
pub(crate) const MAX_SETTINGS: usize = 32;
pub(crate) const MAX_SETTING_KEY: usize = 64;
pub(crate) const MAX_SETTING_VALUE: usize = 256;
