//! The store's entries as documents; one that cannot be read is set aside with the reason.

use serde::de::DeserializeOwned;

use crate::control_plane::{
    resource::{
        BudgetRuleDoc, CredentialDoc, GroupDoc, GuardrailDoc, PeerDoc, PolicyDoc, PricesDoc,
        ProviderDoc, SettingsDoc,
        key::{
            BUDGETS, CREDENTIALS, GROUPS, GUARDRAILS, PEERS, POLICIES, PRICES, PROVIDERS, SETTINGS,
        },
    },
    store::Entry,
};

/// Everything in the store that a snapshot is made from, at one revision.
#[derive(Debug, Default)]
pub struct Documents {
    pub providers: Vec<ProviderDoc>,
    pub credentials: Vec<CredentialDoc>,
    pub policies: Vec<PolicyDoc>,
    pub guardrails: Vec<GuardrailDoc>,
    pub budgets: Vec<BudgetRuleDoc>,
    pub peers: Vec<PeerDoc>,
    pub groups: Vec<GroupDoc>,
    pub settings: Option<SettingsDoc>,
    pub prices: Option<PricesDoc>,
    /// Could not be read.
    pub damaged: Vec<SkippedDocument>,
}

/// A document that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedDocument {
    /// Key in the store.
    pub key: String,
    pub reason: String,
}

impl Documents {
    /// Reads what belongs into a snapshot; other keys are not looked at.
    pub fn from_entries(entries: &[Entry]) -> Self {
        let mut documents = Self::default();
        for entry in entries {
            if let Err(error) = documents.take(entry) {
                documents.damaged.push(SkippedDocument {
                    key: entry.key.clone(),
                    // serde's message may quote a value; no document holds a secret in the clear.
                    reason: error.to_string(),
                });
            }
        }
        documents
    }

    fn take(&mut self, entry: &Entry) -> Result<(), serde_json::Error> {
        let key = entry.key.as_str();
        if key.starts_with(PROVIDERS) {
            self.providers.push(read(entry)?);
        } else if key.starts_with(CREDENTIALS) {
            self.credentials.push(read(entry)?);
        } else if key.starts_with(POLICIES) {
            self.policies.push(read(entry)?);
        } else if key.starts_with(GUARDRAILS) {
            self.guardrails.push(read(entry)?);
        } else if key.starts_with(BUDGETS) {
            self.budgets.push(read(entry)?);
        } else if key.starts_with(PEERS) {
            self.peers.push(read(entry)?);
        } else if key.starts_with(GROUPS) {
            self.groups.push(read(entry)?);
        } else if key == SETTINGS {
            self.settings = Some(read(entry)?);
        } else if key == PRICES {
            self.prices = Some(read(entry)?);
        }
        Ok(())
    }
}

fn read<T: DeserializeOwned>(entry: &Entry) -> Result<T, serde_json::Error> {
    serde_json::from_slice(&entry.value)
}
