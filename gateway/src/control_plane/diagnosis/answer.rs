//! From a vendor's answer: its status and the words that it uses for what went wrong.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::{Diagnosis, Trouble, url_remedy};
use crate::control_plane::catalog::CatalogEntry;

/// AWS puts the exception's name here.
const AWS_ERROR_TYPE: &str = "x-amzn-errortype";

/// Longest word that can be one of the vendors'.
const WORD_BYTES_LIMIT: usize = 64;

/// Words of the vendors', the telling ones first. Where a body holds several, the first row counts.
#[rustfmt::skip]
const WORDS: &[(&str, Trouble)] = &[
    // Google
    ("SERVICE_DISABLED", Trouble::ApiDisabled),
    ("API_KEY_INVALID", Trouble::BadKey),
    ("API_KEY_SERVICE_BLOCKED", Trouble::NoAccess),
    ("ACCESS_TOKEN_EXPIRED", Trouble::BadKey),
    ("BILLING_DISABLED", Trouble::NoCredit),
    ("UNAUTHENTICATED", Trouble::BadKey),
    ("PERMISSION_DENIED", Trouble::NoAccess),
    ("RESOURCE_EXHAUSTED", Trouble::RateLimited),
    // AWS
    ("UnrecognizedClientException", Trouble::BadKey),
    ("InvalidSignatureException", Trouble::BadKey),
    ("IncompleteSignatureException", Trouble::BadKey),
    ("MissingAuthenticationTokenException", Trouble::BadKey),
    ("ExpiredTokenException", Trouble::BadKey),
    ("AccessDeniedException", Trouble::NoAccess),
    ("ThrottlingException", Trouble::RateLimited),
    // OpenAI, and what follows its shape
    ("invalid_api_key", Trouble::BadKey),
    ("account_deactivated", Trouble::BadKey),
    ("insufficient_quota", Trouble::NoCredit),
    ("billing_hard_limit_reached", Trouble::NoCredit),
    ("billing_not_active", Trouble::NoCredit),
    ("unsupported_country_region_territory", Trouble::WrongRegion),
    ("insufficient_permissions", Trouble::NoAccess),
    ("model_not_found", Trouble::NoAccess),
    ("rate_limit_exceeded", Trouble::RateLimited),
    // Anthropic
    ("authentication_error", Trouble::BadKey),
    ("billing_error", Trouble::NoCredit),
    ("permission_error", Trouble::NoAccess),
    ("rate_limit_error", Trouble::RateLimited),
    ("overloaded_error", Trouble::VendorError),
    // Azure
    ("DeploymentNotFound", Trouble::NoAccess),
    ("PermissionDenied", Trouble::NoAccess),
    ("AuthenticationTypeDisabled", Trouble::BadKey),
    // Kimi
    ("invalid_authentication_error", Trouble::BadKey),
    ("exceeded_current_quota_error", Trouble::NoCredit),
    ("permission_denied_error", Trouble::NoAccess),
    // LiteLLM
    ("token_not_found_in_db", Trouble::BadKey),
    ("expired_key", Trouble::BadKey),
    ("auth_error", Trouble::BadKey),
    ("budget_exceeded", Trouble::NoCredit),
    ("key_model_access_denied", Trouble::NoAccess),
];

/// AWS' `AccessDeniedException` has two meanings: this phrase of its message stands for the first.
const AWS_KEY_PHRASE: &str = "API Key is valid";

/// What an answer says that is not the one hoped for.
pub fn of_answer(
    entry: &CatalogEntry,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Diagnosis {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let named = aws_error_type(headers);
    let mut words: Vec<&str> = named.into_iter().collect();
    collect_words(&json, 0, &mut words);
    let told = WORDS.iter().find(|(word, _)| words.contains(word));
    let trouble = match told {
        // A path that is not there is no question of access.
        Some(("AccessDeniedException", _)) if says_key(&json) => Trouble::BadKey,
        Some((_, trouble)) => *trouble,
        None => of_status(status),
    };
    let code = match told {
        Some((word, _)) => format!("{} {word}", status.as_u16()),
        None => status.as_u16().to_string(),
    };
    let name = &entry.name;
    let message = match trouble {
        Trouble::BadKey => format!("{name} refuses the key ({code})"),
        Trouble::NoAccess => format!("{name} knows the key, but gives it no access ({code})"),
        Trouble::NoCredit => {
            format!("{name} takes the key, but the account has no credit left ({code})")
        }
        Trouble::RateLimited => format!("{name} takes the key, but limits its rate ({code})"),
        Trouble::WrongRegion => {
            format!("{name} does not serve this node's country or region ({code})")
        }
        Trouble::ApiDisabled => format!("{name} is not switched on in the key's project ({code})"),
        Trouble::WrongPath => format!("the server answers, but not as {name} does ({code})"),
        Trouble::Redirect => {
            format!("the URL leads somewhere else ({code}), and redirects are not followed")
        }
        Trouble::VendorError => format!("{name} answers with an error of its own ({code})"),
        Trouble::UnexpectedAnswer
        | Trouble::TlsUntrusted
        | Trouble::TlsExpired
        | Trouble::TlsName
        | Trouble::TlsFailed
        | Trouble::NotHttp
        | Trouble::Dns
        | Trouble::AddressRefused
        | Trouble::ConnectionRefused
        | Trouble::Unreachable
        | Trouble::Timeout
        | Trouble::Settings => format!("{name} answers something unexpected ({code})"),
    };
    Diagnosis {
        trouble,
        message,
        remedy: remedy(entry, trouble),
    }
}

/// A good answer that is no listing of models.
pub fn no_listing(entry: &CatalogEntry) -> Diagnosis {
    Diagnosis {
        trouble: Trouble::UnexpectedAnswer,
        message: format!("the server answers, but not as {} lists models", entry.name),
        remedy: url_remedy(entry),
    }
}

fn remedy(entry: &CatalogEntry, trouble: Trouble) -> String {
    match trouble {
        Trouble::BadKey => match entry.help.key.as_str() {
            "" => "Give another key".to_owned(),
            help => format!("Give another key. {help}"),
        },
        Trouble::NoAccess => match entry.help.access.as_str() {
            "" => "Ask whoever runs it to open the models to this key".to_owned(),
            help => help.to_owned(),
        },
        Trouble::NoCredit => format!("Add credit to the account, or raise its limit, at {}", entry.name),
        Trouble::RateLimited => "Try again later; nothing is wrong with the settings".to_owned(),
        Trouble::WrongRegion => "Ask the vendor which countries it serves, or connect it through a gateway".to_owned(),
        Trouble::ApiDisabled => {
            "Switch the API on in the Google Cloud console (APIs & Services, Library), and wait a few minutes"
                .to_owned()
        }
        Trouble::VendorError => "Try again later; the vendor's status page may know more".to_owned(),
        Trouble::Redirect => "Give the URL that it leads to".to_owned(),
        Trouble::WrongPath
        | Trouble::UnexpectedAnswer
        | Trouble::TlsUntrusted
        | Trouble::TlsExpired
        | Trouble::TlsName
        | Trouble::TlsFailed
        | Trouble::NotHttp
        | Trouble::Dns
        | Trouble::AddressRefused
        | Trouble::ConnectionRefused
        | Trouble::Unreachable
        | Trouble::Timeout
        | Trouble::Settings => url_remedy(entry),
    }
}

fn of_status(status: StatusCode) -> Trouble {
    match status.as_u16() {
        401 => Trouble::BadKey,
        402 => Trouble::NoCredit,
        403 => Trouble::NoAccess,
        404 | 405 => Trouble::WrongPath,
        429 => Trouble::RateLimited,
        300..=399 => Trouble::Redirect,
        500..=599 => Trouble::VendorError,
        _ => Trouble::UnexpectedAnswer,
    }
}

/// `Name:http://…` is the name.
fn aws_error_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AWS_ERROR_TYPE)?.to_str().ok()?;
    value.split(':').next()
}

fn says_key(body: &Value) -> bool {
    ["message", "Message"]
        .iter()
        .filter_map(|field| body[field].as_str())
        .any(|message| message.contains(AWS_KEY_PHRASE))
}

/// Errors lie at most this deep: `[{"error":{"details":[{"reason":…}]}}]`.
const DEPTH_LIMIT: usize = 6;

/// Every short text but messages, wherever vendors put their codes.
fn collect_words<'a>(value: &'a Value, depth: usize, words: &mut Vec<&'a str>) {
    if depth > DEPTH_LIMIT {
        return;
    }
    match value {
        Value::String(text) if text.len() <= WORD_BYTES_LIMIT => words.push(text),
        Value::Array(values) => values
            .iter()
            .for_each(|value| collect_words(value, depth + 1, words)),
        Value::Object(fields) => fields
            .values()
            .for_each(|value| collect_words(value, depth + 1, words)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::control_plane::catalog::Catalog;

    #[test]
    fn vendors_words_are_understood() {
        let catalog = Catalog::built_in();
        #[rustfmt::skip]
        let table = [
            ("openai_api", 401, r#"{"error":{"message":"Incorrect API key provided: sk-ab***yz","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#, Trouble::BadKey, "401 invalid_api_key"),
            ("openai_api", 429, r#"{"error":{"message":"x","type":"insufficient_quota","code":"insufficient_quota"}}"#, Trouble::NoCredit, "429 insufficient_quota"),
            ("openai_api", 429, r#"{"error":{"type":"requests","code":"rate_limit_exceeded"}}"#, Trouble::RateLimited, "429 rate_limit_exceeded"),
            ("openai_api", 403, r#"{"error":{"code":"model_not_found"}}"#, Trouble::NoAccess, "403 model_not_found"),
            ("openai_api", 403, r#"{"error":{"code":"unsupported_country_region_territory"}}"#, Trouble::WrongRegion, "403 unsupp"),
            ("anthropic_api", 401, r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#, Trouble::BadKey, "401 authentication_error"),
            ("anthropic_api", 403, r#"{"type":"error","error":{"type":"permission_error"}}"#, Trouble::NoAccess, "403 permission_error"),
            ("anthropic_api", 529, r#"{"type":"error","error":{"type":"overloaded_error"}}"#, Trouble::VendorError, "529"),
            ("azure_openai_api", 401, r#"{"error":{"code":"401","message":"Access denied due to invalid subscription key or wrong API endpoint."}}"#, Trouble::BadKey, "(401)"),
            ("azure_openai_api", 404, r#"{"error":{"code":"DeploymentNotFound"}}"#, Trouble::NoAccess, "404 DeploymentNotFound"),
            ("bedrock_api", 403, r#"{"Message":"Authentication failed: Please make sure your API Key is valid."}"#, Trouble::BadKey, "403"),
            ("bedrock_api", 403, r#"{"message":"You don't have access to the model with the specified model ID."}"#, Trouble::NoAccess, "403"),
            ("vertex_ai_api", 403, r#"[{"error":{"code":403,"status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"SERVICE_DISABLED"}]}}]"#, Trouble::ApiDisabled, "403 SERVICE_DISABLED"),
            ("vertex_ai_api", 400, r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#, Trouble::BadKey, "400 API_KEY_INVALID"),
            ("mistral_api", 401, r#"{"message":"Unauthorized","request_id":"x"}"#, Trouble::BadKey, "(401)"),
            ("litellm_proxy", 401, r#"{"error":{"message":"Authentication Error, Invalid proxy server token passed","type":"token_not_found_in_db","code":"401"}}"#, Trouble::BadKey, "token_not_found_in_db"),
            ("openrouter", 402, r#"{"error":{"code":402,"message":"Insufficient credits"}}"#, Trouble::NoCredit, "(402)"),
            ("custom", 404, "<html>not here</html>", Trouble::WrongPath, "(404)"),
            ("custom", 301, "", Trouble::Redirect, "(301)"),
            ("custom", 502, "", Trouble::VendorError, "(502)"),
            ("custom", 418, "", Trouble::UnexpectedAnswer, "(418)"),
        ];
        let mut headers = HeaderMap::new();
        headers.insert(
            AWS_ERROR_TYPE,
            "AccessDeniedException:http://internal.amazon.com/coral/"
                .parse()
                .unwrap(),
        );
        for (id, status, body, trouble, part) in table {
            let entry = catalog.entry(id).unwrap();
            let status = StatusCode::from_u16(status).unwrap();
            let none = HeaderMap::new();
            let headers = if id == "bedrock_api" { &headers } else { &none };
            let found = of_answer(entry, status, headers, body.as_bytes());
            assert_eq!(found.trouble, trouble, "{id} {body}");
            assert!(found.message.contains(part), "{found:?}");
            assert!(!found.remedy.is_empty(), "{found:?}");
        }
    }

    #[test]
    fn nothing_of_a_vendors_text_is_repeated() {
        let catalog = Catalog::built_in();
        let entry = catalog.entry("openai_api").unwrap();
        for body in [
            r#"{"error":{"message":"bad key sk-marker","code":"sk-marker","type":"sk-marker"}}"#,
            "sk-marker",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AWS_ERROR_TYPE, "sk-marker".parse().unwrap());
            let found = of_answer(entry, StatusCode::UNAUTHORIZED, &headers, body.as_bytes());
            assert!(!format!("{found:?}").contains("sk-marker"), "{found:?}");
        }
    }
}
