//! How an entry's upstream is told who calls: as the API shows it, and as a provider is compiled.

use http::HeaderName;
use serde::Serialize;
use utoipa::ToSchema;

use crate::dialect::{BodyIdentity, IdentityFormat};

/// InvokeModel's header (service model `bedrock-runtime`).
const BEDROCK_METADATA: &str = "x-amzn-bedrock-request-metadata";

/// How an entry's upstream is told who calls. One of the first two is set; `body` is written besides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IdentityInjection {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub header_pair: Option<HeaderPair>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub json_metadata: Option<JsonMetadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub body: Option<BodyFields>,
}

/// One header for the user, one for the groups; an empty name writes none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HeaderPair {
    pub customizable: bool,
    pub end_user_id_header: String,
    pub tags_header: String,
}

/// One header with a JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct JsonMetadata {
    pub customizable: bool,
    pub header: String,
    pub user_key: String,
    pub groups_key: String,
    #[serde(skip)]
    pub value_bytes_limit: usize,
}

/// Fields of a JSON body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct BodyFields {
    pub user: bool,
    /// `metadata.tags`.
    pub tags: bool,
}

/// A name that the operator chose for an identity header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no header name")]
pub struct InvalidIdentityName(pub String);

impl IdentityInjection {
    /// See [`super::CatalogEntry::identity_format`].
    pub(super) fn format(
        &self,
        user: Option<&str>,
        groups: Option<&str>,
    ) -> Result<Option<IdentityFormat>, InvalidIdentityName> {
        let body = self
            .body
            .map_or_else(BodyIdentity::default, |body| BodyIdentity {
                user: body.user,
                tags: body.tags,
            });
        let chosen = |customizable: bool, own: Option<&str>, default: &str| {
            let name = own.filter(|_| customizable).map_or(default, str::trim);
            (!name.is_empty()).then(|| name.to_owned())
        };
        if let Some(json) = &self.json_metadata {
            let key = |own, default| chosen(json.customizable, own, default).map(Into::into);
            let user_key = key(user, &json.user_key);
            let groups_key = key(groups, &json.groups_key);
            if user_key.is_none() && groups_key.is_none() {
                return Ok(None);
            }
            return Ok(Some(IdentityFormat::JsonHeader {
                header: header_name(&json.header)?,
                user_key,
                groups_key,
                value_bytes_limit: json.value_bytes_limit,
                bedrock: json.header.eq_ignore_ascii_case(BEDROCK_METADATA),
            }));
        }
        let (user, groups) = match &self.header_pair {
            None => (None, None),
            Some(pair) => {
                let header = |own, default| {
                    chosen(pair.customizable, own, default)
                        .map(|name| header_name(&name))
                        .transpose()
                };
                (
                    header(user, &pair.end_user_id_header)?,
                    header(groups, &pair.tags_header)?,
                )
            }
        };
        Ok(match (user, groups, body) {
            (None, None, body) if body == BodyIdentity::default() => None,
            (None, None, body) => Some(IdentityFormat::Body(body)),
            (user, groups, body) => Some(IdentityFormat::HeaderPair { user, groups, body }),
        })
    }
}

fn header_name(name: &str) -> Result<HeaderName, InvalidIdentityName> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| InvalidIdentityName(name.to_owned()))
}
