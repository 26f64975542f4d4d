//! Values of `[tracing]`.

use super::{Given, Setting, list, mismatch, show_list};
use crate::config::Ratio;

/// Names that operators gave to something.
pub(in crate::config) struct Names(pub(in crate::config) Vec<String>);

impl Setting for Names {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let words = ("a list of names", "a name in quotes");
        let name = |text: &str| match text {
            "" => Err("lists an empty name".to_owned()),
            name => Ok(name.to_owned()),
        };
        list(given, words, name).map(Self)
    }

    fn show(&self) -> String {
        show_list(self.0.iter().cloned())
    }
}

/// A number from 0 to 1.
pub(in crate::config) struct Share(pub(in crate::config) Ratio);

const SHARE: &str = "a number from 0.0 to 1.0";

impl Setting for Share {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let text = match given {
            Given::Environment(text) => text,
            Given::Toml(value) => value
                .as_float()
                .map(|float| float.as_str())
                .or_else(|| value.as_integer().map(|integer| integer.as_str()))
                .ok_or_else(|| mismatch(value, SHARE))?,
        };
        let share = text.parse().ok().and_then(Ratio::new);
        share
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not {SHARE}"))
    }

    fn show(&self) -> String {
        format!("{:?}", self.0.share())
    }
}
