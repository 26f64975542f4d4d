//! What a token, or a session, may do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// From most to least.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything. Tokens of before there were roles are an owner's.
    #[default]
    Owner,
    /// Everything but tokens, the master key and the store as a whole.
    Admin,
    /// Reads, and none of the captured texts.
    Auditor,
    /// Reads how the node does.
    Metrics,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Auditor, Self::Metrics];

    /// As in JSON.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
            Self::Metrics => "metrics",
        }
    }

    /// May read prompts and answers.
    pub const fn reads_texts(self) -> bool {
        match self {
            Self::Owner | Self::Admin => true,
            Self::Auditor | Self::Metrics => false,
        }
    }
}
