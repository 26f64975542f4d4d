//! What the name of a host of the service tells: the region and the service that requests are signed
//! for, and which dialects it speaks.

use crate::dialect::{Dialect, DialectSet};

/// A host of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint<'a> {
    pub region: &'a str,
    pub kind: Kind,
}

/// What a host serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `bedrock-runtime`: the service's own paths and OpenAI's.
    Runtime,
    /// `bedrock-mantle`: OpenAI's and Anthropic's paths.
    Mantle,
    /// `bedrock`: lists models, and runs none.
    Control,
}

impl Kind {
    /// The name that requests are signed for (botocore's `signingName`; anthropic SDK 2.12
    /// `lib/bedrock/_mantle.py`).
    pub fn signing_name(self) -> &'static str {
        match self {
            Self::Runtime | Self::Control => "bedrock",
            Self::Mantle => "bedrock-mantle",
        }
    }
}

impl Endpoint<'_> {
    pub fn dialects(self) -> DialectSet {
        match self.kind {
            Kind::Runtime => DialectSet::of(&[Dialect::Bedrock, Dialect::OpenAi]),
            Kind::Control => DialectSet::of(&[Dialect::Bedrock]),
            Kind::Mantle => DialectSet::of(&[Dialect::OpenAi, Dialect::Anthropic]),
        }
    }

    /// The base path of a URL that names none.
    pub fn base_path(self) -> &'static str {
        match self.kind {
            Kind::Runtime | Kind::Control => "",
            Kind::Mantle => "/v1",
        }
    }
}

/// Reads a lower-case host name: `bedrock-runtime.{region}.amazonaws.com`, its variants for FIPS and
/// China, private endpoints (`….bedrock-runtime.{region}.vpce.amazonaws.com`), the same of `bedrock`, and
/// `bedrock-mantle.{region}.api.aws`. `None` for any other host.
pub fn endpoint(host: &str) -> Option<Endpoint<'_>> {
    let of_aws = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"];
    if !of_aws.iter().any(|domain| host.ends_with(domain)) {
        return None;
    }
    let mut labels = host.split('.');
    let kind = labels.find_map(|label| match label {
        "bedrock-runtime" | "bedrock-runtime-fips" => Some(Kind::Runtime),
        "bedrock-mantle" => Some(Kind::Mantle),
        "bedrock" | "bedrock-fips" => Some(Kind::Control),
        _ => None,
    })?;
    let region = labels.next()?;
    is_region(region).then_some(Endpoint { region, kind })
}

/// The host that lists the models which `host` runs. `None` where that is the same one: a private endpoint,
/// a proxy, mantle.
pub fn control_host(host: &str) -> Option<String> {
    let (service, rest) = host.split_once('.')?;
    let service = match service {
        "bedrock-runtime" => "bedrock",
        "bedrock-runtime-fips" => "bedrock-fips",
        _ => return None,
    };
    endpoint(host).map(|_| format!("{service}.{rest}"))
}

/// `us-east-1`, `us-gov-west-1`: letters, digits and hyphens, with a number at the end.
pub fn is_region(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.bytes().all(plain)
        && text.contains('-')
        && text.ends_with(|last: char| last.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_tell_their_region() {
        for (host, expected) in [
            (
                "bedrock-runtime.us-east-1.amazonaws.com",
                Some(("us-east-1", Kind::Runtime)),
            ),
            (
                "bedrock-runtime-fips.us-gov-west-1.amazonaws.com",
                Some(("us-gov-west-1", Kind::Runtime)),
            ),
            (
                "bedrock-runtime.cn-north-1.amazonaws.com.cn",
                Some(("cn-north-1", Kind::Runtime)),
            ),
            (
                "vpce-0a1-x.bedrock-runtime.eu-central-1.vpce.amazonaws.com",
                Some(("eu-central-1", Kind::Runtime)),
            ),
            (
                "bedrock-mantle.us-west-2.api.aws",
                Some(("us-west-2", Kind::Mantle)),
            ),
            (
                "bedrock.us-east-1.amazonaws.com",
                Some(("us-east-1", Kind::Control)),
            ),
            ("bedrock-runtime.amazonaws.com", None),
            ("bedrock-runtime.us-east-1.example.com", None),
            ("s3.us-east-1.amazonaws.com", None),
            ("127.0.0.1", None),
        ] {
            let found = endpoint(host).map(|endpoint| (endpoint.region, endpoint.kind));
            assert_eq!(found, expected, "{host}");
        }
    }
    #[test]
    fn models_are_listed_on_another_host() {
        for (host, expected) in [
            (
                "bedrock-runtime.us-east-1.amazonaws.com",
                Some("bedrock.us-east-1.amazonaws.com"),
            ),
            (
                "bedrock-runtime-fips.us-gov-west-1.amazonaws.com",
                Some("bedrock-fips.us-gov-west-1.amazonaws.com"),
            ),
            (
                "bedrock-runtime.cn-north-1.amazonaws.com.cn",
                Some("bedrock.cn-north-1.amazonaws.com.cn"),
            ),
            (
                "vpce-1-x.bedrock-runtime.eu-central-1.vpce.amazonaws.com",
                None,
            ),
            ("bedrock-mantle.us-west-2.api.aws", None),
            ("bedrock-runtime.us-east-1.example.com", None),
            ("127.0.0.1", None),
        ] {
            assert_eq!(control_host(host).as_deref(), expected, "{host}");
        }
    }
}
