//! `[identity]`: where peers and groups come from.

use std::{path::PathBuf, time::Duration};

use super::super::{IdentityConfig, IdentitySource, NetbirdConfig, TokenSource, reader::Reader};

const SECTION: &str = "identity";

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

pub(super) fn read(reader: &mut Reader<'_>) -> IdentityConfig {
    let sources = reader.get(
        SECTION,
        "source",
        vec![IdentitySource::Static],
        "Where peers and groups come from, one or several. \"static\": kept by `keyway peers` and the API.\n\"netbird\": NetBird's management API. \"wireguard\": `keyway peers` has the public keys, the overlay's\ndevice their addresses (the node needs CAP_NET_ADMIN for it).",
    );
    let url = reader.get(
        SECTION,
        "netbird_url",
        "https://api.netbird.io".to_owned(),
        "NetBird's management API.",
    );
    let token = token(reader);
    let ca = reader.get_optional(
        SECTION,
        "netbird_ca",
        PathBuf::from("/etc/keyway/netbird-ca.pem"),
        "PEM bundle to trust for it in place of the system's roots.",
    );
    let refresh = reader.get_in(
        SECTION,
        "netbird_refresh",
        MINUTE,
        Duration::from_secs(1)..=HOUR,
        "How often peers, groups and users are read: three requests each time.",
    );
    let max_age = reader.get_in(
        SECTION,
        "netbird_max_age",
        HOUR,
        Duration::from_secs(1)..=30 * 24 * HOUR,
        "How long the last reading holds while NetBird does not answer; then its peers are let in no more.",
    );
    let timeout = reader.get_in(
        SECTION,
        "netbird_timeout",
        Duration::from_secs(30),
        Duration::from_millis(100)..=10 * MINUTE,
        "One answer, from the connection to its last byte.",
    );
    if refresh >= max_age {
        reader.refuse(
            SECTION,
            "netbird_max_age",
            format!("must be longer than `netbird_refresh` ({refresh:?})"),
            "a reading would be too old before the next one is due",
        );
    }
    let wanted = sources.contains(&IdentitySource::Netbird);
    if wanted && token.is_none() {
        reader.refuse(
            SECTION,
            "source",
            "\"netbird\" needs a token",
            "make a service user with the role auditor in NetBird, and name the file that holds its token: netbird_token_file",
        );
    }
    IdentityConfig {
        netbird: token.filter(|_| wanted).map(|token| NetbirdConfig {
            url: url.trim_end_matches('/').to_owned(),
            token,
            ca,
            refresh,
            max_age,
            timeout,
        }),
        sources,
    }
}

fn token(reader: &mut Reader<'_>) -> Option<TokenSource> {
    let file = reader.get_optional(
        SECTION,
        "netbird_token_file",
        PathBuf::from("/etc/keyway/netbird-token"),
        "An access token of a service user with the role auditor: one of these three.\nA file that others cannot read; it is read again each time:",
    );
    let credential = reader.get_optional(
        SECTION,
        "netbird_token_credential",
        "netbird-token".to_owned(),
        "A systemd credential of this name (LoadCredentialEncrypted=):",
    );
    let variable = reader.get_optional(
        SECTION,
        "netbird_token_env",
        "NETBIRD_TOKEN".to_owned(),
        "A variable of the environment:",
    );
    reader.refuse_more_than_one(
        SECTION,
        [
            "netbird_token_file",
            "netbird_token_credential",
            "netbird_token_env",
        ],
        "keep one source of the token",
    );
    file.map(TokenSource::File)
        .or_else(|| credential.map(TokenSource::SystemdCredential))
        .or_else(|| variable.map(TokenSource::Environment))
}
