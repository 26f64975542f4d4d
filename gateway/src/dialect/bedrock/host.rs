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
}

impl Kind {
    /// The name that requests are signed for (botocore's `signingName`; anthropic SDK 2.12
    /// `lib/bedrock/_mantle.py`).
    pub fn signing_name(self) -> &'static str {
        match self {
            Self::Runtime => "bedrock",
            Self::Mantle => "bedrock-mantle",
        }
    }
}

impl Endpoint<'_> {
    pub fn dialects(self) -> DialectSet {
        match self.kind {
            Kind::Runtime => DialectSet::of(&[Dialect::Bedrock, Dialect::OpenAi]),
            Kind::Mantle => DialectSet::of(&[Dialect::OpenAi, Dialect::Anthropic]),
        }
    }

    /// The base path of a URL that names none.
    pub fn base_path(self) -> &'static str {
        match self.kind {
            Kind::Runtime => "",
            Kind::Mantle => "/v1",
        }
    }
}

/// Reads a lower-case host name: `bedrock-runtime.{region}.amazonaws.com`, its variants for FIPS and
/// China, private endpoints (`….bedrock-runtime.{region}.vpce.amazonaws.com`), and
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
        _ => None,
    })?;
    let region = labels.next()?;
    is_region(region).then_some(Endpoint { region, kind })
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
            ("bedrock-runtime.amazonaws.com", None),
            ("bedrock-runtime.us-east-1.example.com", None),
            ("s3.us-east-1.amazonaws.com", None),
            ("127.0.0.1", None),
        ] {
            let found = endpoint(host).map(|endpoint| (endpoint.region, endpoint.kind));
            assert_eq!(found, expected, "{host}");
        }
    }
}
