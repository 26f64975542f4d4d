//! How one value is written: durations (`"30s"`), sizes (`"32MiB"`), addresses, paths, choices. The
//! same conversions read the file and the environment, and print the defaults.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use toml::de::DeValue;

use super::{InterfacePattern, OverlayNetwork};

mod tracing;
mod word;

pub(super) use tracing::{Names, Share};

/// A value as it was given.
#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    Toml(&'a DeValue<'a>),
    Environment(&'a str),
}

impl<'a> Given<'a> {
    fn text(self, expected: &str) -> Result<&'a str, String> {
        match self {
            Self::Environment(text) => Ok(text),
            Self::Toml(value) => value.as_str().ok_or_else(|| mismatch(value, expected)),
        }
    }

    fn integer(self, expected: &str) -> Result<u64, String> {
        let (digits, radix) = match self {
            Self::Environment(text) => (text.to_owned(), 10),
            Self::Toml(value) => {
                let integer = value
                    .as_integer()
                    .ok_or_else(|| mismatch(value, expected))?;
                (integer.as_str().to_owned(), integer.radix())
            }
        };
        u64::from_str_radix(&digits, radix).map_err(|_| format!("{digits:?} is not {expected}"))
    }
}

fn mismatch(value: &DeValue<'_>, expected: &str) -> String {
    format!("expected {expected}, found {}", article(value.type_str()))
}

fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if vowel { "an" } else { "a" })
}

/// A type a key can have.
pub(super) trait Setting: Sized {
    /// Reads a value; the error completes the sentence "`key`: …".
    fn read(given: Given<'_>) -> Result<Self, String>;

    /// The value as TOML.
    fn show(&self) -> String;
}

impl Setting for String {
    fn read(given: Given<'_>) -> Result<Self, String> {
        match given.text("a string")? {
            "" => Err("must not be empty".to_owned()),
            text => Ok(text.to_owned()),
        }
    }

    fn show(&self) -> String {
        format!("{self:?}")
    }
}

impl Setting for PathBuf {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let path = Self::from(String::read(given)?);
        if path.is_absolute() {
            Ok(path)
        } else {
            Err(format!("{} is not an absolute path", path.display()))
        }
    }

    fn show(&self) -> String {
        format!("{:?}", self.display().to_string())
    }
}

/// A directory that may be none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pins(pub(super) Option<PathBuf>);

impl Setting for Pins {
    fn read(given: Given<'_>) -> Result<Self, String> {
        match given.text("a directory, or \"\" for none")? {
            "" => Ok(Self(None)),
            _ => PathBuf::read(given).map(|path| Self(Some(path))),
        }
    }

    fn show(&self) -> String {
        self.0
            .as_ref()
            .map_or_else(|| "\"\"".to_owned(), Setting::show)
    }
}

impl Setting for bool {
    fn read(given: Given<'_>) -> Result<Self, String> {
        match given {
            Given::Toml(value) => value
                .as_bool()
                .ok_or_else(|| mismatch(value, "true or false")),
            Given::Environment(text) => text
                .parse()
                .map_err(|_| format!("{text:?} is neither true nor false")),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for usize {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let number = given.integer("a whole number")?;
        Self::try_from(number).map_err(|_| format!("{number} is too large"))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// A TCP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Port(pub(super) u16);

impl Setting for Port {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let number = given.integer("a port from 1 to 65535")?;
        match u16::try_from(number) {
            Ok(port) if port > 0 => Ok(Self(port)),
            Ok(_) | Err(_) => Err(format!("{number} is not a port from 1 to 65535")),
        }
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

impl Setting for SocketAddr {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let text = given.text("an address with a port, as in \"127.0.0.1:8443\"")?;
        text.parse().map_err(|_| {
            format!("{text:?} is not an address with a port, as in \"127.0.0.1:8443\"")
        })
    }

    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

/// A listening address that can be turned off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listen(pub(super) Option<SocketAddr>);

impl Setting for Listen {
    fn read(given: Given<'_>) -> Result<Self, String> {
        match given.text("an address with a port, or \"off\"")? {
            "off" => Ok(Self(None)),
            _ => SocketAddr::read(given).map(|address| Self(Some(address))),
        }
    }

    fn show(&self) -> String {
        self.0
            .map_or_else(|| "\"off\"".to_owned(), |address| address.show())
    }
}

impl Setting for Vec<IpAddr> {
    fn read(given: Given<'_>) -> Result<Self, String> {
        list(
            given,
            ("a list of addresses", "an address in quotes"),
            |text| {
                text.parse()
                    .map_err(|_| format!("{text:?} is not an IP address"))
            },
        )
    }

    fn show(&self) -> String {
        show_list(self.iter().map(IpAddr::to_string))
    }
}

impl Setting for Vec<OverlayNetwork> {
    fn read(given: Given<'_>) -> Result<Self, String> {
        list(
            given,
            ("a list of networks", "a network in quotes"),
            |text| {
                network(text).ok_or_else(|| {
                    format!("{text:?} is not a network such as \"100.64.0.0/10\" or \"fd00::/64\"")
                })
            },
        )
    }

    fn show(&self) -> String {
        show_list((self.iter()).map(|network| format!("{}/{}", network.address, network.prefix)))
    }
}

impl Setting for Vec<InterfacePattern> {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let words = ("a list of interface names", "an interface name in quotes");
        list(given, words, str::parse)
    }

    fn show(&self) -> String {
        show_list(self.iter().map(InterfacePattern::to_string))
    }
}

/// Longest prefixes of IPv4 and IPv6 addresses.
const PREFIX_MAX: (u8, u8) = (32, 128);

fn network(text: &str) -> Option<OverlayNetwork> {
    let (address, prefix) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let prefix = prefix.parse().ok()?;
    let longest = if address.is_ipv4() {
        PREFIX_MAX.0
    } else {
        PREFIX_MAX.1
    };
    (prefix <= longest).then_some(OverlayNetwork { address, prefix })
}

/// A list of strings, or in the environment one string with commas.
fn list<T>(
    given: Given<'_>,
    (items, item): (&str, &str),
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    match given {
        Given::Environment(text) => text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(parse)
            .collect(),
        Given::Toml(value) => value
            .as_array()
            .ok_or_else(|| mismatch(value, items))?
            .iter()
            .map(|one| parse(Given::Toml(one.get_ref()).text(item)?.trim()))
            .collect(),
    }
}

fn show_list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.map(|item| format!("\"{item}\"")).collect();
    format!("[{}]", items.join(", "))
}

/// Units of durations, the largest first.
const DURATION_UNITS: [(&str, u64); 4] =
    [("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];

impl Setting for Duration {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let text = given.text("a duration in quotes, as in \"30s\", \"50ms\", \"10min\"")?;
        scaled(text, &DURATION_UNITS)
            .filter(|ms| *ms > 0)
            .map(Self::from_millis)
            .ok_or_else(|| {
                format!("{text:?} is not a duration: write \"30s\", \"50ms\", \"10min\" or \"1h\"")
            })
    }

    fn show(&self) -> String {
        let ms = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        format!("\"{}\"", unscaled(ms, &DURATION_UNITS))
    }
}

/// A duration that can be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MaybeDuration(pub(super) Option<Duration>);

impl Setting for MaybeDuration {
    fn read(given: Given<'_>) -> Result<Self, String> {
        match given.text("a duration in quotes, or \"none\"")? {
            "none" => Ok(Self(None)),
            _ => Duration::read(given).map(|duration| Self(Some(duration))),
        }
    }

    fn show(&self) -> String {
        self.0
            .map_or_else(|| "\"none\"".to_owned(), |duration| duration.show())
    }
}

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size(pub(super) u64);

/// Units of sizes, the largest first.
const SIZE_UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl Setting for Size {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let text = given.text("a size in quotes, as in \"32MiB\"")?;
        scaled(text, &SIZE_UNITS).map(Self).ok_or_else(|| {
            format!("{text:?} is not a size: write \"64KiB\", \"32MiB\", \"1GiB\" or \"512B\"")
        })
    }

    fn show(&self) -> String {
        format!("\"{}\"", unscaled(self.0, &SIZE_UNITS))
    }
}

/// `"32 MiB"` in the smallest unit; `None` when it is not a whole number and a known unit.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The shortest exact way to write `value`.
fn unscaled(value: u64, units: &[(&str, u64)]) -> String {
    let (name, factor) = units
        .iter()
        .find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor))
        .or_else(|| units.last())
        .expect("the unit tables are not empty");
    format!("{}{name}", value / factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AdmissionHook, IdentitySource};

    fn duration(text: &str) -> Option<Duration> {
        Duration::read(Given::Environment(text)).ok()
    }

    #[test]
    fn networks_have_prefixes_that_fit() {
        for (text, shown) in [
            (
                "100.64.0.0/10, fd00::/64",
                Some("[\"100.64.0.0/10\", \"fd00::/64\"]"),
            ),
            ("", Some("[]")),
            ("100.64.0.0/33", None),
            ("fd00::/129", None),
            ("100.64.0.0", None),
        ] {
            let read = Vec::<OverlayNetwork>::read(Given::Environment(text)).ok();
            assert_eq!(
                read.map(|networks| networks.show()).as_deref(),
                shown,
                "{text}"
            );
        }
    }

    #[test]
    fn hooks_are_an_order_of_some() {
        for (text, shown) in [
            ("tc", Some("[\"tc\"]")),
            ("generic, tc", Some("[\"generic\", \"tc\"]")),
            ("tc,native", Some("[\"tc\", \"native\"]")),
            ("", None),
            ("tc,tc", None),
            ("xdp", None),
        ] {
            let read = Vec::<AdmissionHook>::read(Given::Environment(text)).ok();
            assert_eq!(read.map(|hooks| hooks.show()).as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn identity_sources_are_one_or_some() {
        for (text, shown) in [
            ("static", Some("[\"static\"]")),
            ("static, netbird", Some("[\"static\", \"netbird\"]")),
            ("wireguard", Some("[\"wireguard\"]")),
            ("", None),
            ("netbird,netbird", None),
            ("ldap", None),
        ] {
            let read = Vec::<IdentitySource>::read(Given::Environment(text)).ok();
            assert_eq!(read.map(|some| some.show()).as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn durations_and_sizes() {
        assert_eq!(duration("30s"), Some(Duration::from_secs(30)));
        assert_eq!(duration("50ms"), Some(Duration::from_millis(50)));
        assert_eq!(duration("10 min"), Some(Duration::from_secs(600)));
        for wrong in [
            "",
            "30",
            "s",
            "-1s",
            "1.5s",
            "0s",
            "30 parsecs",
            "99999999999999999999h",
        ] {
            assert_eq!(duration(wrong), None, "{wrong:?}");
        }
        let size = |text| Size::read(Given::Environment(text)).ok();
        assert_eq!(size("32MiB"), Some(Size(32 << 20)));
        assert_eq!(size("512B"), Some(Size(512)));
        assert_eq!(size("32MB"), None);
        assert_eq!(size("18446744073709551615GiB"), None);
    }

    #[test]
    fn what_is_shown_can_be_read() {
        for ms in [1, 50, 1_000, 1_500, 90_000, 600_000, 3_600_000] {
            let shown = Duration::from_millis(ms).show();
            assert_eq!(
                duration(shown.trim_matches('"')),
                Some(Duration::from_millis(ms))
            );
        }
        assert_eq!(Duration::from_secs(90).show(), "\"90s\"");
        assert_eq!(Size(256 << 20).show(), "\"256MiB\"");
        assert_eq!(Size(0).show(), "\"0B\"");
    }
}
