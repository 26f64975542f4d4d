//! From a vendor's answer: its status and the words that it uses for what went wrong.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::{Diagnosis, Trouble, url_remedy, words};
use crate::control_plane::catalog::CatalogEntry;

/// AWS puts the exception's name here.
const AWS_ERROR_TYPE: &str = "x-amzn-errortype";

/// Longest word that can be one of the vendors'.
const WORD_BYTES_LIMIT: usize = 64;

/// What an answer says that is not the one hoped for.
pub fn of_answer(
    entry: &CatalogEntry,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Diagnosis {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut texts = Texts::default();
    texts.words.extend(aws_error_type(headers));
    texts.collect(&json, 0);
    let meaning = words::meaning(&texts.words, &texts.messages);
    let trouble = meaning.map_or_else(|| of_status(status), |meaning| meaning.trouble);
    let code = match meaning {
        Some(meaning) => format!("{} {}", status.as_u16(), meaning.word),
        None => status.as_u16().to_string(),
    };
    let (message, usual_remedy) = told(trouble, entry, &code);
    Diagnosis {
        trouble,
        message,
        remedy: match meaning {
            Some(meaning) if !meaning.remedy.is_empty() => meaning.remedy.to_owned(),
            Some(_) | None => usual_remedy,
        },
    }
}

/// A trouble that an answer tells of, in words, and what to do about it.
fn told(trouble: Trouble, entry: &CatalogEntry, code: &str) -> (String, String) {
    let name = &entry.name;
    match trouble {
        Trouble::BadKey => (
            format!("{name} refuses the key ({code})"),
            match entry.help.key.as_str() {
                "" => "Give another key".to_owned(),
                help => format!("Give another key. {help}"),
            },
        ),
        Trouble::NoAccess => (
            format!("{name} knows the key, but gives it no access ({code})"),
            match entry.help.access.as_str() {
                "" => "Ask whoever runs it to open the models to this key".to_owned(),
                help => help.to_owned(),
            },
        ),
        Trouble::NoModel => (
            format!("{name} takes the key, but has no such model there ({code})"),
            "Name the model as the vendor does; `keyway providers models` lists them".to_owned(),
        ),
        Trouble::NoCredit => (
            format!("{name} takes the key, but the account has no credit left ({code})"),
            format!("Add credit to the account, or raise its limit, at {name}"),
        ),
        Trouble::RateLimited => (
            format!("{name} takes the key, but limits its rate ({code})"),
            "Try again later; nothing is wrong with the settings".to_owned(),
        ),
        Trouble::WrongRegion => (
            format!("{name} does not serve this country or region ({code})"),
            "Ask the vendor which countries it serves, or connect it through a gateway".to_owned(),
        ),
        Trouble::Clock => (
            format!("{name} refuses what this machine signs at this time ({code})"),
            "Set this machine's clock".to_owned(),
        ),
        Trouble::ApiDisabled => (
            format!("{name} is not switched on in the key's project ({code})"),
            "Switch the API on in the Google Cloud console (APIs & Services, Library), and wait a few \
             minutes"
                .to_owned(),
        ),
        Trouble::VendorError => (
            format!("{name} answers with an error of its own ({code})"),
            "Try again later; the vendor's status page may know more".to_owned(),
        ),
        Trouble::Redirect => (
            format!("the URL leads somewhere else ({code}), and redirects are not followed"),
            "Give the URL that it leads to".to_owned(),
        ),
        Trouble::WrongPath => (
            format!("the server answers, but not as {name} does ({code})"),
            url_remedy(entry),
        ),
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
        | Trouble::Settings => (
            format!("{name} answers something unexpected ({code})"),
            url_remedy(entry),
        ),
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

/// Errors lie at most this deep: `[{"error":{"details":[{"reason":…}]}}]`.
const DEPTH_LIMIT: usize = 6;

/// The texts of an error.
#[derive(Default)]
struct Texts<'a> {
    /// Short enough for a code, wherever vendors put theirs.
    words: Vec<&'a str>,
    messages: Vec<&'a str>,
}

impl<'a> Texts<'a> {
    fn collect(&mut self, value: &'a Value, depth: usize) {
        if depth > DEPTH_LIMIT {
            return;
        }
        match value {
            Value::String(text) if text.len() <= WORD_BYTES_LIMIT => self.words.push(text),
            Value::Array(values) => values
                .iter()
                .for_each(|value| self.collect(value, depth + 1)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value.as_str() {
                        Some(message) if name.eq_ignore_ascii_case("message") => {
                            self.messages.push(message);
                        }
                        Some(_) | None => self.collect(value, depth + 1),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
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
            ("vertex_ai_api", 403, r#"{"error":{"code":403,"message":"Permission 'aiplatform.endpoints.predict' denied","status":"PERMISSION_DENIED"}}"#, Trouble::NoAccess, "403 PERMISSION_DENIED"),
            ("vertex_ai_api", 404, r#"{"error":{"code":404,"message":"Publisher Model `x` was not found","status":"NOT_FOUND"}}"#, Trouble::NoModel, "404 NOT_FOUND"),
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
    #[test]
    #[rustfmt::skip]
    fn exceptions_of_aws_are_told_apart_by_what_they_say() {
        let catalog = Catalog::built_in();
        let entry = catalog.entry("bedrock_api").unwrap();
        for (name, message, trouble, part) in [
            ("UnrecognizedClientException", "The security token included in the request is invalid.", Trouble::BadKey, "no such access key"),
            ("ExpiredTokenException", "The security token included in the request is expired", Trouble::BadKey, "Temporary keys have ended"),
            ("InvalidSignatureException", "The request signature we calculated does not match the signature you provided.", Trouble::BadKey, "does not fit"),
            ("InvalidSignatureException", "Credential should be scoped to a valid region.", Trouble::WrongRegion, "iam@<region>"),
            ("InvalidSignatureException", "Signature expired: 20261123T000000Z is now earlier than 20261123T010000Z", Trouble::Clock, "clock"),
            ("SignatureDoesNotMatch", "…", Trouble::BadKey, "does not fit"),
            ("AccessDeniedException", "User: arn:aws:iam::1:user/x is not authorized to perform: bedrock:InvokeModel on resource: y", Trouble::NoAccess, "bedrock:InvokeModel and"),
            ("AccessDeniedException", "You don't have access to the model with the specified model ID.", Trouble::NoAccess, "Model access"),
            ("ValidationException", "Invocation of model ID x with on-demand throughput isn't supported.", Trouble::NoModel, "us.<model id>"),
            ("ValidationException", "The provided model identifier is invalid.", Trouble::NoModel, "as the vendor does"),
            ("ResourceNotFoundException", "This model version has reached the end of its life.", Trouble::NoModel, "another region"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AWS_ERROR_TYPE, name.parse().unwrap());
            let body = serde_json::json!({"message": message}).to_string();
            let found = of_answer(entry, StatusCode::BAD_REQUEST, &headers, body.as_bytes());
            assert_eq!(found.trouble, trouble, "{name} {message}");
            assert!(found.remedy.contains(part), "{found:?}");
            assert!(found.message.contains(name) && !found.message.contains(message), "{found:?}");
        }
    }
}
