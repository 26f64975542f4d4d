//! `InterfacePattern`: names of network interfaces, with `*` for any characters and `?` for one.

use std::{fmt, str::FromStr};

/// Longest name of an interface (`IFNAMSIZ` with its terminator).
const NAME_BYTES_MAX: usize = libc::IFNAMSIZ - 1;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfacePattern(String);

impl InterfacePattern {
    /// Whether `name` is one of those that are meant.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut at, mut seen) = (0, 0);
        // Behind the last `*`, and what of the name it stands for so far: where a mismatch goes on.
        let mut star = None;
        while seen < name.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at + 1, seen));
                    at += 1;
                }
                Some(byte) if *byte == b'?' || *byte == name[seen] => {
                    at += 1;
                    seen += 1;
                }
                Some(_) | None => {
                    let Some((behind, taken)) = star else {
                        return false;
                    };
                    star = Some((behind, taken + 1));
                    (at, seen) = (behind, taken + 1);
                }
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

impl FromStr for InterfacePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = |why| {
            Err(format!(
                "{text:?} {why}: write a name such as \"eth0\", or a pattern such as \"veth*\" or \"eth?\""
            ))
        };
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || "/:[]{}!\\,".contains(c);
        if text.is_empty() {
            return refused("is empty");
        }
        if text.contains(is_odd) {
            return refused("has a character that no name has; only `*` and `?` are special");
        }
        if text.bytes().filter(|byte| *byte != b'*').count() > NAME_BYTES_MAX {
            return refused("is longer than any name (15 bytes)");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for InterfacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_whole_names() {
        for (pattern, name, expected) in [
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("eth", "eth0", false),
            ("eth?", "eth0", true),
            ("eth?", "eth", false),
            ("eth?", "eth10", false),
            ("*", "anything", true),
            ("veth*", "veth", true),
            ("veth*", "veth12ab", true),
            ("veth*", "xveth", false),
            ("*.100", "eth0.100", true),
            ("*.100", "eth0.1001", false),
            ("e*h*0", "eth0", true),
            ("e*h*0", "ehh00", true),
            ("e*h*1", "ehh00", false),
            ("*a*b?", "xaxbxbc", true),
            ("**", "lo", true),
        ] {
            let parsed: InterfacePattern = pattern.parse().unwrap();
            assert_eq!(parsed.matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn what_no_interface_can_be_called_is_refused() {
        for text in [
            "",
            "eth 0",
            "a/b",
            "eth[01]",
            "{a,b}",
            "a-name-of-16-chr",
            "eth0:1",
        ] {
            assert!(text.parse::<InterfacePattern>().is_err(), "{text:?}");
        }
        assert!("a-name-of-15-ch*".parse::<InterfacePattern>().is_ok());
    }
}
