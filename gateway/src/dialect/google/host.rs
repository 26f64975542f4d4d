//! What the name of a host of Vertex AI tells: the location that it serves.

/// Serves every location's models, from wherever there is room.
pub const GLOBAL: &str = "global";

const DOMAIN: &str = ".googleapis.com";

/// Reads a lower-case host name: `{location}-aiplatform.googleapis.com`,
/// `aiplatform.{us|eu}.rep.googleapis.com` or `aiplatform.googleapis.com`, which is [`GLOBAL`]. `None` for any
/// other host.
pub fn location(host: &str) -> Option<&str> {
    let name = host.strip_suffix(DOMAIN)?;
    if name == "aiplatform" {
        return Some(GLOBAL);
    }
    let multi_region = || name.strip_prefix("aiplatform.")?.strip_suffix(".rep");
    name.strip_suffix("-aiplatform")
        .or_else(multi_region)
        .filter(|location| !location.is_empty() && !location.contains('.'))
}

/// The host that serves a location.
pub fn of_location(location: &str) -> String {
    match location {
        GLOBAL => format!("aiplatform{DOMAIN}"),
        "us" | "eu" => format!("aiplatform.{location}.rep{DOMAIN}"),
        _ => format!("{location}-aiplatform{DOMAIN}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_tell_their_location() {
        for (host, expected) in [
            ("aiplatform.googleapis.com", Some("global")),
            (
                "europe-west4-aiplatform.googleapis.com",
                Some("europe-west4"),
            ),
            ("aiplatform.eu.rep.googleapis.com", Some("eu")),
            ("aiplatform.rep.googleapis.com", None),
            ("-aiplatform.googleapis.com", None),
            ("a.b-aiplatform.googleapis.com", None),
            ("europe-west4-aiplatform.example.com", None),
            ("127.0.0.1", None),
        ] {
            assert_eq!(location(host), expected, "{host}");
            if let Some(location) = expected {
                assert_eq!(of_location(location), host);
            }
        }
    }
}
