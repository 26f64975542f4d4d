//! What the API's tests and the command line's stand on: a store in memory and stand-ins for the rest.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use super::{
    logs::{AccessLog, AccessLogSession, LogQuery, Page},
    state::{
        AppState, EndpointNaming, NodeStatus, NodeView, ProviderTester, QueryFailure, Task,
        TestReport, UsageQueries,
    },
    usage::{BreakdownRow, Dimension, OverviewQuery, UsageBucket, UsageFilter, UsageSums},
};
use crate::{
    config::MasterKeySource,
    control_plane::{
        catalog::Catalog,
        seal::{Keyring, LiveKeyring},
        store::{
            Change, Compare, Entry, Operation, Range, Revision, Store, StoreError, StoreFuture,
            Transaction, TransactionOutcome,
        },
    },
};

/// State whose master key lies in `directory`.
pub(crate) async fn state(directory: &Path) -> (AppState, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::default());
    let source = MasterKeySource::File(directory.join("master.key"));
    let keyring = Keyring::unlock(&source, store.as_ref())
        .await
        .expect("the first start makes a key");
    let state = AppState {
        store: Arc::clone(&store) as Arc<dyn Store>,
        keyring: Arc::new(LiveKeyring::new(keyring, source)),
        catalog: Arc::new(Catalog::built_in()),
        usage: Arc::new(FixedUsage),
        node: Arc::new(FixedNode),
        tester: Arc::new(FixedNode),
        naming: EndpointNaming {
            domain: "agents.example".to_owned(),
            name: None,
            port: 443,
        },
        admin_hosts: Arc::new([]),
    };
    (state, store)
}

type Hook = Box<dyn FnOnce(&mut Keys) + Send>;

/// A store without disk and without a change log.
#[derive(Default)]
pub(crate) struct MemoryStore {
    keys: Mutex<Keys>,
    /// Runs once, before the next transaction's compares.
    before_transaction: Mutex<Option<Hook>>,
}

#[derive(Default)]
pub(crate) struct Keys {
    revision: Revision,
    entries: BTreeMap<String, Entry>,
}

impl Keys {
    /// Changes nothing but the key's revision, as somebody else's write would.
    pub(crate) fn touch(&mut self, prefix: &str) {
        self.revision += 1;
        for (key, entry) in &mut self.entries {
            if key.starts_with(prefix) {
                entry.mod_revision = self.revision;
            }
        }
    }

    fn holds(&self, compare: &Compare) -> bool {
        match compare {
            Compare::Absent { key } => !self.entries.contains_key(key),
            Compare::ModRevision { key, revision } => self
                .entries
                .get(key)
                .is_some_and(|entry| entry.mod_revision == *revision),
        }
    }

    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Put { key, value } => {
                let create_revision = self
                    .entries
                    .get(&key)
                    .map_or(self.revision, |entry| entry.create_revision);
                let entry = Entry {
                    key: key.clone(),
                    value,
                    create_revision,
                    mod_revision: self.revision,
                };
                self.entries.insert(key, entry);
            }
            Operation::Delete { key } => {
                self.entries.remove(&key);
            }
        }
    }
}

impl MemoryStore {
    pub(crate) fn before_next_transaction(&self, hook: impl FnOnce(&mut Keys) + Send + 'static) {
        *self.before_transaction.lock().expect("no test panics here") = Some(Box::new(hook));
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        let keys = self.keys.lock().expect("no test panics here");
        keys.entries.keys().cloned().collect()
    }

    pub(crate) fn values(&self) -> Vec<String> {
        let keys = self.keys.lock().expect("no test panics here");
        keys.entries
            .values()
            .map(|entry| String::from_utf8_lossy(&entry.value).into_owned())
            .collect()
    }
}

impl Store for MemoryStore {
    fn range(&self, prefix: &str) -> StoreFuture<'_, Range> {
        let keys = self.keys.lock().expect("no test panics here");
        let range = Range {
            revision: keys.revision,
            entries: keys
                .entries
                .iter()
                .filter(|(key, _)| key.starts_with(prefix))
                .map(|(_, entry)| entry.clone())
                .collect(),
        };
        Box::pin(async { Ok(range) })
    }

    fn transact(&self, transaction: Transaction) -> StoreFuture<'_, TransactionOutcome> {
        if let Err(error) = transaction.validate() {
            return Box::pin(async { Err(error) });
        }
        let mut keys = self.keys.lock().expect("no test panics here");
        let hook = self
            .before_transaction
            .lock()
            .expect("no test panics here")
            .take();
        if let Some(hook) = hook {
            hook(&mut keys);
        }
        let outcome = if transaction.compares.iter().all(|one| keys.holds(one)) {
            keys.revision += 1;
            for operation in transaction.operations {
                keys.apply(operation);
            }
            TransactionOutcome::Committed {
                revision: keys.revision,
            }
        } else {
            TransactionOutcome::Conflict {
                revision: keys.revision,
            }
        };
        Box::pin(async move { Ok(outcome) })
    }

    fn changes(&self, _: &str, after: Revision) -> StoreFuture<'_, Vec<Change>> {
        Box::pin(async move { Err(StoreError::Compacted(after)) })
    }
}

struct FixedUsage;

pub(crate) fn sums() -> UsageSums {
    UsageSums {
        input_tokens: 1200,
        output_tokens: 345,
        total_tokens: 1545,
        cached_input_tokens: 200,
        cost_usd: 0.012_345_6,
        ..UsageSums::default()
    }
}

impl UsageQueries for FixedUsage {
    fn access_logs(&self, query: LogQuery) -> Task<'_, Result<Page<AccessLog>, QueryFailure>> {
        let entry = AccessLog {
            id: "1".to_owned(),
            user_id: "ada".to_owned(),
            sums: sums(),
            ..AccessLog::default()
        };
        Box::pin(async move { Ok(Page::new(vec![entry], &query, 1)) })
    }

    fn sessions(&self, query: LogQuery) -> Task<'_, Result<Page<AccessLogSession>, QueryFailure>> {
        Box::pin(async move { Ok(Page::new(Vec::new(), &query, 0)) })
    }

    fn overview(&self, _: OverviewQuery) -> Task<'_, Result<Vec<UsageBucket>, QueryFailure>> {
        let bucket = UsageBucket {
            period_start: "2026-11-23".to_owned(),
            sums: sums(),
        };
        Box::pin(async move { Ok(vec![bucket]) })
    }

    fn breakdown(
        &self,
        _: UsageFilter,
        dimension: Dimension,
    ) -> Task<'_, Result<Vec<BreakdownRow>, QueryFailure>> {
        let row = BreakdownRow {
            key: format!("{dimension:?}"),
            request_count: 3,
            sums: sums(),
        };
        Box::pin(async move { Ok(vec![row]) })
    }
}

struct FixedNode;

impl NodeView for FixedNode {
    fn status(&self) -> NodeStatus {
        NodeStatus {
            ready: true,
            driver: "epoll".to_owned(),
            ..NodeStatus::default()
        }
    }

    fn ca_pem(&self) -> Option<String> {
        Some("-----BEGIN CERTIFICATE-----\n".to_owned())
    }
}

impl ProviderTester for FixedNode {
    fn test(&self, _: String) -> Task<'_, TestReport> {
        Box::pin(async {
            TestReport {
                ok: true,
                status: Some(200),
                duration_ms: 12,
                message: "answered".to_owned(),
            }
        })
    }
}
