//! What is looked for by pattern. Where a pattern has a group, the group is replaced.
//!
//! Patterns end what they repeat at a bound, or match however long it is: one that reads on and then
//! fails, again and again, would take the square of the text's length.

/// Where a word begins, also after a line break or tab that is still escaped, as in the text of a tool's arguments.
macro_rules! at_start {
    ($pattern:literal) => {
        concat!(r"(?:(?-u:\b)|\\[nrt])(", $pattern, ")")
    };
}

/// One kind of text that is not to be kept.
pub(super) struct Kind {
    /// In its replacement.
    pub(super) name: &'static str,
    pub(super) pattern: &'static str,
    /// Whether what was found is it.
    pub(super) confirm: fn(&str) -> bool,
}

/// The surer one comes first.
pub(super) const KINDS: [Kind; 11] = [
    // RFC 7468; one that has no end is taken for the rest.
    Kind {
        name: "pem",
        pattern: r"-----BEGIN [A-Z0-9 ]{1,64}-----(?s:.*?)(?:-----END [A-Z0-9 ]{1,64}-----|\z)",
        confirm: always,
    },
    // RFC 7519, signed; the header is JSON, so that it begins with `{"`.
    Kind {
        name: "jwt",
        pattern: at_start!(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*"),
        confirm: always,
    },
    Kind {
        name: "aws_key",
        pattern: at_start!(r"(?:AKIA|ASIA)[0-9A-Z]{16}(?-u:\b)"),
        confirm: always,
    },
    // Keys that say what they are: OpenAI's and who follows it, GitHub's, Google's, Slack's, NetBird's.
    Kind {
        name: "api_key",
        pattern: at_start!(
            "[spr]k-[A-Za-z0-9_-]{16,}|gh[opsu]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}\
             |AIza[A-Za-z0-9_-]{35}|xox[abprs]-[A-Za-z0-9-]{10,}|(?:nbp|kwt)_[A-Za-z0-9]{20,}"
        ),
        confirm: has_digit,
    },
    Kind {
        name: "api_key",
        pattern: r"(?i-u:(?-u:\b)(?:bearer|token|basic)[ \t]{1,4})([A-Za-z0-9._~+/=-]{16,})",
        confirm: has_digit,
    },
    Kind {
        name: "api_key",
        pattern: "(?i-u:(?:api[_-]?key|access[_-]?key|token|secret|password)\
                  \\\\?[\"']?[ \\t]{0,4}[:=][ \\t]{0,4}\\\\?[\"']?)\
                  ([^\\x00-\\x20\"'`,;&<>(){}\\[\\]\\\\]{8,})",
        confirm: always,
    },
    Kind {
        name: "email",
        pattern: r"[A-Za-z0-9._%+\x{80}-\x{10FFFF}-]{1,64}@(?:[A-Za-z0-9\x{80}-\x{10FFFF}-]{1,63}\.){1,8}[A-Za-z]{2,24}",
        confirm: always,
    },
    Kind {
        name: "ssn",
        pattern: at_start!(r"[0-9]{3}-[0-9]{2}-[0-9]{4}(?-u:\b)"),
        confirm: always,
    },
    // E.164 with its plus; North American numbers, and so any ten digits.
    Kind {
        name: "phone",
        pattern: r"\+[1-9](?:[ .()-]{0,2}[0-9]){6,14}(?-u:\b)|\([0-9]{3}\) ?[0-9]{3}[ .-]?[0-9]{4}(?-u:\b)",
        confirm: always,
    },
    Kind {
        name: "phone",
        pattern: at_start!(r"(?:1[ .-]?)?[0-9]{3}[ .-]?[0-9]{3}[ .-]?[0-9]{4}(?-u:\b)"),
        confirm: always,
    },
    Kind {
        name: "ipv4",
        pattern: at_start!(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?-u:\b)"),
        confirm: is_ipv4,
    },
];

fn always(_: &str) -> bool {
    true
}

/// Tells a key from words.
fn has_digit(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_digit())
}

fn is_ipv4(text: &str) -> bool {
    text.parse::<std::net::Ipv4Addr>().is_ok()
}
