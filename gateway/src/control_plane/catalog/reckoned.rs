//! The recorded bodies of `tests/corpus`: what each costs, reckoned by hand at the prices of
//! `tests/corpus/prices.toml`, or why it costs nothing.

use std::{fs, path::Path};

use serde::Deserialize;

use super::{LiveCatalog, rate};
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
    /// Why no price list is asked.
    unpriced: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Priced {
    /// Of the catalog, whose lists hold.
    entry: String,
    model: String,
    reckoned: Reckoned,
    #[serde(default)]
    left_out: Vec<String>,
}

/// How the parts of a cost add up, such as `18 tokens × $2.5/M × 1.1 + 12 tokens × $32/M = 433500`: what is
/// metered, its list price, what a region multiplies it with, and the sum in dollars × 10⁻⁹. A part that is
/// not there is zero.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Reckoned {
    input: String,
    cache_read: String,
    cache_creation: String,
    output: String,
    other: String,
}

impl Reckoned {
    fn cost(&self) -> CostNanoUsd {
        CostNanoUsd {
            input: added_up(&self.input),
            cache_read: added_up(&self.cache_read),
            cache_creation: added_up(&self.cache_creation),
            output: added_up(&self.output),
            other: added_up(&self.other),
        }
    }
}

/// The sum that a line tells, after adding it up.
fn added_up(line: &str) -> u64 {
    if line.is_empty() {
        return 0;
    }
    let (terms, told) = line.split_once(" = ").expect(line);
    // In dollars × 10⁻¹⁸.
    let sum: u128 = terms.split(" + ").map(term).sum();
    let rounded = (sum + 500_000_000) / 1_000_000_000;
    assert_eq!(told.parse(), Ok(rounded), "{line}");
    u64::try_from(rounded).unwrap()
}

/// In dollars × 10⁻¹⁸.
fn term(term: &str) -> u128 {
    let mut factors = term.split(" × ");
    let mut next = || factors.next();
    let (count, unit) = next().unwrap().split_once(' ').expect(term);
    let price = next().and_then(|price| price.strip_prefix('$'));
    let (price, per) = price.expect(term).split_once('/').expect(term);
    // A million tokens, a call or request, a thousand milliseconds; in thousandths, as the factor is.
    let scale = match (unit, per) {
        ("tokens", "M") => 1,
        ("ms", "s") => 1_000,
        ("calls", "call") | ("requests", "request") => 1_000_000,
        _ => panic!("{term}"),
    };
    let factor = next().map_or(1_000, |factor| rate::per_mille(factor).unwrap());
    assert_eq!(next(), None, "{term}");
    let price = rate::per_million(price).unwrap().0;
    count.parse::<u128>().expect(term) * u128::from(price) * u128::from(factor) * scale
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
        let priced = match (expected.priced, expected.unpriced) {
            (Some(priced), None) => priced,
            (None, Some(why)) if !why.is_empty() => continue,
            (Some(_), Some(_)) | (None, Some(_) | None) => {
                panic!("{name}: either `priced`, or why it is `unpriced`")
            }
        };
        reckoned += 1;
        let usage = expected.usage.expect(&name);
        let price = catalog.entry(&priced.entry).unwrap().price(&priced.model);
        let bill = price::bill(&usage, expected.terms, price.expect(&name));
        assert_eq!(bill.cost, priced.reckoned.cost(), "{name}");
        let left_out: Vec<_> = bill.left_out.codes().collect();
        assert_eq!(left_out, priced.left_out, "{name}");
    }
    assert!(reckoned > 80, "{reckoned}");
}

#[test]
fn lines_that_do_not_add_up_are_noticed() {
    let line = "18 tokens × $2.5/M × 1.1 + 12 tokens × $32/M = 433500";
    assert_eq!(added_up(line), 433_500);
    assert_eq!(added_up("2 calls × $0.014/call = 28000000"), 28_000_000);
    assert_eq!(added_up("1500 ms × $0.0001/s = 150000"), 150_000);
    for wrong in ["1 tokens × $1/M = 1001", "1 tokens × $1/call = 1000", "1"] {
        assert!(std::panic::catch_unwind(|| added_up(wrong)).is_err());
    }
}
