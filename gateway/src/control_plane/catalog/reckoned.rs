//! The recorded bodies of `tests/corpus` whose cost was reckoned by hand, at the prices of
//! `tests/corpus/prices.toml`.

use std::{fs, path::Path};

use serde::Deserialize;

use super::LiveCatalog;
use crate::{
    control_plane::resource::PricesDoc,
    dialect::price,
    handoff::record::{CostNanoUsd, Terms, Usage},
};

/// `<name>.expected.json`, as far as it tells of costs.
#[derive(Deserialize)]
struct Expected {
    usage: Option<Usage>,
    #[serde(default)]
    terms: Terms,
    priced: Option<Priced>,
}

#[derive(Deserialize)]
struct Priced {
    /// Of the catalog, whose lists hold.
    entry: String,
    model: String,
    cost: CostNanoUsd,
    #[serde(default)]
    left_out: Vec<String>,
}

#[test]
fn recorded_usage_costs_what_was_reckoned_by_hand() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    let catalog = LiveCatalog::built_in();
    catalog.follow(Some(&PricesDoc {
        text: fs::read_to_string(folder.join("prices.toml")).unwrap(),
        source: String::new(),
        updated_at: jiff::Timestamp::UNIX_EPOCH,
    }));
    let catalog = catalog.current();
    let mut reckoned = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with(".expected.json") {
            continue;
        }
        let expected: Expected = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let (Some(priced), Some(usage)) = (expected.priced, expected.usage) else {
            continue;
        };
        reckoned += 1;
        let price = catalog.entry(&priced.entry).unwrap().price(&priced.model);
        let bill = price::bill(&usage, expected.terms, price.unwrap());
        assert_eq!(bill.cost, priced.cost, "{name}");
        let left_out: Vec<_> = bill.left_out.codes().collect();
        assert_eq!(left_out, priced.left_out, "{name}");
    }
    assert!(reckoned > 15, "{reckoned}");
}
