//! `ApiError`: status and the body `{"message","code"}` as NetBird's API has it, with `field` beside
//! it where one field is at fault. Messages never repeat a value that was sent.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::control_plane::store::StoreError;

/// Why a request was refused.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    message: String,
    field: Option<String>,
    retry_after_seconds: Option<u64>,
}

/// NetBird's, with `field` beside.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct ErrorBody<'a> {
    message: &'a str,
    /// The HTTP status again.
    code: u16,
    /// The field or parameter at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<&'a str>,
}

impl ApiError {
    /// The document is understood, but one field cannot be accepted.
    pub(super) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            message: message.into(),
            field: Some(field.into()),
            retry_after_seconds: None,
        }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::plain(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn unauthorized(message: impl Into<String>) -> Self {
        Self::plain(StatusCode::UNAUTHORIZED, message)
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::plain(StatusCode::FORBIDDEN, message)
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::plain(StatusCode::NOT_FOUND, format!("{what} not found"))
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "method not allowed on this route",
        )
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::plain(StatusCode::CONFLICT, message)
    }

    /// Somebody else changed the document between our read and our write.
    pub(super) fn changed_meanwhile() -> Self {
        Self::conflict("changed by somebody else meanwhile; read it again and repeat")
    }

    pub(super) fn precondition(message: impl Into<String>) -> Self {
        Self::plain(StatusCode::PRECONDITION_FAILED, message)
    }

    /// No place is left; there will be one again.
    pub(super) fn too_many(message: impl Into<String>) -> Self {
        Self::plain(StatusCode::TOO_MANY_REQUESTS, message)
    }

    /// Too many failures; there is another try after so many seconds.
    pub(super) fn wait(seconds: u64) -> Self {
        Self {
            retry_after_seconds: Some(seconds),
            ..Self::too_many(format!(
                "too many failed logins; try again in {seconds} seconds"
            ))
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// A provider did not do its part.
    pub(super) fn bad_gateway(message: impl Into<String>) -> Self {
        Self::plain(StatusCode::BAD_GATEWAY, message)
    }

    /// What answers this cannot be had; another time may be better.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::plain(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self::plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("body is larger than {limit} bytes"),
        )
    }

    pub(super) fn unsupported_media_type() -> Self {
        Self::plain(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content-type must be application/json",
        )
    }

    /// `detail` goes to the log, not to the caller.
    pub(super) fn internal(detail: impl std::fmt::Display) -> Self {
        tracing::error!(detail = %detail, "management request failed");
        Self::plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal error; the node's log has the reason",
        )
    }

    fn plain(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            field: None,
            retry_after_seconds: None,
        }
    }
}

/// Middleware: what the framework refuses by itself, such as a path or query that cannot be decoded, gets the
/// body that every refusal has.
pub(super) async fn uniform(response: Response) -> Response {
    let status = response.status();
    let is_ours = response.headers().get(header::CONTENT_TYPE)
        == Some(&HeaderValue::from_static("application/json"));
    if status.is_client_error() && !is_ours {
        return ApiError::plain(status, "the path or the query cannot be read").into_response();
    }
    response
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::LowSpace { .. } => {
                Self::plain(StatusCode::INSUFFICIENT_STORAGE, error.to_string())
            }
            StoreError::Invalid(_) => Self::bad_request(error.to_string()),
            StoreError::Compacted(_) | StoreError::Damaged { .. } | StoreError::Engine(_) => {
                Self::internal(error)
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            message: &self.message,
            code: self.status.as_u16(),
            field: self.field.as_deref(),
        };
        let no_store = [(header::CACHE_CONTROL, "no-store")];
        let mut response = (self.status, no_store, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 9110 section 15.5.2 wants a challenge.
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Token, Bearer"),
            );
        }
        if let Some(seconds) = self.retry_after_seconds {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
