//! `Names`: what slots are called. A removed provider keeps its names until others take the slots, because its counts
//! are still there.

use std::collections::BTreeMap;

use crate::{
    control_plane::{semantics, snapshot::SnapshotReport},
    handoff::{
        counters::{PROVIDER_SLOTS, model::ModelSlot},
        snapshot::{Provider, ProviderSlot},
    },
};

/// Label of exchanges that reached no provider, and of slots nobody named.
const NONE: &str = "none";
/// Label of models and peers that are not counted apart.
pub(super) const OTHER: &str = "other";

#[derive(Default)]
pub(super) struct Names {
    providers: BTreeMap<u16, String>,
    /// OpenTelemetry's names of whom the providers belong to.
    vendors: BTreeMap<u16, String>,
    models: BTreeMap<ModelSlot, ModelName>,
    /// Id, and the user whom records name.
    peers: BTreeMap<u32, (String, String)>,
}

struct ModelName {
    provider: ProviderSlot,
    model: String,
}

impl Names {
    /// Takes over the names of what there is now. Providers without a name go by their id.
    pub(super) fn follow(&mut self, report: &SnapshotReport) {
        for status in &report.providers {
            let name = match status.name.is_empty() {
                true => &status.id,
                false => &status.name,
            };
            self.name_provider(status.slot, name);
        }
        for provider in &report.snapshot.providers {
            self.name_models(provider);
        }
        let principals = report.snapshot.peers.values();
        self.peers = principals
            .map(|one| {
                let name = (one.peer_id.to_string(), one.display_name.to_string());
                (one.slot, name)
            })
            .collect();
    }

    fn name_provider(&mut self, slot: ProviderSlot, name: &str) {
        if usize::from(slot.0) < PROVIDER_SLOTS {
            self.providers.insert(slot.0, name.to_owned());
        }
    }

    fn name_models(&mut self, provider: &Provider) {
        let vendor = semantics::provider(&provider.catalog_id);
        self.vendors.insert(provider.slot.0, vendor.to_owned());
        for (model, slot) in &provider.model_slots {
            let name = ModelName {
                provider: provider.slot,
                model: model.to_string(),
            };
            self.models.insert(*slot, name);
        }
    }

    pub(super) fn provider(&self, slot: ProviderSlot) -> &str {
        self.providers.get(&slot.0).map_or(NONE, String::as_str)
    }

    pub(super) fn vendor(&self, slot: ProviderSlot) -> &str {
        self.vendors.get(&slot.0).map_or(NONE, String::as_str)
    }

    /// Where a model is served, and what it is called.
    pub(super) fn model(&self, slot: ModelSlot) -> (ProviderSlot, &str) {
        match self.models.get(&slot) {
            Some(name) => (name.provider, &name.model),
            None if slot == ModelSlot::NONE => (ProviderSlot(0), NONE),
            None => (slot.provider().unwrap_or(ProviderSlot(0)), OTHER),
        }
    }

    /// Models with counters of their own.
    pub(super) fn models(&self) -> impl Iterator<Item = ModelSlot> {
        self.models.keys().copied()
    }

    /// Slots of providers, that of none included.
    pub(super) fn providers(&self) -> impl Iterator<Item = ProviderSlot> {
        let named = self.providers.keys().map(|slot| ProviderSlot(*slot));
        [ProviderSlot(0)]
            .into_iter()
            .chain(named.filter(|slot| slot.0 != 0))
    }

    pub(super) fn peer(&self, slot: u32) -> Option<&(String, String)> {
        self.peers.get(&slot)
    }

    /// Peers whose slots are beyond the first `limit`.
    pub(super) fn peers_beyond(&self, limit: usize) -> usize {
        let beyond = |slot: &&u32| **slot as usize > limit;
        self.peers.keys().filter(beyond).count()
    }
}
