//! Checks that several resources share. Each names the field at fault and what is wanted, never the
//! value that was sent.

use http::{HeaderName, Uri};

use super::error::ApiError;

const NAME_BYTES_LIMIT: usize = 256;
const ID_BYTES_LIMIT: usize = 128;
/// Groups, users, providers or guardrails that one document names.
const REFERENCES_LIMIT: usize = 100;
const DESCRIPTION_BYTES_LIMIT: usize = 4096;
const URL_BYTES_LIMIT: usize = 2048;
/// RFC 1035 section 2.3.4, in text.
const HOST_NAME_BYTES_LIMIT: usize = 253;
const LABEL_BYTES_LIMIT: usize = 63;

/// A display name, trimmed.
pub(super) fn display_name(field: &str, text: &str) -> Result<String, ApiError> {
    let name = text.trim();
    if name.is_empty() {
        return Err(ApiError::invalid(field, "must not be empty"));
    }
    if name.len() > NAME_BYTES_LIMIT || name.chars().any(char::is_control) {
        return Err(ApiError::invalid(
            field,
            format!("must be at most {NAME_BYTES_LIMIT} bytes without control characters"),
        ));
    }
    Ok(name.to_owned())
}

/// The `name` of a document, which has to have one.
pub(super) fn required_name(name: Option<&str>) -> Result<String, ApiError> {
    let name = name.ok_or_else(|| ApiError::invalid("name", "is required"))?;
    display_name("name", name)
}

/// The `description` of a document.
pub(super) fn description(text: String) -> Result<String, ApiError> {
    if text.len() > DESCRIPTION_BYTES_LIMIT {
        return Err(ApiError::invalid("description", "is too long"));
    }
    Ok(text)
}

/// Ids of other documents, each once.
pub(super) fn references(field: &str, ids: &[String]) -> Result<(), ApiError> {
    if ids.len() > REFERENCES_LIMIT {
        let message = format!("must name at most {REFERENCES_LIMIT}");
        return Err(ApiError::invalid(field, message));
    }
    for (i, id) in ids.iter().enumerate() {
        reference(field, id)?;
        if ids[..i].contains(id) {
            return Err(ApiError::invalid(field, "names one twice"));
        }
    }
    Ok(())
}

/// An id that becomes part of a store key.
pub(super) fn reference(field: &str, id: &str) -> Result<(), ApiError> {
    let fits = !id.is_empty()
        && id.len() <= ID_BYTES_LIMIT
        && !id.contains('/')
        && !id.chars().any(|c| c.is_control() || c.is_whitespace());
    if fits {
        Ok(())
    } else {
        Err(ApiError::invalid(
            field,
            format!("an id is 1 to {ID_BYTES_LIMIT} bytes without spaces and slashes"),
        ))
    }
}

/// `http(s)://host[:port][/path]`, without a trailing slash.
pub(super) fn upstream_url(field: &str, text: &str) -> Result<String, ApiError> {
    let refused = |message: &str| Err(ApiError::invalid(field, message));
    let text = text.trim();
    if text.len() > URL_BYTES_LIMIT {
        return refused("is too long");
    }
    if text.contains(['#', '?']) {
        return refused("must have no query and no fragment");
    }
    let Ok(url) = text.parse::<Uri>() else {
        return refused("is not a URL");
    };
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return refused("must begin with https:// or http://");
    }
    let Some(authority) = url.authority() else {
        return refused("has no host");
    };
    if authority.as_str().contains('@') {
        return refused("must not hold a user name or password");
    }
    if authority.host().is_empty() || authority.host().contains(['<', '>', '{', '}']) {
        return refused("has no host; replace the placeholder by yours");
    }
    let port = &authority.as_str()[authority.host().len()..];
    let port_fits = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(port_fits) {
        return refused("has no valid port");
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// A host name in lower case.
pub(super) fn host_name(field: &str, text: &str) -> Result<String, ApiError> {
    let name = text.trim().trim_end_matches('.').to_ascii_lowercase();
    let label_fits = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL_BYTES_LIMIT
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if name.len() <= HOST_NAME_BYTES_LIMIT && name.split('.').all(label_fits) {
        Ok(name)
    } else {
        Err(ApiError::invalid(
            field,
            "is not a host name: labels of 1 to 63 of a-z, 0-9 and inner hyphens",
        ))
    }
}

/// A header name in lower case; empty stays empty.
pub(super) fn header_name(field: &str, text: &str) -> Result<Option<String>, ApiError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    match HeaderName::try_from(text) {
        Ok(name) => Ok(Some(name.as_str().to_owned())),
        Err(_) => Err(ApiError::invalid(field, "is not a header name")),
    }
}

/// A header value of visible ASCII. Looks at the text in place: it may be a secret.
pub(super) fn header_value(field: &str, text: &str) -> Result<(), ApiError> {
    if text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        Ok(())
    } else {
        Err(ApiError::invalid(
            field,
            "must be printable ASCII to fit into a header",
        ))
    }
}

/// A rate in dollars: finite and not negative.
pub(super) fn rate(field: &str, rate: Option<&serde_json::Number>) -> Result<(), ApiError> {
    match rate.map(serde_json::Number::as_f64) {
        None => Ok(()),
        Some(Some(dollars)) if dollars.is_finite() && dollars >= 0.0 => Ok(()),
        Some(_) => Err(ApiError::invalid(field, "must be a number of 0 or more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_urls() {
        for (text, kept) in [
            ("https://api.openai.com", Some("https://api.openai.com")),
            (" https://h/v1/ ", Some("https://h/v1")),
            ("http://127.0.0.1:11434/", Some("http://127.0.0.1:11434")),
            ("https://[::1]:8443/x", Some("https://[::1]:8443/x")),
            ("api.openai.com", None),
            ("ftp://h", None),
            ("https://", None),
            ("https://user:pw@h", None),
            ("https://h?x=1", None),
            ("https://h#x", None),
            ("https://h:0", None),
            ("https://h:99999", None),
            ("https://<resource>.openai.azure.com", None),
        ] {
            assert_eq!(upstream_url("u", text).ok().as_deref(), kept, "{text}");
        }
    }

    #[test]
    fn host_names() {
        for (text, kept) in [
            ("Brave-Otter.Example", Some("brave-otter.example")),
            ("a.b.", Some("a.b")),
            ("-a.b", None),
            ("a..b", None),
            ("a_b.c", None),
            ("", None),
        ] {
            assert_eq!(host_name("h", text).ok().as_deref(), kept, "{text}");
        }
        assert!(host_name("h", &"a".repeat(64)).is_err());
        assert!(host_name("h", &"a.".repeat(128)).is_err());
    }

    #[test]
    fn rates() {
        for (json, ok) in [("0", true), ("0.00015", true), ("-0.1", false)] {
            let number: serde_json::Number = serde_json::from_str(json).expect("a number");
            assert_eq!(rate("r", Some(&number)).is_ok(), ok, "{json}");
        }
        assert!(rate("r", None).is_ok());
    }
}
