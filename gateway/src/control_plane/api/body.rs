//! Request bodies: read into memory that is wiped, bounded, and decoded without ever repeating a value
//! in an error. A key that lands in the wrong field must not come back in the answer or the log.

use axum::{
    body::{Body, HttpBody},
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use http_body_util::BodyExt;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, Visitor},
};
use zeroize::Zeroizing;

use super::{BODY_BYTES_LIMIT, error::ApiError};

/// A JSON body of at most [`BODY_BYTES_LIMIT`] bytes.
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        require_json(request.headers())?;
        let body = read(request.into_body(), BODY_BYTES_LIMIT).await?;
        decode(&body).map(Self)
    }
}

/// The text of a secret field, wiped on drop.
pub(super) struct SecretText(Zeroizing<String>);

impl SecretText {
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = SecretText;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<SecretText, E> {
                Ok(SecretText(Zeroizing::new(text.to_owned())))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<SecretText, E> {
                Ok(SecretText(Zeroizing::new(text)))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Browsers send JSON across origins only after a preflight, which nothing here answers.
pub(super) fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    match media_type {
        Some(media_type) if media_type.eq_ignore_ascii_case("application/json") => Ok(()),
        _ => Err(ApiError::unsupported_media_type()),
    }
}

/// The whole body, or an error when it is longer than `limit` bytes.
pub(super) async fn read(body: Body, limit: usize) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    let announced = body
        .size_hint()
        .upper()
        .and_then(|n| usize::try_from(n).ok());
    if announced.is_some_and(|n| n > limit) {
        return Err(ApiError::too_large(limit));
    }
    // Reserved at once where the length is known: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(announced.unwrap_or(0)));
    let mut body = body;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::bad_request("the body could not be read"))?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if bytes.len() + data.len() > limit {
            return Err(ApiError::too_large(limit));
        }
        if bytes.capacity() - bytes.len() < data.len() {
            let mut larger = Zeroizing::new(Vec::with_capacity(2 * (bytes.len() + data.len())));
            larger.extend_from_slice(&bytes);
            bytes = larger;
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| ApiError::bad_request(describe(&error)))
}

/// serde names what it found, which may be a key in the wrong place; only what it wanted is passed on.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!("line {} column {}", error.line(), error.column());
    if !error.is_data() {
        return format!("the body is not valid JSON at {place}");
    }
    match text.rsplit_once(", expected ") {
        Some((_, wanted)) if text.starts_with("invalid ") => {
            format!("wrong type: expected {wanted}")
        }
        Some((_, known)) if text.starts_with("unknown ") => {
            format!("an unknown name at {place}: expected {known}")
        }
        _ => format!("a value does not fit its field at {place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_never_repeat_the_value() {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(dead_code, reason = "only its decoding is looked at")]
        struct Shape {
            enabled: bool,
            count: u8,
            key: SecretText,
        }
        for body in [
            r#"{"enabled":"sk-marker"}"#,
            r#"{"enabled":"sk-marker, expected sk-marker"}"#,
            r#"{"enabled":true,"count":"sk-marker"}"#,
            r#"{"key":["sk-marker"]}"#,
            r#"{"sk-marker":true}"#,
            r#"{"sk-marker`, expected sk-marker":true}"#,
            r#"{"key":"sk-marker"#,
            r#""sk-marker""#,
            r#"sk-marker"#,
        ] {
            let Err(error) = decode::<Shape>(body.as_bytes()) else {
                panic!("{body} was accepted");
            };
            assert!(!format!("{error:?}").contains("sk-marker"), "{error:?}");
        }
    }
}
