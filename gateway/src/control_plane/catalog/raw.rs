//! The catalog file as it is written, and its checks: unknown keys, doubled ids and dangling
//! references are mistakes, and all entries are checked before the first is reported.

use std::{collections::BTreeSet, sync::Arc};

use http::HeaderName;
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    BodyFields, Catalog, CatalogEntry, CatalogModel, ExtraHeader, HeaderPair, Help,
    IdentityInjection, JsonMetadata, KEY_PLACEHOLDER, KeyKind, Kind, Listing, PriceTable, Probe,
    Problem, StreamUsage, Surface,
    prices::{self, PricedModel, Prices},
    problem::{File, Problems},
    rate,
};
use crate::{
    dialect::{Dialect, DialectSet},
    handoff::snapshot::ReportedCost,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    id: String,
    name: String,
    description: String,
    kind: Kind,
    default_url: String,
    brand_color: String,
    auth: RawAuth,
    dialects: Vec<String>,
    #[serde(default)]
    surfaces: Vec<Surface>,
    #[serde(default)]
    models: Vec<String>,
    #[serde(default)]
    prices: Vec<String>,
    #[serde(default)]
    reported_cost: Option<RawReportedCost>,
    #[serde(default)]
    extra_headers: Vec<String>,
    #[serde(default)]
    stream_usage: StreamUsage,
    #[serde(default)]
    key: KeyKind,
    #[serde(default)]
    responses_websocket: bool,
    identity: Option<RawIdentity>,
    listing: Option<Listing>,
    probe: Option<Probe>,
    unlisted: Option<String>,
    #[serde(default)]
    key_help: String,
    #[serde(default)]
    url_help: String,
    #[serde(default)]
    access_help: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReportedCost {
    header: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAuth {
    header: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, tag = "form", rename_all = "snake_case")]
enum RawIdentity {
    HeaderPair {
        #[serde(default)]
        customizable: bool,
        user_header: String,
        groups_header: String,
        #[serde(default)]
        body: Vec<RawBodyField>,
    },
    JsonHeader {
        #[serde(default)]
        customizable: bool,
        header: String,
        user_key: String,
        groups_key: String,
        value_bytes_limit: usize,
    },
    Body {
        body: Vec<RawBodyField>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawBodyField {
    User,
    Tags,
}

/// Of several price files a later one wins, model by model.
pub(super) fn resolve(catalog: &str, price_files: &[&str]) -> Result<Catalog, Vec<Problem>> {
    let mut prices = Prices::new();
    let mut found = Vec::new();
    for text in price_files {
        let mut problems = Problems::new(File::Prices, text);
        for (list, models) in prices::read(text, &mut problems) {
            let known = prices.entry(list).or_default();
            for (id, mut model) in models {
                // A label is ours; other catalogs have none.
                let earlier = known.get(&id);
                model.label = model.label.or_else(|| earlier?.label.clone());
                known.insert(id, model);
            }
        }
        found.append(&mut problems.found);
    }
    let mut problems = Problems::new(File::Catalog, catalog);
    let entries = read_entries(catalog, &prices, &mut problems);
    found.append(&mut problems.found);
    if !found.is_empty() {
        return Err(found);
    }
    Ok(Catalog { entries })
}

pub(super) fn read<T: DeserializeOwned>(
    value: toml::Value,
    place: &str,
    problems: &mut Problems,
) -> Option<T> {
    problems.take(place, value.try_into::<T>())
}

fn read_entries(text: &str, prices: &Prices, problems: &mut Problems) -> Vec<Arc<CatalogEntry>> {
    let Some(mut table) = problems.take("catalog", text.parse::<toml::Table>()) else {
        return Vec::new();
    };
    let raw = table.remove("entry");
    for key in table.keys() {
        problems.add("catalog", format!("unknown key {key:?}"));
    }
    let Some(toml::Value::Array(raw)) = raw else {
        problems.add("catalog", "there is no [[entry]]");
        return Vec::new();
    };
    let mut ids = BTreeSet::new();
    let mut entries = Vec::new();
    for (at, value) in raw.into_iter().enumerate() {
        let id = value.get("id").and_then(toml::Value::as_str);
        let place = id.map_or_else(|| format!("entry {}", at + 1), |id| format!("entry {id}"));
        let Some(raw) = read::<RawEntry>(value, &place, problems) else {
            continue;
        };
        if !ids.insert(raw.id.clone()) {
            problems.add(&place, "this id is given twice");
        }
        entries.extend(resolve_entry(raw, &place, prices, problems).map(Arc::new));
    }
    entries
}

fn resolve_entry(
    raw: RawEntry,
    place: &str,
    prices: &Prices,
    problems: &mut Problems,
) -> Option<CatalogEntry> {
    check_texts(&raw, place, problems);
    let auth = problems.take(place, HeaderName::from_bytes(raw.auth.header.as_bytes()));
    let dialects: Vec<_> = raw
        .dialects
        .iter()
        .filter_map(|code| {
            let dialect = Dialect::from_code(code);
            if dialect.is_none() {
                problems.add(place, format!("unknown dialect {code:?}"));
            }
            dialect
        })
        .collect();
    let mut table = PriceTable::default();
    // From the last list to the first, which thereby wins.
    for list in raw.prices.iter().rev() {
        match prices.get(list) {
            Some(list) => table.extend(
                list.iter()
                    .map(|(id, model)| (Box::from(id.as_str()), model.price.clone())),
            ),
            None => problems.add(place, format!("there is no list of prices {list:?}")),
        }
    }
    let mut models = Vec::new();
    let mut seen = BTreeSet::new();
    for id in &raw.models {
        let in_list = |list: &String| prices.get(list)?.get(id);
        match raw.prices.iter().find_map(in_list) {
            Some(model) => models.push(show_model(id, model, &raw.surfaces)),
            None => problems.add(place, format!("no list of this entry prices {id:?}")),
        }
        if !seen.insert(id) {
            problems.add(place, format!("model {id:?} is given twice"));
        }
    }
    let reported_cost = raw.reported_cost.and_then(|raw| {
        let header = raw
            .header
            .map(|name| HeaderName::from_bytes(name.as_bytes()));
        let header = problems.take(place, header.transpose())?;
        Some(ReportedCost { header })
    });
    let identity = raw.identity.map(resolve_identity);
    if let Some(identity) = &identity
        && let Err(error) = identity.format(None, None)
    {
        problems.add(place, error.to_string());
    }
    Some(CatalogEntry {
        default_host: raw
            .default_url
            .strip_prefix("https://")
            .unwrap_or(&raw.default_url)
            .to_owned(),
        id: raw.id,
        name: raw.name,
        description: raw.description,
        default_url: raw.default_url,
        kind: raw.kind,
        auth_header_template: raw.auth.value,
        auth_header_name: auth?,
        default_content_type: "application/json",
        brand_color: raw.brand_color,
        models,
        pricing_surfaces: raw.surfaces,
        stream_usage: raw.stream_usage,
        key: raw.key,
        responses_websocket: raw.responses_websocket,
        extra_headers: raw
            .extra_headers
            .into_iter()
            .map(|name| ExtraHeader { name })
            .collect(),
        identity_injection: identity,
        unlisted: raw.unlisted.or_else(|| {
            let never = "its models cannot be listed; name them";
            raw.listing.is_none().then(|| never.to_owned())
        }),
        listing: raw.listing,
        probe: raw.probe,
        help: Help {
            key: raw.key_help,
            url: raw.url_help,
            access: raw.access_help,
        },
        dialects: DialectSet::of(&dialects),
        reported_cost,
        prices: Arc::new(table),
    })
}

fn check_texts(raw: &RawEntry, place: &str, problems: &mut Problems) {
    let id_is_plain = !raw.id.is_empty()
        && raw
            .id
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !id_is_plain {
        problems.add(place, "an id has lower-case letters, digits and '_' only");
    }
    let url = &raw.default_url;
    if !(url.is_empty() || url.starts_with("https://") || url.starts_with("http://")) {
        problems.add(place, "default_url begins with https:// or http://");
    }
    let color_is_hex = raw.brand_color.strip_prefix('#').is_some_and(|digits| {
        digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    });
    if !color_is_hex {
        problems.add(place, "brand_color is #RRGGBB");
    }
    let prefix = raw.auth.value.strip_suffix(KEY_PLACEHOLDER);
    if !prefix.is_some_and(|prefix| prefix.bytes().all(|b| matches!(b, 0x20..=0x7e))) {
        problems.add(place, format!("auth.value ends with {KEY_PLACEHOLDER}"));
    }
    let mut paths = raw.listing.iter().flat_map(Listing::paths);
    if !paths.all(|path| path.starts_with('/')) {
        problems.add(place, "a path begins with '/'");
    }
    for name in &raw.extra_headers {
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            problems.add(place, format!("{name:?} is no header name"));
        }
    }
}

fn show_model(id: &str, model: &PricedModel, surfaces: &[Surface]) -> CatalogModel {
    let rates = &model.price.standard.rates;
    let read = rates.cache_read.map(rate::to_per_1k);
    let inclusive = surfaces.iter().any(|s| s.includes_cached_input());
    let exclusive = surfaces.iter().any(|s| !s.includes_cached_input());
    CatalogModel {
        id: id.to_owned(),
        label: model.label.clone().unwrap_or_else(|| id.to_owned()),
        input_per_1k: rate::to_per_1k(rates.input),
        output_per_1k: rate::to_per_1k(rates.output),
        cached_input_per_1k: read.clone().filter(|_| inclusive),
        cache_read_per_1k: read.filter(|_| exclusive),
        cache_creation_per_1k: rates.cache_write.map(rate::to_per_1k),
        context_window: model.context,
    }
}

fn resolve_identity(raw: RawIdentity) -> IdentityInjection {
    let body = |fields: Vec<RawBodyField>| {
        (!fields.is_empty()).then(|| BodyFields {
            user: fields.contains(&RawBodyField::User),
            tags: fields.contains(&RawBodyField::Tags),
        })
    };
    let pair = |customizable, end_user_id_header, tags_header| HeaderPair {
        customizable,
        end_user_id_header,
        tags_header,
    };
    match raw {
        RawIdentity::HeaderPair {
            customizable,
            user_header,
            groups_header,
            body: fields,
        } => IdentityInjection {
            header_pair: Some(pair(customizable, user_header, groups_header)),
            json_metadata: None,
            body: body(fields),
        },
        RawIdentity::JsonHeader {
            customizable,
            header,
            user_key,
            groups_key,
            value_bytes_limit,
        } => IdentityInjection {
            header_pair: None,
            json_metadata: Some(JsonMetadata {
                customizable,
                header,
                user_key,
                groups_key,
                value_bytes_limit,
            }),
            body: None,
        },
        // The API knows two forms; this one is a pair without headers.
        RawIdentity::Body { body: fields } => IdentityInjection {
            header_pair: Some(pair(false, String::new(), String::new())),
            json_metadata: None,
            body: body(fields),
        },
    }
}
