//! What the operator is told when it starts: flags, each also an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use rehost_api::labels::gce_label_value;

use crate::access::{AccessKeys, AccessKeysError};
use crate::cloud_events::{Token, TokenError};
use crate::gce::GceSettings;
use crate::lease::LeaseSettings;

/// The namespace when nobody says which.
const NAMESPACE_DEFAULT: &str = "rehost-system";

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// A line of text, for people.
    Human,
}

/// The settings of one operator.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "rehost",
    version,
    about = "Runs notebooks on machines and in pods, and moves them with their content."
)]
pub struct Settings {
    /// What this cluster is called. It is a label on every disk and machine, so no two clusters that share a project
    /// may have the same.
    #[arg(long, env = "REHOST_CLUSTER", value_name = "NAME", value_parser = cluster_name)]
    pub cluster: String,

    /// The namespace that the operator itself runs in; its Lease is there.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE", default_value = NAMESPACE_DEFAULT, value_parser = named)]
    pub namespace: String,

    /// Who this replica is in the Lease. No two replicas may have the same. By default the name of the host.
    #[arg(long, env = "POD_NAME", value_name = "NAME", default_value_t = host_name(), value_parser = named)]
    pub identity: String,

    /// How log lines are written.
    #[arg(long, env = "REHOST_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// What is logged: a level, or a filter such as `info,rehost=debug`.
    #[arg(long, env = "RUST_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,

    /// Where probes, metrics and events are served.
    #[arg(long, env = "REHOST_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Another Compute Engine than the public one, for example a simulated one.
    #[arg(long, env = "REHOST_COMPUTE_ENDPOINT", value_name = "URL", value_parser = named)]
    pub compute_endpoint: Option<String>,

    /// The service account to act as on Google Cloud; our own identity must be allowed to.
    #[arg(long, env = "REHOST_IMPERSONATE", value_name = "ACCOUNT", value_parser = named)]
    pub impersonate: Option<String>,

    /// How many notebooks are looked at side by side.
    #[arg(long, env = "REHOST_CONCURRENCY", value_name = "COUNT", default_value_t = 32,
          value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub concurrency: u16,

    /// Seconds between two sweeps over what there is in the cloud.
    #[arg(long, env = "REHOST_SWEEP_INTERVAL_S", value_name = "SECONDS", default_value_t = 15,
          value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub sweep_interval_s: u32,

    /// A file with the bearer token that senders of CloudEvents show. Without it, `/events` is not served.
    #[arg(long, env = "REHOST_EVENTS_TOKEN_FILE", value_name = "PATH")]
    pub events_token_file: Option<PathBuf>,

    /// A file with the keys that the notebooks' tokens derive from, one a line and the present one first. Without it, nobody
    /// can open a notebook on a VM.
    #[arg(long, env = "REHOST_ACCESS_KEYS_FILE", value_name = "PATH")]
    pub access_keys_file: Option<PathBuf>,
}

/// Why a setting cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file of the token cannot be read.
    #[error("the token of events, {path}: {source}")]
    TokenFile {
        /// As it was given.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// What the file holds is no token.
    #[error("the token of events, {path}: {source}")]
    Token {
        /// As it was given.
        path: PathBuf,
        /// What is wrong with it.
        source: TokenError,
    },
    /// The keys of access cannot be used.
    #[error("the keys of access, {path}: {source}")]
    AccessKeys {
        /// As it was given.
        path: PathBuf,
        /// What is wrong with it.
        source: AccessKeysError,
    },
}

impl Settings {
    /// How to reach Compute Engine.
    pub fn gce(&self) -> GceSettings {
        GceSettings {
            endpoint: self.compute_endpoint.clone(),
            impersonate: self.impersonate.clone(),
            quota_project: None,
        }
    }

    /// Where the Lease is, and who this replica is in it.
    pub fn lease(&self) -> LeaseSettings {
        LeaseSettings { namespace: self.namespace.clone(), identity: self.identity.clone() }
    }

    /// The time between two sweeps.
    pub fn sweep_interval(&self) -> Duration {
        Duration::from_secs(self.sweep_interval_s.into())
    }

    /// Reads the token of `/events`, if there is to be one.
    pub fn events_token(&self) -> Result<Option<Token>, SettingsError> {
        let Some(path) = &self.events_token_file else { return Ok(None) };
        let text =
            std::fs::read_to_string(path).map_err(|source| SettingsError::TokenFile { path: path.clone(), source })?;
        let token = Token::new(text.trim()).map_err(|source| SettingsError::Token { path: path.clone(), source })?;
        Ok(Some(token))
    }

    /// Reads the keys of access, if there are any.
    pub fn access_keys(&self) -> Result<AccessKeys, SettingsError> {
        let Some(path) = &self.access_keys_file else { return Ok(AccessKeys::default()) };
        AccessKeys::read(path).map_err(|source| SettingsError::AccessKeys { path: path.clone(), source })
    }
}

/// A cluster's name, which goes into a label and is compared with it: it must pass unchanged.
fn cluster_name(name: &str) -> Result<String, String> {
    if name.is_empty() {
        return Err("the cluster needs a name".to_owned());
    }
    if gce_label_value(name) != name {
        return Err("it is a label in Compute Engine: at most 63 of a-z, 0-9, - and _".to_owned());
    }
    Ok(name.to_owned())
}

/// A text that says something: an empty environment variable would otherwise pass for a choice.
fn named(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("it is empty; leave it out instead".to_owned()) } else { Ok(text.to_owned()) }
}

/// The name of the host, which is that of the pod in a cluster.
fn host_name() -> String {
    hostname::get()
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "rehost".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Settings, clap::Error> {
        Settings::try_parse_from(std::iter::once("rehost").chain(arguments.iter().copied()))
    }

    #[test]
    fn the_flags_agree_with_each_other() {
        Settings::command().debug_assert();
    }

    #[test]
    fn a_name_of_the_cluster_is_enough() {
        let settings = parse(&["--cluster", "prod-1"]).unwrap();
        assert_eq!(settings.cluster, "prod-1");
        assert!(!settings.identity.is_empty());
        assert_eq!(settings.log_format, LogFormat::Json);
        assert_eq!(settings.listen.port(), 8080);
        assert_eq!(settings.concurrency, 32);
        assert_eq!(settings.sweep_interval(), Duration::from_secs(15));
        assert!(settings.events_token().unwrap().is_none());
        assert_eq!(settings.gce().endpoint, None);
    }

    #[test]
    fn every_setting_can_come_from_the_environment() {
        let without: Vec<String> = Settings::command()
            .get_arguments()
            .filter(|argument| {
                !["help", "version"].contains(&argument.get_id().as_str()) && argument.get_env().is_none()
            })
            .map(|argument| argument.get_id().to_string())
            .collect();
        assert_eq!(without, Vec::<String>::new());
    }

    #[test]
    fn what_could_not_work_is_refused_at_once() {
        for bad in [
            &["--cluster", ""][..],
            &["--cluster", "Prod"],
            &["--cluster", "a.b"],
            &["--cluster", &"a".repeat(64)],
            &["--cluster", "a", "--namespace", ""],
            &["--cluster", "a", "--identity", " "],
            &["--cluster", "a", "--compute-endpoint", ""],
            &["--cluster", "a", "--concurrency", "0"],
            &["--cluster", "a", "--sweep-interval-s", "0"],
            &["--cluster", "a", "--listen", "8080"],
            &["--cluster", "a", "--log-format", "xml"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_token_that_cannot_be_read_is_an_error_rather_than_no_token() {
        let settings = parse(&["--cluster", "a", "--events-token-file", "/nonexistent/token"]).unwrap();
        assert!(matches!(settings.events_token(), Err(SettingsError::TokenFile { .. })));
        let settings = parse(&["--cluster", "a", "--events-token-file", "/dev/null"]).unwrap();
        assert!(matches!(settings.events_token(), Err(SettingsError::Token { .. })));
    }

    #[test]
    fn keys_that_cannot_be_read_are_an_error_rather_than_no_keys() {
        for path in ["/nonexistent/keys", "/dev/null"] {
            let settings = parse(&["--cluster", "a", "--access-keys-file", path]).unwrap();
            assert!(matches!(settings.access_keys(), Err(SettingsError::AccessKeys { .. })), "{path}");
        }
        assert!(parse(&["--cluster", "a"]).unwrap().access_keys().is_ok());
    }
}
