//! The catalog in use: the compiled-in files or the operator's, and over them the prices that came through
//! the management API.

use std::{path::Path, sync::Arc};

use arc_swap::ArcSwap;

use super::{
    CATALOG_TOML, Catalog, CatalogError, PRICES_TOML, Problem,
    changes::{self, PriceChange},
    problem::File,
    raw, read_file,
};
use crate::control_plane::resource::PricesDoc;

/// See the module. Cheap to read, and replaced as a whole.
#[derive(Debug)]
pub struct LiveCatalog {
    catalog: String,
    prices: String,
    current: ArcSwap<Current>,
}

#[derive(Debug)]
struct Current {
    catalog: Arc<Catalog>,
    update: Option<PricesDoc>,
}

impl LiveCatalog {
    /// The compiled-in files.
    pub fn built_in() -> Self {
        Self::load(None, None).expect("a test parses the compiled-in files")
    }

    /// The compiled-in files, with either replaced.
    ///
    /// # Errors
    /// With the mistakes of all entries and models.
    pub fn load(catalog: Option<&Path>, prices: Option<&Path>) -> Result<Self, CatalogError> {
        let fail = |problems| CatalogError::new(problems, catalog, prices);
        let read = |file, path: Option<&Path>, built_in: &str| match path {
            None => Ok(built_in.to_owned()),
            Some(path) => read_file(path).map_err(|message| {
                fail(vec![Problem {
                    file,
                    line: None,
                    place: String::new(),
                    message,
                }])
            }),
        };
        let catalog_text = read(File::Catalog, catalog, CATALOG_TOML)?;
        let prices_text = read(File::Prices, prices, PRICES_TOML)?;
        let current = raw::resolve(&catalog_text, &[&prices_text]).map_err(fail)?;
        Ok(Self {
            catalog: catalog_text,
            prices: prices_text,
            current: ArcSwap::from_pointee(Current {
                catalog: Arc::new(current),
                update: None,
            }),
        })
    }

    /// The catalog as it is now.
    pub fn current(&self) -> Arc<Catalog> {
        Arc::clone(&self.current.load().catalog)
    }

    /// What the prices would be with `update` in place of the earlier one: changed, new and returning models.
    ///
    /// # Errors
    /// With the mistakes of all models.
    pub fn changes(&self, update: &str) -> Result<Vec<PriceChange>, CatalogError> {
        self.with(update)?;
        let earlier = self.current.load();
        let earlier = earlier.update.as_ref().map(|doc| doc.text.as_str());
        let before = changes::merged(&[&self.prices, earlier.unwrap_or_default()]);
        let after = changes::merged(&[&self.prices, update]);
        Ok(changes::between(&before, &after))
    }

    /// Uses the update that the store has. One that cannot be read leaves things as they are.
    pub fn follow(&self, update: Option<&PricesDoc>) {
        if self.current.load().update.as_ref() == update {
            return;
        }
        let text = update.map_or("", |doc| doc.text.as_str());
        match self.with(text) {
            Ok(catalog) => {
                tracing::info!(
                    source = update.map(|doc| doc.source.as_str()),
                    "prices in use"
                );
                self.current.store(Arc::new(Current {
                    catalog: Arc::new(catalog),
                    update: update.cloned(),
                }));
            }
            Err(error) => tracing::error!(%error, "stored prices are not used"),
        }
    }

    fn with(&self, update: &str) -> Result<Catalog, CatalogError> {
        raw::resolve(&self.catalog, &[&self.prices, update]).map_err(CatalogError::of_update)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn doc(text: &str) -> PricesDoc {
        PricesDoc {
            text: text.to_owned(),
            source: "test".to_owned(),
            updated_at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    fn input(catalog: &LiveCatalog, model: &str) -> Option<u64> {
        let current = catalog.current();
        let price = current.entry("openai_api")?.price(model)?;
        Some(price.standard.rates.input.0)
    }

    #[test]
    fn an_update_lies_over_the_file_and_goes_again() {
        let catalog = LiveCatalog::built_in();
        let before = input(&catalog, "gpt-5.4");
        assert!(before.is_some());
        let text = "[openai]\n\"gpt-5.4\" = { input = \"7\", output = \"8\" }\n\
                    \"gpt-9\" = { input = \"9\", output = \"9\" }\n";
        catalog.follow(Some(&doc(text)));
        assert_eq!(input(&catalog, "gpt-5.4"), Some(7_000_000_000));
        assert_eq!(input(&catalog, "gpt-9"), Some(9_000_000_000));
        assert!(input(&catalog, "gpt-4o").is_some());
        catalog.follow(Some(&doc("[openai]\nx = 1")));
        assert_eq!(input(&catalog, "gpt-9"), Some(9_000_000_000));
        catalog.follow(None);
        assert_eq!(input(&catalog, "gpt-5.4"), before);
        assert_eq!(input(&catalog, "gpt-9"), None);
    }

    #[test]
    fn changes_are_told_by_model_and_field() {
        let catalog = LiveCatalog::built_in();
        assert_eq!(catalog.changes("").unwrap(), []);
        let text = "[openai]\n\"gpt-9\" = { input = \"9\", output = \"9\" }\n";
        catalog.follow(Some(&doc(text)));
        let text = text.replace(
            "input = \"9\"",
            "input = \"10\", flex = { input = \"5\", output = \"4\" }",
        );
        let changes = catalog.changes(&text).unwrap();
        let json = serde_json::to_value(&changes).unwrap();
        assert_eq!(
            json,
            serde_json::json!([{
                "list": "openai", "model": "gpt-9", "change": "changed",
                "fields": [
                    {"field": "flex.input", "before": null, "after": "5"},
                    {"field": "flex.output", "before": null, "after": "4"},
                    {"field": "input", "before": "9", "after": "10"},
                ],
            }])
        );
        let gone = catalog.changes("").unwrap();
        assert_eq!(gone.len(), 1);
        let error = catalog
            .changes("[openai]\nm = { input = \"x\" }")
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("the update:2: openai.\"m\".input"),
            "{error}"
        );
    }
}
