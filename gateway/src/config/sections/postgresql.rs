//! `usage.postgresql_…`: where the index of usage is, if in no file.

use std::path::PathBuf;

use super::super::{PostgresqlConfig, TokenSource, reader::Reader};

const SECTION: &str = "usage";

pub(super) fn read(reader: &mut Reader<'_>) -> Option<PostgresqlConfig> {
    let url = reader.get_optional(
        SECTION,
        "postgresql_url",
        "postgresql://keyway@db.internal/keyway".to_owned(),
        "Keeps the index of usage in this database, which the nodes of a fleet may share. Records are durable in\n`path` before, and wait there while it is away. TLS, except on unix sockets and loopback.",
    );
    let file = reader.get_optional(
        SECTION,
        "postgresql_password_file",
        PathBuf::from("/etc/keyway/postgresql-password"),
        "Its password: one of these three. A file that others cannot read; it is read again each time:",
    );
    let credential = reader.get_optional(
        SECTION,
        "postgresql_password_credential",
        "postgresql-password".to_owned(),
        "A systemd credential of this name (LoadCredentialEncrypted=):",
    );
    let variable = reader.get_optional(
        SECTION,
        "postgresql_password_env",
        "POSTGRESQL_PASSWORD".to_owned(),
        "A variable of the environment:",
    );
    let ca = reader.get_optional(
        SECTION,
        "postgresql_ca",
        PathBuf::from("/etc/keyway/postgresql-ca.pem"),
        "PEM bundle to trust for it in place of the system's roots.",
    );
    reader.refuse_more_than_one(
        SECTION,
        [
            "postgresql_password_file",
            "postgresql_password_credential",
            "postgresql_password_env",
        ],
        "keep one source of the password",
    );
    match PostgresqlConfig::of_url(&url?) {
        Ok(config) => Some(PostgresqlConfig {
            password: file
                .map(TokenSource::File)
                .or_else(|| credential.map(TokenSource::SystemdCredential))
                .or_else(|| variable.map(TokenSource::Environment)),
            ca,
            ..config
        }),
        Err((problem, advice)) => {
            reader.refuse(SECTION, "postgresql_url", problem, advice);
            None
        }
    }
}
