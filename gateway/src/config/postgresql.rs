//! `usage.postgresql_…`: the index of usage in PostgreSQL, in place of a file of SQLite's.

use std::{net::IpAddr, path::PathBuf};

use tokio_postgres::config::{Host, SslMode};

use super::TokenSource;

const APPLICATION_NAME: &str = "keyway";

/// A database for the index, shared by the nodes of a fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresqlConfig {
    /// Without a password.
    pub server: tokio_postgres::Config,
    /// Its certificate and its name are verified. Without: unix sockets and loopback.
    pub tls: bool,
    /// Read for each connection.
    pub password: Option<TokenSource>,
    /// PEM bundle to trust in place of the system's roots.
    pub ca: Option<PathBuf>,
}

/// What is wrong with a URL, and what to do about it.
type Complaint = (String, &'static str);

impl PostgresqlConfig {
    /// Reads a connection URL (libpq 34.1.1.2), which may name several hosts.
    ///
    /// # Errors
    /// When it is none, has a password in it, or would go unprotected over a network.
    pub fn of_url(url: &str) -> Result<Self, Complaint> {
        const FORM: &str = "write postgresql://USER@HOST/DATABASE";
        if !url.starts_with("postgresql://") && !url.starts_with("postgres://") {
            return Err(("is no URL of a database".to_owned(), FORM));
        }
        let parsed: Result<tokio_postgres::Config, _> = url.parse();
        let mut server = parsed.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            (cause.unwrap_or_else(|| error.to_string()), FORM)
        })?;
        if server.get_password().is_some() {
            return Err((
                "has a password in it".to_owned(),
                "take it out, and name a file that holds it: postgresql_password_file",
            ));
        }
        if server.get_hosts().is_empty() {
            return Err(("names no host".to_owned(), FORM));
        }
        let tls = match (is_local(&server), server.get_ssl_mode()) {
            (false, SslMode::Disable) => {
                return Err((
                    "sslmode=disable would send what agents do over a network in the clear"
                        .to_owned(),
                    "leave it out",
                ));
            }
            (true, mode) => mode == SslMode::Require,
            (false, _) => true,
        };
        server.ssl_mode(match tls {
            true => SslMode::Require,
            false => SslMode::Disable,
        });
        if server.get_application_name().is_none() {
            server.application_name(APPLICATION_NAME);
        }
        Ok(Self {
            server,
            tls,
            password: None,
            ca: None,
        })
    }
}

/// Whether every host is on this machine.
fn is_local(server: &tokio_postgres::Config) -> bool {
    let hosts = server.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        }
    });
    hosts && server.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn networks_take_tls_and_this_machine_need_not() {
        for (url, tls) in [
            ("postgresql://keyway@db.internal/keyway", true),
            (
                "postgresql://keyway@db.internal/keyway?sslmode=prefer",
                true,
            ),
            ("postgresql://keyway@127.0.0.1:5433,db2/keyway", true),
            (
                "postgresql://keyway@localhost/keyway?hostaddr=10.0.0.1",
                true,
            ),
            ("postgresql://keyway@localhost/keyway?sslmode=require", true),
            ("postgres://keyway@[::1]/keyway", false),
            ("postgresql://keyway@%2Frun%2Fpostgresql/keyway", false),
            ("postgresql:///keyway?host=/run/postgresql", false),
        ] {
            let config = PostgresqlConfig::of_url(url).unwrap();
            let mode = config.server.get_ssl_mode();
            assert_eq!((config.tls, mode == SslMode::Require), (tls, tls), "{url}");
            assert_eq!(config.server.get_application_name(), Some("keyway"));
        }
    }

    #[test]
    fn a_url_without_protection_or_with_a_password_is_refused() {
        for (url, problem) in [
            ("db.internal", "no URL"),
            ("host=db.internal password=hunter2", "no URL"),
            (
                "postgresql://keyway:hunter2@db.internal/keyway",
                "password in it",
            ),
            (
                "postgresql://keyway@db.internal/keyway?password=hunter2",
                "password in it",
            ),
            (
                "postgresql://keyway@db.internal/keyway?sslmode=disable",
                "in the clear",
            ),
            ("postgresql:///keyway", "no host"),
            ("postgresql://keyway@db:port/keyway", "port"),
            ("postgresql://keyway@db/keyway?colour=red", "colour"),
        ] {
            let (found, _) = PostgresqlConfig::of_url(url).unwrap_err();
            assert!(found.contains(problem), "{url}: {found}");
            assert!(!found.contains("hunter2"), "{found}");
        }
    }
}
