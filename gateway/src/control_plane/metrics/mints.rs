//! Tokens minted from service accounts, by provider.

use std::collections::BTreeMap;

use prometheus::proto::MetricFamily;

use super::family::{counter, gauge};
use crate::control_plane::mint::{Minted, ProviderMints};

/// Nothing where no provider needs tokens.
pub(super) fn gather(minted: &Minted) -> Vec<MetricFamily> {
    if minted.providers.is_empty() {
        return Vec::new();
    }
    let providers = by_name(minted);
    let mints = providers.iter().flat_map(|(name, mints)| {
        let results = [
            ("minted", mints.minted),
            ("refused", mints.refused),
            ("failed", mints.failed),
        ];
        results.map(|(result, count)| {
            let name = (*name).to_owned();
            let labels = vec![("provider", name), ("result", result.to_owned())];
            (labels, count as f64)
        })
    });
    let ends = providers.iter().map(|(name, mints)| {
        let end = mints.expires_at.map_or(0, |end| end.as_second());
        (vec![("provider", (*name).to_owned())], end as f64)
    });
    vec![
        counter(
            "keyway_provider_token_mints_total",
            "Tokens asked for with a service account: minted, refused by its vendor, or failed without an answer.",
            mints.collect(),
        ),
        gauge(
            "keyway_provider_token_expiry_timestamp_seconds",
            "When the token of a provider expires; 0 without one.",
            ends.collect(),
        ),
    ]
}

/// Providers of the same name are added up.
fn by_name(minted: &Minted) -> BTreeMap<&str, ProviderMints> {
    let mut providers: BTreeMap<&str, ProviderMints> = BTreeMap::new();
    for mints in minted.providers.values() {
        let sum = providers.entry(&mints.name).or_default();
        sum.minted += mints.minted;
        sum.refused += mints.refused;
        sum.failed += mints.failed;
        sum.expires_at = sum.expires_at.max(mints.expires_at);
    }
    providers
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn providers_of_one_name_are_one() {
        let mints = |minted, failed, end| ProviderMints {
            name: "Vertex".to_owned(),
            minted,
            refused: 0,
            failed,
            expires_at: Timestamp::from_second(end).ok(),
        };
        let minted = Minted {
            providers: BTreeMap::from([
                ("a".to_owned(), mints(1, 2, 7)),
                ("b".to_owned(), mints(10, 20, 5)),
            ]),
            ..Minted::default()
        };
        let [totals, ends] = gather(&minted).try_into().expect("two families");
        let values = totals
            .get_metric()
            .iter()
            .map(|m| m.get_counter().get_value());
        assert_eq!(values.collect::<Vec<_>>(), [11.0, 0.0, 22.0]);
        assert_eq!(ends.get_metric()[0].get_gauge().get_value(), 7.0);
        assert!(gather(&Minted::default()).is_empty());
    }
}
