//! Errors as Google's APIs write them (google.aip.dev/193), with NetBird's code among the details.

use serde::Serialize;

use crate::handoff::reason::Reason;

/// The value of `error`.
#[derive(Serialize)]
pub(in crate::dialect) struct GoogleError<'a> {
    code: u16,
    message: &'a str,
    status: &'static str,
    details: [Detail<'a>; 1],
}

#[derive(Serialize)]
struct Detail<'a> {
    #[serde(rename = "@type")]
    kind: &'static str,
    reason: String,
    domain: &'static str,
    metadata: Metadata<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    code: &'a str,
}

impl<'a> GoogleError<'a> {
    /// `code` is the reason's public one.
    pub(in crate::dialect) fn new(reason: Reason, code: &'a str, message: &'a str) -> Self {
        Self {
            code: reason.status(),
            message,
            status: status(reason.status()),
            details: [Detail {
                kind: "type.googleapis.com/google.rpc.ErrorInfo",
                reason: reason.code().to_ascii_uppercase(),
                domain: "keyway",
                metadata: Metadata { code },
            }],
        }
    }
}

/// `google.rpc.Code` by its HTTP mapping (googleapis/google/rpc/code.proto).
fn status(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        408 | 504 => "DEADLINE_EXCEEDED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        501 => "UNIMPLEMENTED",
        502 | 503 => "UNAVAILABLE",
        400..=498 => "INVALID_ARGUMENT",
        _ => "INTERNAL",
    }
}
