//! How to reach Kafka, and the names of a StockWatch there.

mod login_file;
mod oauth;
mod secret;

pub use self::login_file::LoginFile;
pub use self::oauth::OAuth;
pub(crate) use self::secret::check_secret_name;
use self::secret::key_or;
pub use self::secret::{CaSecret, ClientSecret, KeyPair, SecretKey};
use crate::limits::{MAX_BOOTSTRAP_SERVERS, MAX_USERNAME};
use crate::names::{KAFKA_NAME_RULE, is_kafka_name};
use crate::problem::{Problems, shown};
use crate::topics::Topics;
use crate::v1alpha1::{
    DeletionPolicy, KafkaSpec, Mechanism, PasswordSecretRef, SAY_NEEDS_OAUTH, SAY_NO_KERBEROS,
    SAY_NO_MSK_IAM, SAY_READABLE, SaslSpec, TlsSpec,
};

/// Of a user's name and password.
const PASSWORD_KEYS: (&str, &str) = ("username", "password");
/// Of an OAuth client's id and secret.
const CLIENT_KEYS: (&str, &str) = ("client-id", "client-secret");

/// How to reach Kafka, and the names of a StockWatch there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kafka {
    /// `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// Encrypts; `None`: plain text.
    pub tls: Option<Tls>,
    /// Authenticates by password or by tokens; `None`: not.
    pub sasl: Option<Sasl>,
    /// The consumer group, and the prefix of the transactional ids.
    pub group_id: String,
    /// The topics.
    pub topics: Topics,
    /// What becomes of the topics when the StockWatch is deleted.
    pub deletion_policy: DeletionPolicy,
}

/// TLS, with host names always verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Where the brokers' certificate authority is; `None`: the system's.
    pub ca: Option<CaSecret>,
    /// With which the client shows who it is.
    pub client: Option<ClientSecret>,
}

/// A user name and a password, or an OAuth client's id and secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sasl {
    /// How they are proved.
    pub mechanism: Mechanism,
    /// The user, or the client.
    pub username: Username,
    /// Where the password, or the client's secret, is.
    pub password: SecretKey,
    /// A file with both, in the same Secret: it counts where the keys of both are not there. `None`: the spec names keys.
    pub file: Option<LoginFile>,
    /// Where tokens come from: with OAUTHBEARER, and only with it.
    pub oauth: Option<OAuth>,
}

/// Who logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Username {
    /// The name itself.
    Given(String),
    /// A key of the Secret that has the password.
    Key(String),
}

impl Kafka {
    /// `prefix` is `<namespace>.<name>`; `has_ledger`: the StockWatch has accounts.
    pub(crate) fn parse(kafka: &KafkaSpec, has_ledger: bool, prefix: &str, problems: &mut Problems) -> Self {
        if !is_bootstrap_servers(&kafka.bootstrap_servers) {
            problems.add(
                "spec.kafka.bootstrapServers",
                format!(
                    "{} is not a list of brokers: host:port, separated by commas without spaces, \
                     at most {MAX_BOOTSTRAP_SERVERS} characters, such as kafka.kafka:9092",
                    shown(&kafka.bootstrap_servers)
                ),
            );
        }
        if let Some(group) = &kafka.group_id
            && !is_kafka_name(group)
        {
            problems
                .add("spec.kafka.groupId", format!("{} is not a group id: {KAFKA_NAME_RULE}", shown(group)));
        }
        if kafka.tls.is_none() && kafka.sasl.as_ref().is_some_and(|sasl| sasl.mechanism.is_readable()) {
            problems.add("spec.kafka.sasl.mechanism", SAY_READABLE);
        }
        Self {
            bootstrap_servers: kafka.bootstrap_servers.clone(),
            tls: kafka.tls.as_ref().map(|tls| Tls::parse(tls, problems)),
            sasl: kafka.sasl.as_ref().map(|sasl| Sasl::parse(sasl, problems)),
            group_id: kafka.group_id.clone().unwrap_or_else(|| prefix.to_owned()),
            topics: Topics::parse(kafka.topics.as_ref(), has_ledger, prefix, problems),
            deletion_policy: kafka.deletion_policy.unwrap_or_default(),
        }
    }
}

impl Tls {
    fn parse(tls: &TlsSpec, problems: &mut Problems) -> Self {
        let ca = tls.ca_secret.as_ref().map(|ca| CaSecret::parse(ca, "spec.kafka.tls.caSecret", problems));
        Self { ca, client: tls.client_secret.as_ref().map(|client| ClientSecret::parse(client, problems)) }
    }
}

impl Sasl {
    fn parse(sasl: &SaslSpec, problems: &mut Problems) -> Self {
        let PasswordSecretRef { name, username_key, password_key } = &sasl.secret;
        let path = "spec.kafka.sasl.secret";
        check_secret_name(name, &format!("{path}.name"), problems);
        let is_oauth = sasl.mechanism == Mechanism::OauthBearer;
        let ((default_user, default_password), file) =
            if is_oauth { (CLIENT_KEYS, LoginFile::OAuth) } else { (PASSWORD_KEYS, LoginFile::Plain) };
        let username_key_path = format!("{path}.usernameKey");
        let username = match &sasl.username {
            Some(user) => {
                if username_key.is_some() {
                    problems.add(
                        &username_key_path,
                        "username is the user's name itself, usernameKey the Secret's key of it: write one of them",
                    );
                }
                if !(1..=MAX_USERNAME).contains(&user.chars().count()) || user.chars().any(char::is_control) {
                    problems.add(
                        "spec.kafka.sasl.username",
                        format!(
                            "{} is not a user's name: 1 to {MAX_USERNAME} characters are allowed, \
                             none of them a control character",
                            shown(user)
                        ),
                    );
                }
                Username::Given(user.clone())
            }
            None => Username::Key(key_or(username_key, default_user, &username_key_path, problems)),
        };
        let key = key_or(password_key, default_password, &format!("{path}.passwordKey"), problems);
        let is_named = username_key.is_some() || password_key.is_some();
        let file = (!is_named).then_some(file);
        let refused = match sasl.mechanism {
            Mechanism::Gssapi => Some(SAY_NO_KERBEROS),
            Mechanism::AwsMskIam => Some(SAY_NO_MSK_IAM),
            _ => None,
        };
        if let Some(sentence) = refused {
            problems.add("spec.kafka.sasl.mechanism", sentence);
        }
        if sasl.oauth.is_some() != is_oauth {
            problems.add("spec.kafka.sasl.oauth", SAY_NEEDS_OAUTH);
        }
        let oauth = sasl.oauth.as_ref().map(|oauth| OAuth::parse(oauth, problems));
        let password = SecretKey { name: name.clone(), key };
        Self { mechanism: sasl.mechanism, username, password, file, oauth }
    }
}

fn is_bootstrap_servers(servers: &str) -> bool {
    servers.len() <= MAX_BOOTSTRAP_SERVERS && servers.split(',').all(is_server)
}

/// A name, an IPv4 address or an IPv6 address in brackets; a colon; a port.
fn is_server(server: &str) -> bool {
    let Some((host, port)) = server.rsplit_once(':') else { return false };
    let host_ok = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => {
            !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b":.".contains(&b))
        }
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)),
    };
    let port_ok = (1..=5).contains(&port.len())
        && port.bytes().all(|b| b.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port > 0);
    host_ok && port_ok
}
