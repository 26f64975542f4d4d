//! The catalog in the management API's types.

use crate::control_plane::{
    api::{
        catalog::{
            CatalogExtraHeader, CatalogKind, CatalogModel, CatalogProvider, IdentityInjection,
        },
        state::CatalogView,
    },
    catalog::{self, Catalog, CatalogEntry, Kind},
};

pub(super) struct ShownCatalog(Vec<CatalogProvider>);

impl ShownCatalog {
    pub(super) fn new(catalog: &Catalog) -> Self {
        Self(catalog.entries().iter().map(provider).collect())
    }
}

impl CatalogView for ShownCatalog {
    fn entries(&self) -> &[CatalogProvider] {
        &self.0
    }
}

fn provider(entry: &CatalogEntry) -> CatalogProvider {
    CatalogProvider {
        id: entry.id.clone(),
        name: entry.name.clone(),
        description: entry.description.clone(),
        default_host: entry.default_host.clone(),
        kind: match entry.kind {
            Kind::Provider => CatalogKind::Provider,
            Kind::Gateway => CatalogKind::Gateway,
            Kind::Custom => CatalogKind::Custom,
        },
        auth_header_template: entry.auth_header_template.clone(),
        default_content_type: entry.default_content_type.to_owned(),
        brand_color: entry.brand_color.clone(),
        models: entry.models.iter().map(model).collect(),
        pricing_surfaces: entry
            .pricing_surfaces
            .iter()
            .map(|surface| surface.code().to_owned())
            .collect(),
        extra_headers: entry
            .extra_headers
            .iter()
            .map(|header| CatalogExtraHeader {
                name: header.name.clone(),
            })
            .collect(),
        identity_injection: entry.identity_injection.as_ref().and_then(identity),
    }
}

fn model(model: &catalog::CatalogModel) -> CatalogModel {
    CatalogModel {
        id: model.id.clone(),
        label: model.label.clone(),
        input_per_1k: model.input_per_1k.clone(),
        output_per_1k: model.output_per_1k.clone(),
        cached_input_per_1k: model.cached_input_per_1k.clone(),
        cache_read_per_1k: model.cache_read_per_1k.clone(),
        cache_creation_per_1k: model.cache_creation_per_1k.clone(),
        context_window: model.context_window,
    }
}

fn identity(identity: &catalog::IdentityInjection) -> Option<IdentityInjection> {
    if let Some(pair) = &identity.header_pair {
        return Some(IdentityInjection::HeaderPair {
            customizable: pair.customizable,
            end_user_id_header: pair.end_user_id_header.clone(),
            tags_header: pair.tags_header.clone(),
        });
    }
    let json = identity.json_metadata.as_ref()?;
    Some(IdentityInjection::JsonMetadata {
        customizable: json.customizable,
        header: json.header.clone(),
        user_key: json.user_key.clone(),
        groups_key: json.groups_key.clone(),
    })
}
