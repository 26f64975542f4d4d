//! Sums along two dimensions at a time: what a filter and a grouping ask for together. A year of ten million
//! exchanges by provider and model is 7,000 rows here, and a million in `usage_day`.

use std::collections::HashMap;

use super::{
    UsageError,
    condition::Condition,
    database::{Connection, values},
    filter::LogFilter,
    overview::TotalBy,
    rollup::{Key, SUM_COLUMNS, SUMS, Sum, added, with_sums},
    slice::Unit,
};

/// Two dimensions. The others are empty in rows of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(super) enum Pair {
    ProviderModel = 0,
    ProviderGroups = 1,
    ModelGroups = 2,
    ProviderUser = 3,
    ModelUser = 4,
    GroupsUser = 5,
}

/// Which dimensions a query needs, or a pair has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dimensions {
    pub(super) provider: bool,
    pub(super) model: bool,
    /// The set of the caller's groups.
    pub(super) groups: bool,
    pub(super) user: bool,
}

impl Dimensions {
    /// What `filter` restricts and totals are kept apart by.
    pub(super) fn of(filter: &LogFilter, by: Option<TotalBy>) -> Self {
        Self {
            provider: !filter.provider_ids.is_empty() || by == Some(TotalBy::Provider),
            model: !filter.models.is_empty() || by == Some(TotalBy::Model),
            groups: !filter.group_ids.is_empty() || by == Some(TotalBy::Group),
            user: filter.user_id.is_some() || by == Some(TotalBy::User),
        }
    }

    fn are_in(self, pair: Pair) -> bool {
        let there = pair.dimensions();
        (there.provider || !self.provider)
            && (there.model || !self.model)
            && (there.groups || !self.groups)
            && (there.user || !self.user)
    }
}

impl Pair {
    /// Those with few rows come first.
    const ALL: [Self; 6] = [
        Self::ProviderModel,
        Self::ProviderGroups,
        Self::ModelGroups,
        Self::ProviderUser,
        Self::ModelUser,
        Self::GroupsUser,
    ];

    /// The one with the fewest rows that keeps `needed` apart.
    pub(super) fn with(needed: Dimensions) -> Option<Self> {
        Self::ALL.into_iter().find(|pair| needed.are_in(*pair))
    }

    fn dimensions(self) -> Dimensions {
        let none = Dimensions::default();
        let (provider, model, groups, user) = (true, true, true, true);
        match self {
            Self::ProviderModel => Dimensions {
                provider,
                model,
                ..none
            },
            Self::ProviderGroups => Dimensions {
                provider,
                groups,
                ..none
            },
            Self::ModelGroups => Dimensions {
                model,
                groups,
                ..none
            },
            Self::ProviderUser => Dimensions {
                provider,
                user,
                ..none
            },
            Self::ModelUser => Dimensions {
                model,
                user,
                ..none
            },
            Self::GroupsUser => Dimensions {
                groups,
                user,
                ..none
            },
        }
    }

    /// Whether it has rows of this length. By day, users would make as many rows as `usage_day` has; there is
    /// an index for those of one user.
    pub(super) fn has(self, unit: Unit) -> bool {
        match unit {
            Unit::Hour => false,
            Unit::Day => !self.dimensions().user,
            Unit::Month => true,
        }
    }

    /// The condition on its rows. Naming what is empty lets the primary key lead to the rest.
    pub(super) fn condition(self, unit: Unit) -> Condition {
        let mut condition = Condition::default();
        condition.and(
            &format!("unit = {} AND pair = {}", unit as u8, self as u8),
            [],
        );
        let Dimensions {
            provider,
            model,
            groups,
            user,
        } = self.dimensions();
        for (is_kept, sql) in [
            (provider, "provider_id = ''"),
            (model, "model = ''"),
            (groups, "group_set = 0"),
            (user, "user_id = ''"),
        ] {
            if !is_kept {
                condition.and(sql, []);
            }
        }
        condition
    }

    fn project<'a>(self, key: &Key<'a>) -> Key<'a> {
        let Dimensions {
            provider,
            model,
            groups,
            user,
        } = self.dimensions();
        Key {
            hour: 0,
            provider_id: if provider { key.provider_id } else { "" },
            model: if model { key.model } else { "" },
            group_set: if groups { key.group_set } else { 0 },
            user_id: if user { key.user_id } else { "" },
        }
    }
}

/// The sums of one transaction.
#[derive(Default)]
pub(super) struct Pairs<'a> {
    rows: HashMap<(Unit, Pair, i64, Key<'a>), Sum>,
}

impl<'a> Pairs<'a> {
    pub(super) fn of(hours: &HashMap<Key<'a>, Sum>) -> Self {
        let mut pairs = Self::default();
        for (key, sums) in hours {
            pairs.add(key, sums);
        }
        pairs
    }

    fn add(&mut self, key: &Key<'a>, sums: &Sum) {
        for pair in Pair::ALL {
            for unit in Unit::ALL.into_iter().filter(|unit| pair.has(*unit)) {
                let place = (unit, pair, unit.period(key.hour), pair.project(key));
                let row = self.rows.entry(place).or_insert([0; SUMS]);
                for (sum, value) in row.iter_mut().zip(sums) {
                    *sum += value;
                }
            }
        }
    }

    pub(super) fn write(&self, transaction: &Connection) -> Result<(), UsageError> {
        let key = "unit, pair, period, provider_id, model, group_set, user_id";
        let marks = vec!["?"; 7 + SUMS].join(", ");
        let upsert = format!(
            "INSERT INTO usage_pair ({key}, {SUM_COLUMNS}) VALUES ({marks})
             ON CONFLICT ({key}) DO UPDATE SET {}",
            added("usage_pair")
        );
        let rows = self.rows.iter().map(|((unit, pair, period, key), sums)| {
            let place = values![
                *unit as u8,
                *pair as u8,
                *period,
                key.provider_id,
                key.model,
                key.group_set,
                key.user_id,
            ];
            with_sums::<7, { 7 + SUMS }>(place, sums)
        });
        transaction.execute_each(&upsert, rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_pair_is_taken() {
        let needed = |text: &str| Dimensions {
            provider: text.contains('p'),
            model: text.contains('m'),
            groups: text.contains('g'),
            user: text.contains('u'),
        };
        for (dimensions, expected) in [
            ("", Some(Pair::ProviderModel)),
            ("m", Some(Pair::ProviderModel)),
            ("g", Some(Pair::ProviderGroups)),
            ("pm", Some(Pair::ProviderModel)),
            ("mg", Some(Pair::ModelGroups)),
            ("u", Some(Pair::ProviderUser)),
            ("gu", Some(Pair::GroupsUser)),
            ("pmg", None),
            ("pmgu", None),
        ] {
            assert_eq!(Pair::with(needed(dimensions)), expected, "{dimensions}");
        }
    }
}
