//! `Reader`: takes keys out of a TOML document and the environment, remembers what was asked for, and
//! collects what is wrong. Asking for a key is what declares it, so unknown keys, the suggestions for
//! them and the example file all come from the same calls. (serde stops at the first mistake.)

use std::{cmp::Reverse, collections::BTreeMap, ops::RangeInclusive};

use toml::de::{DeTable, DeValue};

use super::{
    error::{Place, Problem},
    value::{Given, Setting},
};

/// `KEYWAY__SECTION__KEY` overrides `section.key`.
pub(super) const ENVIRONMENT_PREFIX: &str = "KEYWAY__";

/// Words an operator may try, and the key that is meant.
const SYNONYMS: [(&str, &str); 22] = [
    ("catalog.path", "catalog.file"),
    ("catalog.price_file", "catalog.prices"),
    ("endpoint.host", "endpoint.name"),
    ("endpoint.hostname", "endpoint.name"),
    ("endpoint.proxy_address", "endpoint.domain"),
    ("endpoint.cert", "endpoint.tls_certificate"),
    ("endpoint.certificate", "endpoint.tls_certificate"),
    ("endpoint.key", "endpoint.tls_key"),
    ("overlay.device", "overlay.interface"),
    ("overlay.listen", "overlay.addresses"),
    ("identity.sources", "identity.source"),
    ("identity.netbird_token", "identity.netbird_token_file"),
    ("admission.required", "admission.mode"),
    ("tracing.endpoint", "tracing.otlp_endpoint"),
    ("tracing.ratio", "tracing.sample_ratio"),
    ("log.level", "log.filter"),
    ("logging.format", "log.format"),
    ("store.directory", "store.path"),
    ("usage.directory", "usage.path"),
    ("secrets.master_key", "secrets.master_key_file"),
    ("workers.threads", "workers.count"),
    ("timeouts.header", "timeouts.request_head"),
];

/// Largest edit distance at which a known key is suggested for an unknown one.
const SUGGESTION_DISTANCE_MAX: usize = 3;

/// A key that was asked for.
#[derive(Debug, Clone)]
pub(super) struct KeyInfo {
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    /// What it means, in one or two lines.
    pub(super) doc: &'static str,
    /// The default, or an example where there is none, as TOML.
    pub(super) shown: String,
}

/// See the module.
pub(super) struct Reader<'a> {
    root: &'a DeTable<'a>,
    environment: BTreeMap<String, String>,
    pub(super) keys: Vec<KeyInfo>,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// `environment` may hold anything; only names with our prefix are looked at.
    pub(super) fn new(
        root: &'a DeTable<'a>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let environment = environment
            .into_iter()
            .filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX))
            .collect();
        Self {
            root,
            environment,
            keys: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// A key with a default.
    pub(super) fn get<T: Setting>(
        &mut self,
        section: &'static str,
        key: &'static str,
        default: T,
        doc: &'static str,
    ) -> T {
        let shown = default.show();
        self.take(section, key, doc, shown).unwrap_or(default)
    }

    /// A key that may be left out; `example` shows how it is written.
    pub(super) fn get_optional<T: Setting>(
        &mut self,
        section: &'static str,
        key: &'static str,
        example: T,
        doc: &'static str,
    ) -> Option<T> {
        let shown = example.show();
        self.take(section, key, doc, shown)
    }

    /// A key with a default whose value must be in `range`.
    pub(super) fn get_in<T: Setting + PartialOrd + Copy>(
        &mut self,
        section: &'static str,
        key: &'static str,
        default: T,
        range: RangeInclusive<T>,
        doc: &'static str,
    ) -> T {
        let value = self.get(section, key, default, doc);
        if range.contains(&value) {
            return value;
        }
        self.refuse(
            section,
            key,
            format!("{} is out of range", value.show()),
            format!(
                "use a value from {} to {}",
                range.start().show(),
                range.end().show()
            ),
        );
        default
    }

    /// Reports that the value of a key is no good, at the place where it was given.
    pub(super) fn refuse(
        &mut self,
        section: &str,
        key: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.problems.push(Problem {
            place: self.place(section, key),
            key: format!("{section}.{key}"),
            message: message.into(),
            help: Some(help.into()),
        });
    }

    /// Refuses all but the first of `keys` that were given.
    pub(super) fn refuse_more_than_one<const N: usize>(
        &mut self,
        section: &str,
        keys: [&str; N],
        help: &str,
    ) {
        let given: Vec<_> = (keys.into_iter())
            .filter(|key| self.is_given(section, key))
            .collect();
        for key in given.iter().skip(1) {
            self.refuse(section, key, format!("`{}` is given too", given[0]), help);
        }
    }

    /// Whether the key was given at all.
    pub(super) fn is_given(&self, section: &str, key: &str) -> bool {
        self.place(section, key) != Place::File
    }

    /// Whether something is wrong with the key already; comparing its default with anything would only
    /// confuse.
    pub(super) fn is_refused(&self, section: &str, key: &str) -> bool {
        let path = format!("{section}.{key}");
        self.problems.iter().any(|problem| problem.key == path)
    }

    /// Reports what nobody asked for, and returns all problems in the order of the file.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        self.report_unknown();
        self.problems.sort_by_key(|problem| match &problem.place {
            Place::Span(span) => (0, span.start),
            Place::Environment(_) => (1, 0),
            Place::File => (2, 0),
        });
        self.problems
    }

    fn take<T: Setting>(
        &mut self,
        section: &'static str,
        key: &'static str,
        doc: &'static str,
        shown: String,
    ) -> Option<T> {
        self.keys.push(KeyInfo {
            section,
            key,
            doc,
            shown,
        });
        let read = match self.environment.get(&variable(section, key)) {
            Some(text) => T::read(Given::Environment(text)),
            None => T::read(Given::Toml(self.value(section, key)?.1)),
        };
        read.map_err(|message| {
            self.problems.push(Problem {
                place: self.place(section, key),
                key: format!("{section}.{key}"),
                message,
                help: None,
            });
        })
        .ok()
    }

    fn value(&self, section: &str, key: &str) -> Option<(std::ops::Range<usize>, &'a DeValue<'a>)> {
        let table = self.root.get(section)?.get_ref().as_table()?;
        let value = table.get(key)?;
        Some((value.span(), value.get_ref()))
    }

    fn place(&self, section: &str, key: &str) -> Place {
        let variable = variable(section, key);
        if self.environment.contains_key(&variable) {
            return Place::Environment(variable);
        }
        self.value(section, key)
            .map_or(Place::File, |(span, _)| Place::Span(span))
    }

    fn report_unknown(&mut self) {
        let mut unknown = Vec::new();
        for (section, value) in self.root {
            let name: &str = section.get_ref();
            let Some(table) = value.get_ref().as_table() else {
                unknown.push((
                    name.to_owned(),
                    Place::Span(section.span()),
                    "belongs to no section",
                ));
                continue;
            };
            if !self.keys.iter().any(|known| known.section == name) {
                unknown.push((
                    name.to_owned(),
                    Place::Span(section.span()),
                    "there is no such section",
                ));
                continue;
            }
            for key in table.keys() {
                let path = format!("{name}.{}", key.get_ref());
                if !self.is_known(&path) {
                    unknown.push((path, Place::Span(key.span()), "there is no such key"));
                }
            }
        }
        for name in self.environment.keys() {
            let path = name[ENVIRONMENT_PREFIX.len()..]
                .to_lowercase()
                .replacen("__", ".", 1);
            if !self.is_known(&path) {
                unknown.push((
                    path,
                    Place::Environment(name.clone()),
                    "there is no such key",
                ));
            }
        }
        for (path, place, message) in unknown {
            let help = self.suggest(&path);
            self.problems.push(Problem {
                place,
                key: path,
                message: message.to_owned(),
                help,
            });
        }
    }

    fn is_known(&self, path: &str) -> bool {
        path.split_once('.').is_some_and(|(section, key)| {
            self.keys
                .iter()
                .any(|known| known.section == section && known.key == key)
        })
    }

    /// What was probably meant by an unknown section, `section.key` or bare key.
    fn suggest(&self, path: &str) -> Option<String> {
        if let Some((_, meant)) = SYNONYMS.iter().find(|(tried, _)| *tried == path) {
            return Some(format!("it is called `{meant}`"));
        }
        let (section, key) = path.split_once('.').unwrap_or(("", path));
        if let Some(home) = self.keys.iter().find(|known| known.key == key) {
            return Some(format!("`{key}` belongs in section [{}]", home.section));
        }
        let near = |name: &'static str| (distance(name, key), name);
        let candidates: Vec<_> = if section.is_empty() {
            self.keys.iter().map(|known| near(known.section)).collect()
        } else {
            self.keys
                .iter()
                .filter(|known| known.section == section)
                .map(|known| near(known.key))
                .collect()
        };
        let (_, name) = candidates
            .into_iter()
            .filter(|(distance, name)| *distance <= SUGGESTION_DISTANCE_MAX.min(name.len() / 2))
            .min_by_key(|(distance, name)| (*distance, Reverse(name.len())))?;
        Some(format!("did you mean `{name}`?"))
    }
}

fn variable(section: &str, key: &str) -> String {
    format!(
        "{ENVIRONMENT_PREFIX}{}__{}",
        section.to_uppercase(),
        key.to_uppercase()
    )
}

/// Levenshtein distance in bytes, by one row of the usual table.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
