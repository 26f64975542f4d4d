//! What is wrong with a provider, in its vendor's terms, and what to do about it. Pure. Nothing of a
//! vendor's answer is repeated but codes from a closed list: vendors quote parts of keys in messages.

mod answer;
mod transport;
mod words;

pub use answer::{no_listing, of_answer};
pub use transport::{of_call, of_problem};

use super::catalog::CatalogEntry;

/// One finding, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    pub trouble: Trouble,
    pub message: String,
    /// What to do, when there is something.
    pub remedy: String,
}

/// The kind of a finding; its code is part of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    BadKey,
    NoAccess,
    NoModel,
    NoCredit,
    RateLimited,
    WrongPath,
    WrongRegion,
    Clock,
    ApiDisabled,
    Redirect,
    VendorError,
    UnexpectedAnswer,
    TlsUntrusted,
    TlsExpired,
    TlsName,
    TlsFailed,
    NotHttp,
    Dns,
    AddressRefused,
    ConnectionRefused,
    Unreachable,
    Timeout,
    Settings,
}

impl Trouble {
    pub fn code(self) -> &'static str {
        match self {
            Self::BadKey => "bad_key",
            Self::NoAccess => "no_access",
            Self::NoModel => "no_model",
            Self::NoCredit => "no_credit",
            Self::RateLimited => "rate_limited",
            Self::WrongPath => "wrong_path",
            Self::WrongRegion => "wrong_region",
            Self::Clock => "clock",
            Self::ApiDisabled => "api_disabled",
            Self::Redirect => "redirect",
            Self::VendorError => "vendor_error",
            Self::UnexpectedAnswer => "unexpected_answer",
            Self::TlsUntrusted => "tls_untrusted",
            Self::TlsExpired => "tls_expired",
            Self::TlsName => "tls_name",
            Self::TlsFailed => "tls_failed",
            Self::NotHttp => "not_http",
            Self::Dns => "dns",
            Self::AddressRefused => "address_refused",
            Self::ConnectionRefused => "connection_refused",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Settings => "settings",
        }
    }
}

/// What the catalog says about the URL, and what it usually is.
fn url_remedy(entry: &CatalogEntry) -> String {
    let usual = match entry.default_url.as_str() {
        "" => String::new(),
        url => format!("; it usually is {url}"),
    };
    let help = match entry.help.url.as_str() {
        "" => String::new(),
        help => format!(". {help}"),
    };
    format!("Check the upstream URL{usual}{help}")
}
