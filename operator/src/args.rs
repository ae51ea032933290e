//! The command line; each option of `run` may also be given as `STOCKWATCH_…` in the environment.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use stockwatch_crds::{DurationError, parse_interval};

/// Turns each StockWatch into Kafka topics and a worker Deployment, and says how they are.
#[derive(Debug, Parser)]
#[command(name = "stockwatch-operator", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the process does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look after StockWatches until told to stop
    Run(Run),
}

/// `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The namespaces to look after, separated by commas; absent: all
    #[arg(long, env = "STOCKWATCH_NAMESPACES", value_name = "NAMES", value_delimiter = ',')]
    pub namespaces: Vec<String>,

    /// The image of a worker whose StockWatch names none
    #[arg(long, env = "STOCKWATCH_WORKER_IMAGE", value_name = "IMAGE")]
    pub worker_image: String,

    /// Secrets to pull it with, separated by commas
    #[arg(long, env = "STOCKWATCH_WORKER_PULL_SECRETS", value_name = "NAMES", value_delimiter = ',')]
    pub worker_pull_secrets: Vec<String>,

    /// When it is pulled; absent: Kubernetes' default
    #[arg(long, env = "STOCKWATCH_WORKER_PULL_POLICY", value_name = "POLICY", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub worker_pull_policy: Option<String>,

    /// The address that workers listen on; by default IPv6 and IPv4, or IPv4 alone where there is no IPv6
    #[arg(long, env = "STOCKWATCH_WORKER_LISTEN", value_name = "ADDRESS", default_value_t = IpAddr::V6(Ipv6Addr::UNSPECIFIED))]
    pub worker_listen: IpAddr,

    /// The ClusterRole whose binding lets the operator read Secrets of a namespace; empty: there is none
    #[arg(long, env = "STOCKWATCH_SECRET_ROLE", value_name = "NAME", default_value = "stockwatch-secrets")]
    pub secret_role: String,

    /// The operator's own ServiceAccount, for what it tells administrators to apply
    #[arg(
        long,
        env = "STOCKWATCH_SERVICE_ACCOUNT",
        value_name = "NAMESPACE/NAME",
        value_parser = service_account,
        default_value = "stockwatch/stockwatch-operator"
    )]
    pub service_account: ServiceAccount,

    /// Where /livez, /readyz and /metrics are served
    #[arg(long, env = "STOCKWATCH_HTTP", value_name = "ADDRESS", default_value = "[::]:8080")]
    pub http: SocketAddr,

    /// The Lease by which one of several operators leads
    #[arg(long, env = "STOCKWATCH_LEASE", value_name = "NAME", default_value = "stockwatch-operator")]
    pub lease: String,

    /// There is no other operator: no Lease is needed
    #[arg(long, env = "STOCKWATCH_NO_LEADER_ELECTION")]
    pub no_leader_election: bool,

    /// The pod's name, which holds the Lease; by the downward API
    #[arg(
        long,
        env = "POD_NAME",
        value_name = "NAME",
        hide = true,
        required_unless_present = "no_leader_election"
    )]
    pub pod_name: Option<String>,

    /// The pod's namespace, where the Lease is; by the downward API
    #[arg(
        long,
        env = "POD_NAMESPACE",
        value_name = "NAME",
        hide = true,
        required_unless_present = "no_leader_election"
    )]
    pub pod_namespace: Option<String>,

    /// How many StockWatches are reconciled at once
    #[arg(
        long,
        env = "STOCKWATCH_CONCURRENCY",
        value_name = "N",
        default_value_t = 16,
        value_parser = clap::value_parser!(u16).range(1..=256)
    )]
    pub concurrency: u16,

    /// Between two questions to a worker whether quotes flow
    #[arg(
        long,
        env = "STOCKWATCH_QUOTES_INTERVAL",
        value_name = "TIME",
        default_value = "60s",
        value_parser = quotes_interval
    )]
    pub quotes_interval: Duration,

    /// How log lines look
    #[arg(long, env = "STOCKWATCH_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

impl Run {
    /// The namespaces that are listed; an empty name, as an empty variable has it, is none.
    pub fn namespaces(&self) -> Vec<String> {
        given(&self.namespaces)
    }

    /// The pull secrets that are listed.
    pub fn pull_secrets(&self) -> Vec<String> {
        given(&self.worker_pull_secrets)
    }
}

/// A ServiceAccount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

fn service_account(text: &str) -> Result<ServiceAccount, &'static str> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok(ServiceAccount { namespace: namespace.into(), name: name.into() })
        }
        _ => Err("a namespace and a name are expected, such as stockwatch/stockwatch-operator"),
    }
}

/// Often enough to tell within minutes, and not so often that asking is work.
fn quotes_interval(text: &str) -> Result<Duration, DurationError> {
    parse_interval(text, Duration::from_millis(200)..=Duration::from_secs(600), "60s")
}

fn given(names: &[String]) -> Vec<String> {
    let mut names: Vec<String> =
        names.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::CommandFactory;

    use super::*;

    fn run(arguments: &[&str]) -> Result<Run, clap::Error> {
        let all = ["stockwatch-operator", "run", "--worker-image", "worker:1"];
        let Command::Run(run) = Arguments::try_parse_from(all.iter().chain(arguments))?.command;
        Ok(run)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn who_leads_must_be_known_unless_nobody_has_to() {
        assert!(run(&["--no-leader-election"]).is_ok());
        let elected = run(&["--pod-name", "a", "--pod-namespace", "b"]).unwrap();
        assert_eq!((elected.lease.as_str(), elected.concurrency), ("stockwatch-operator", 16));
        assert_eq!(elected.quotes_interval, Duration::from_secs(60));
    }

    #[test]
    fn an_empty_list_of_namespaces_is_all_of_them() {
        let namespaces = |list| run(&["--no-leader-election", "--namespaces", list]).unwrap().namespaces();
        assert!(namespaces("").is_empty());
        assert_eq!(namespaces("b,a, b,"), ["a", "b"]);
    }

    #[test]
    fn a_service_account_has_a_namespace() {
        let parsed = run(&["--no-leader-election", "--service-account", "ops/sw"]).unwrap().service_account;
        assert_eq!(parsed, ServiceAccount { namespace: "ops".into(), name: "sw".into() });
        assert!(run(&["--no-leader-election", "--service-account", "sw"]).is_err());
    }
}
