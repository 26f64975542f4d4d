//! From what kept a request from being answered: the settings, DNS, TCP, TLS, HTTP.

use std::io::ErrorKind;

use rustls::{CertificateError, Error as TlsError};

use super::{Diagnosis, Trouble, url_remedy, words};
use crate::control_plane::{
    catalog::CatalogEntry,
    mint::{Fault, MintFailure},
    outbound::CallError,
    resolve::AddressRefused,
    snapshot::Problem,
};

/// Where the operator says which CA to believe.
const CA_REMEDY: &str = "If the server is yours, or a proxy stands between, give the CA that signed it (--ca-file FILE)";

/// Why settings make no provider.
pub fn of_problem(entry: &CatalogEntry, problem: &Problem) -> Diagnosis {
    let (trouble, remedy) = match problem {
        Problem::Unresolved | Problem::ResolveFailed(_) => (Trouble::Dns, url_remedy(entry)),
        Problem::AddressRefused { reason, .. } => match reason {
            AddressRefused::Loopback | AddressRefused::Private => (
                Trouble::AddressRefused,
                "If the server is meant to be there, allow it (--allow-private)".to_owned(),
            ),
            AddressRefused::Reserved
            | AddressRefused::Multicast
            | AddressRefused::LinkLocal
            | AddressRefused::Metadata => (Trouble::AddressRefused, url_remedy(entry)),
        },
        Problem::NoCredential | Problem::NoToken => (Trouble::BadKey, entry.help.key.clone()),
        Problem::MintFailed(failure) | Problem::RefreshFailed(failure) => of_mint(entry, failure),
        Problem::UnknownKind(_)
        | Problem::UpstreamUrl(_)
        | Problem::ExtraHeader(_)
        | Problem::Identity(_)
        | Problem::Price { .. }
        | Problem::VerificationSkipped
        | Problem::CaBundle(_)
        | Problem::Credential { .. } => (Trouble::Settings, String::new()),
    };
    Diagnosis {
        trouble,
        message: problem.to_string(),
        remedy,
    }
}

fn of_mint(entry: &CatalogEntry, failure: &MintFailure) -> (Trouble, String) {
    let refused = match &failure.fault {
        Fault::Key => None,
        Fault::Refused(reason) => words::of_grant(reason),
        Fault::Unreached => {
            let remedy = "Look at this machine's way to Google's token endpoint (DNS, firewall)";
            return (Trouble::Unreachable, remedy.to_owned());
        }
    };
    refused.map_or_else(
        || (Trouble::BadKey, entry.help.key.clone()),
        |meaning| (meaning.trouble, meaning.remedy.to_owned()),
    )
}

/// Why no answer came.
pub fn of_call(entry: &CatalogEntry, error: &CallError) -> Diagnosis {
    let (trouble, remedy) = match error {
        CallError::KeyForm => (Trouble::BadKey, entry.help.key.clone()),
        CallError::ConnectTimeout { .. } => (Trouble::Timeout, firewall(entry)),
        CallError::Connect { error, .. } if error.kind() == ErrorKind::ConnectionRefused => (
            Trouble::ConnectionRefused,
            format!("Nothing listens there. {}", url_remedy(entry)),
        ),
        CallError::Connect { .. } => (Trouble::Unreachable, firewall(entry)),
        CallError::Tls(error) => of_tls(entry, error),
        CallError::TlsTimeout { .. } | CallError::TlsCut(_) => (
            Trouble::TlsFailed,
            "If the server speaks no TLS there, begin the URL with http://".to_owned(),
        ),
        CallError::Http(_) => (
            Trouble::NotHttp,
            "The server does not speak HTTP there; if it wants TLS, begin the URL with https://"
                .to_owned(),
        ),
        CallError::TooLong(_) => (Trouble::UnexpectedAnswer, url_remedy(entry)),
        CallError::Silent(_) => (
            Trouble::Timeout,
            "The server takes connections and does not answer; look at it, or at a proxy before it"
                .to_owned(),
        ),
    };
    Diagnosis {
        trouble,
        message: message(error),
        remedy,
    }
}

fn message(error: &CallError) -> String {
    match error {
        CallError::Tls(TlsError::InvalidCertificate(reason)) => {
            let (_, message) = certificate(reason);
            message.map_or_else(|| error.to_string(), str::to_owned)
        }
        CallError::Tls(TlsError::InvalidMessage(_)) => {
            "the server does not speak TLS there".to_owned()
        }
        CallError::KeyForm
        | CallError::Tls(_)
        | CallError::ConnectTimeout { .. }
        | CallError::Connect { .. }
        | CallError::TlsTimeout { .. }
        | CallError::TlsCut(_)
        | CallError::Http(_)
        | CallError::TooLong(_)
        | CallError::Silent(_) => error.to_string(),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "rustls adds reasons in time; those speak for themselves"
)]
fn certificate(reason: &CertificateError) -> (Trouble, Option<&'static str>) {
    match reason {
        CertificateError::UnknownIssuer => (
            Trouble::TlsUntrusted,
            Some("the server's certificate is signed by a CA that is not trusted here"),
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            Trouble::TlsExpired,
            Some("the server's certificate has expired"),
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            Trouble::TlsExpired,
            Some("the server's certificate is not valid yet"),
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            Trouble::TlsName,
            Some("the server's certificate is for another name than the URL's host"),
        ),
        _ => (Trouble::TlsUntrusted, None),
    }
}

fn of_tls(entry: &CatalogEntry, error: &TlsError) -> (Trouble, String) {
    if let TlsError::InvalidCertificate(reason) = error {
        let (trouble, _) = certificate(reason);
        let remedy = if trouble == Trouble::TlsExpired {
            "If it is in order, look at this machine's clock; else renew it".to_owned()
        } else if trouble == Trouble::TlsName {
            let check = url_remedy(entry);
            format!("Use a name that stands in the certificate. {check}")
        } else {
            CA_REMEDY.to_owned()
        };
        return (trouble, remedy);
    }
    let remedy = if matches!(error, TlsError::InvalidMessage(_)) {
        "If it speaks plain HTTP, begin the URL with http://"
    } else {
        "The server wants another TLS than 1.2 or 1.3, or a client certificate"
    };
    (Trouble::TlsFailed, remedy.to_owned())
}

fn firewall(entry: &CatalogEntry) -> String {
    format!(
        "Look at this machine's way out (firewall, route). {}",
        url_remedy(entry)
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{io, time::Duration};

    use super::*;
    use crate::control_plane::catalog::Catalog;

    #[test]
    fn every_layer_has_its_remedy() {
        let catalog = Catalog::built_in();
        let entry = catalog.entry("bedrock_api").unwrap();
        let address = "203.0.113.1:443".parse().unwrap();
        let tls = |reason| CallError::Tls(TlsError::InvalidCertificate(reason));
        let connect = |kind: ErrorKind| CallError::Connect {
            address,
            error: io::Error::from(kind),
        };
        for (error, trouble, part) in [
            (
                tls(CertificateError::UnknownIssuer),
                Trouble::TlsUntrusted,
                "--ca-file",
            ),
            (tls(CertificateError::Expired), Trouble::TlsExpired, "clock"),
            (
                tls(CertificateError::NotValidForName),
                Trouble::TlsName,
                "<region>",
            ),
            (
                tls(CertificateError::BadSignature),
                Trouble::TlsUntrusted,
                "--ca-file",
            ),
            (
                CallError::Tls(TlsError::InvalidMessage(
                    rustls::InvalidMessage::InvalidContentType,
                )),
                Trouble::TlsFailed,
                "http://",
            ),
            (
                connect(ErrorKind::ConnectionRefused),
                Trouble::ConnectionRefused,
                "Nothing listens",
            ),
            (
                connect(ErrorKind::HostUnreachable),
                Trouble::Unreachable,
                "route",
            ),
            (
                CallError::ConnectTimeout {
                    address,
                    limit: Duration::from_secs(3),
                },
                Trouble::Timeout,
                "firewall",
            ),
            (
                CallError::Silent(Duration::from_secs(15)),
                Trouble::Timeout,
                "does not answer",
            ),
        ] {
            let found = of_call(entry, &error);
            assert_eq!(found.trouble, trouble, "{error}");
            assert!(found.remedy.contains(part), "{found:?}");
        }
    }

    #[test]
    fn settings_that_make_no_provider_say_why() {
        let catalog = Catalog::built_in();
        let entry = catalog.entry("bedrock_api").unwrap();
        let refused = |reason| Problem::AddressRefused {
            address: [10, 0, 0, 1].into(),
            reason,
        };
        let grant_refused = |reason: &str| {
            Problem::MintFailed(MintFailure {
                message: reason.to_owned(),
                fault: Fault::Refused(reason.to_owned()),
            })
        };
        for (problem, trouble, part) in [
            (
                Problem::ResolveFailed("no such host".to_owned()),
                Trouble::Dns,
                "https://bedrock-runtime.<region>.amazonaws.com",
            ),
            (
                refused(AddressRefused::Private),
                Trouble::AddressRefused,
                "--allow-private",
            ),
            (
                refused(AddressRefused::Metadata),
                Trouble::AddressRefused,
                "upstream URL",
            ),
            (Problem::NoCredential, Trouble::BadKey, "Bedrock API key"),
            (Problem::CaBundle("x".to_owned()), Trouble::Settings, ""),
            (
                grant_refused("invalid_grant: Invalid JWT Signature."),
                Trouble::BadKey,
                "make a new one",
            ),
            (
                grant_refused("invalid_grant: Invalid grant: account not found"),
                Trouble::BadKey,
                "deleted",
            ),
            (
                grant_refused(
                    "invalid_grant: Invalid JWT: Token must be a short-lived token (60 minutes)",
                ),
                Trouble::Clock,
                "clock",
            ),
            (
                grant_refused("unheard_of"),
                Trouble::BadKey,
                "Bedrock API key",
            ),
        ] {
            let found = of_problem(entry, &problem);
            assert_eq!(found.trouble, trouble, "{problem}");
            assert!(found.remedy.contains(part), "{found:?}");
        }
    }
}
