//! A vendor's whole listing of models, page by page.

use std::borrow::Cow;

use super::{request, settings};
use crate::{
    control_plane::{
        catalog::{CatalogEntry, Listing, ListingShape},
        diagnosis::{self, Diagnosis},
        discovery::{self, ListedModel, PAGES_LIMIT, Page},
        outbound::Answer,
    },
    dialect::{Dialect, bedrock},
    handoff::snapshot::{Provider, Target},
};

/// Where `provider` lists its models.
pub(super) fn of<'a>(entry: &'a CatalogEntry, provider: &Provider) -> Option<Cow<'a, Listing>> {
    // Mantle lists its own models, as OpenAI does.
    if entry.id == bedrock::CATALOG_ID && !provider.dialects.contains(Dialect::Bedrock) {
        return Some(Cow::Owned(Listing {
            path: "/v1/models".to_owned(),
            then: Vec::new(),
            shape: ListingShape::OpenAi,
        }));
    }
    entry.listing.as_ref().map(Cow::Borrowed)
}

pub(super) async fn whole(
    entry: &CatalogEntry,
    provider: &Provider,
) -> Result<Vec<ListedModel>, Diagnosis> {
    let Some(listing) = of(entry, provider) else {
        return Err(settings("its models cannot be listed"));
    };
    let mut models = Vec::new();
    for path in listing.paths() {
        models.extend(pages(entry, provider, listing.shape, path).await?);
    }
    Ok(models)
}

async fn pages(
    entry: &CatalogEntry,
    provider: &Provider,
    shape: ListingShape,
    path: &str,
) -> Result<Vec<ListedModel>, Diagnosis> {
    let mut models = Vec::new();
    let mut page_path = path.to_owned();
    for _ in 0..PAGES_LIMIT {
        let ask = |target: &Target| request::listing(provider, target, shape, &page_path);
        let answer = request::first_answer(provider, ask)
            .await
            .map_err(|error| diagnosis::of_call(entry, &error))?;
        let page = read(entry, shape, &answer)?;
        models.extend(page.models);
        let Some((parameter, value)) = page.next else {
            break;
        };
        page_path = request::next_page(path, parameter, &value);
    }
    Ok(models)
}

pub(super) fn read(
    entry: &CatalogEntry,
    shape: ListingShape,
    answer: &Answer,
) -> Result<Page, Diagnosis> {
    if !answer.status.is_success() {
        return Err(diagnosis::of_answer(
            entry,
            answer.status,
            &answer.headers,
            &answer.body,
        ));
    }
    discovery::read(shape, &answer.body).ok_or_else(|| diagnosis::no_listing(entry))
}
