//! What an update of prices changes, for people to look at before they take it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use toml::{Table, Value};
use utoipa::ToSchema;

/// One model whose prices differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PriceChange {
    pub list: String,
    pub model: String,
    pub change: Kind,
    /// Empty unless the model is known before and after.
    pub fields: Vec<FieldChange>,
}

/// See [`PriceChange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PriceChangeKind)]
pub enum Kind {
    Added,
    Changed,
    Removed,
}

/// One field, such as `flex.input`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PriceFieldChange)]
pub struct FieldChange {
    pub field: String,
    #[schema(required)]
    pub before: Option<String>,
    #[schema(required)]
    pub after: Option<String>,
}

/// Fields of each model of each list.
pub(super) type Fields = BTreeMap<(String, String), BTreeMap<String, String>>;

/// The models of several price files, of which a later one wins. Unreadable ones have none.
pub(super) fn merged(texts: &[&str]) -> Fields {
    let mut all = Fields::new();
    for text in texts {
        for (list, models) in text.parse::<Table>().unwrap_or_default() {
            let Value::Table(models) = models else {
                continue;
            };
            for (model, table) in models {
                let mut fields = BTreeMap::new();
                flatten("", table, &mut fields);
                all.insert((list.clone(), model), fields);
            }
        }
    }
    all
}

pub(super) fn between(before: &Fields, after: &Fields) -> Vec<PriceChange> {
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let differ = |key: &&(String, String)| before.get(*key) != after.get(*key);
    keys.into_iter()
        .filter(differ)
        .map(|key| {
            let (change, fields) = match (before.get(key), after.get(key)) {
                (Some(before), Some(after)) => (Kind::Changed, fields_between(before, after)),
                (None, _) => (Kind::Added, Vec::new()),
                (Some(_), None) => (Kind::Removed, Vec::new()),
            };
            let (list, model) = key.clone();
            PriceChange {
                list,
                model,
                change,
                fields,
            }
        })
        .collect()
}

fn fields_between(
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Vec<FieldChange> {
    let fields: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    fields
        .into_iter()
        .filter(|field| before.get(*field) != after.get(*field))
        .map(|field| FieldChange {
            field: field.clone(),
            before: before.get(field).cloned(),
            after: after.get(field).cloned(),
        })
        .collect()
}

fn flatten(path: &str, value: Value, fields: &mut BTreeMap<String, String>) {
    if let Value::Table(table) = value {
        for (key, value) in table {
            let path = match path {
                "" => key,
                path => format!("{path}.{key}"),
            };
            flatten(&path, value, fields);
        }
        return;
    }
    let text = value.as_str().map(str::to_owned);
    fields.insert(path.to_owned(), text.unwrap_or_else(|| value.to_string()));
}
