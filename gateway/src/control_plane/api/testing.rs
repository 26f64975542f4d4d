//! What the API's tests and the command line's stand on: a store in memory and stand-ins for the rest.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};

use super::state::{
    AppState, EndpointNaming, NodeStatus, NodeView, ProviderTester, Task, TestReport,
};
use crate::{
    config::{Estimate, LimitsConfig, MasterKeySource},
    control_plane::{
        admission::{AdmissionHistory, AdmissionStatus, PeerTraffic},
        audit::Retention,
        catalog::{Catalog, LiveCatalog},
        diagnosis::{Diagnosis, Trouble},
        discovery::ListedModel,
        identity::{Identity, IdentitySources},
        ledger::Ledger,
        mint::Minted,
        resolve::Answers,
        resource::CredentialDoc,
        seal::{Keyring, LiveKeyring, TextKey},
        snapshot::{Compiler, Documents, Draft, Surroundings, Unseal},
        store::{
            Change, Compare, Entry, Operation, Range, Revision, Store, StoreError, StoreFuture,
            Transaction, TransactionOutcome,
        },
        usage::{CaptureLog, CaptureReader, UsageLog, UsageReader},
    },
    handoff::{
        capture::{Part, capture_queue},
        queue::record_queue,
        record::{ExchangeRecord, tests::sample},
        snapshot::{Endpoint, NanoUsdPerMillion, Rates, Snapshot, Timeouts, access::Capture},
    },
    secret::Secret,
};

const INDEX_WAIT_MAX: Duration = Duration::from_secs(60);

/// State whose master key lies in `directory`.
pub(crate) async fn state(directory: &Path) -> (AppState, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::default());
    let source = MasterKeySource::File(directory.join("master.key"));
    let keyring = Keyring::unlock(&source, store.as_ref())
        .await
        .expect("the first start makes a key");
    let now = jiff::Timestamp::now();
    let text_key = TextKey::open_or_create(store.as_ref(), &keyring)
        .await
        .expect("an empty store takes a key");
    let state = AppState {
        store: Arc::clone(&store) as Arc<dyn Store>,
        keyring: Arc::new(LiveKeyring::new(keyring, source)),
        catalog: Arc::new(LiveCatalog::built_in()),
        usage: usage(directory, now),
        captures: captures(directory, text_key, now),
        identity: Arc::new(IdentitySources::fixed(Identity {
            uses_static: true,
            ..Identity::default()
        })),
        node: Arc::new(CompilingNode {
            store: Arc::clone(&store),
            ledger: Ledger::default(),
            compiled: Mutex::default(),
        }),
        tester: Arc::new(FixedTester),
        naming: EndpointNaming {
            domain: "agents.example".to_owned(),
            name: None,
            port: 443,
        },
        objects: Arc::default(),
        limits: LimitsConfig {
            soft: Estimate {
                output_tokens: 4096,
                bytes_per_token: 3,
            },
            hard_output_tokens: 8192,
        },
        admin_hosts: Arc::new([]),
        sessions: Arc::default(),
        audit: Retention {
            days: 365,
            entries: 1000,
        },
        overlay_group: Some("admins".into()),
    };
    (state, store)
}

/// Of the one exchange in the log.
fn record_id(started_at: jiff::Timestamp) -> u128 {
    (started_at.as_millisecond() as u128) << 80 | 1
}

/// An index with one exchange in it, whose threads have ended.
fn usage(directory: &Path, started_at: jiff::Timestamp) -> UsageReader {
    let (mut senders, receiver) = record_queue(1, 1, Duration::ZERO);
    let log = UsageLog::start(directory, receiver).expect("an empty directory");
    let mut sender = senders.remove(0);
    sender.append(&ExchangeRecord {
        id: record_id(started_at),
        started_at_us: started_at.as_microsecond(),
        ..sample()
    });
    drop(sender);
    let status = log.status();
    let deadline = Instant::now() + INDEX_WAIT_MAX;
    while status.records_indexed.load(Ordering::Relaxed) == 0 {
        assert!(Instant::now() < deadline, "waited in vain for the index");
        std::thread::park_timeout(Duration::from_millis(1));
    }
    let reader = log.reader();
    log.flush_and_stop(deadline);
    reader
}

/// The prompt of that exchange, whose thread has ended.
fn captures(directory: &Path, key: TextKey, started_at: jiff::Timestamp) -> CaptureReader {
    let (senders, receiver) = capture_queue(1);
    let log = CaptureLog::start(directory, receiver, key).expect("an empty directory");
    let capture = Capture {
        text_bytes_max: 100,
        redact: false,
    };
    let mut prompt = senders[0].begin(record_id(started_at), Part::Request, capture);
    assert!(prompt.extend(br#"{"prompt": "Once upon a time"}"#) && senders[0].send(prompt));
    let reader = log.reader();
    log.flush_and_stop(Instant::now() + INDEX_WAIT_MAX);
    reader
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

/// Compiles what is stored after each change, and serves nobody.
struct CompilingNode {
    store: Arc<MemoryStore>,
    ledger: Ledger,
    compiled: Mutex<(Compiler, Option<Arc<Snapshot>>)>,
}

/// What workers would have of documents: providers without addresses, and any key.
pub(crate) fn compile(
    compiler: &mut Compiler,
    documents: &Documents,
    ledger: &Ledger,
) -> Arc<Snapshot> {
    let second = Duration::from_secs(1);
    let surroundings = Surroundings {
        catalog: &Catalog::built_in(),
        unseal: &AnyKey,
        answers: &Answers::default(),
        minted: &Minted::default(),
        identity: &Identity {
            uses_static: true,
            ..Identity::default()
        },
        traced: &[],
        endpoint: Endpoint::default(),
        timeouts: Timeouts {
            connect: second,
            first_byte: second,
            idle: second,
            total: None,
        },
    };
    Arc::new(compiler.compile(documents, ledger, surroundings).snapshot)
}

impl CompilingNode {
    fn compile(&self) -> Arc<Snapshot> {
        let entries: Vec<Entry> = {
            let keys = self.store.keys.lock().expect("no test panics here");
            keys.entries.values().cloned().collect()
        };
        let documents = Documents::from_entries(&entries);
        let mut compiled = self.compiled.lock().expect("no test panics here");
        let (compiler, snapshot) = &mut *compiled;
        let new = compile(compiler, &documents, &self.ledger);
        Arc::clone(snapshot.insert(new))
    }
}

struct AnyKey;

impl Unseal for AnyKey {
    fn unseal(&self, _: &CredentialDoc) -> Result<Secret, String> {
        Ok(Secret::new(b"sk-unsealed".to_vec()))
    }
}

impl NodeView for CompilingNode {
    fn serves(&self, _revision: u64) -> Task<'_, ()> {
        self.compile();
        Box::pin(std::future::ready(()))
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        let compiled = self.compiled.lock().expect("no test panics here").1.clone();
        compiled.unwrap_or_else(|| self.compile())
    }

    fn mints(&self, _credential_id: String) -> Task<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn status(&self) -> NodeStatus {
        NodeStatus {
            ready: true,
            driver: "epoll".to_owned(),
            ..NodeStatus::default()
        }
    }

    fn admission(&self) -> AdmissionStatus {
        AdmissionStatus {
            mode: "off".to_owned(),
            ..AdmissionStatus::default()
        }
    }

    fn admission_history(&self) -> AdmissionHistory {
        AdmissionHistory::default()
    }

    fn admission_peers(&self) -> Vec<PeerTraffic> {
        Vec::new()
    }

    fn ca_pem(&self) -> Option<String> {
        Some("-----BEGIN CERTIFICATE-----\n".to_owned())
    }
}

/// Takes every key but [`REFUSED_KEY`].
struct FixedTester;

impl ProviderTester for FixedTester {
    fn test(&self, _: String) -> Task<'_, TestReport> {
        Box::pin(async {
            TestReport {
                ok: true,
                status: Some(200),
                duration_ms: 12,
                message: "answered".to_owned(),
                ..TestReport::default()
            }
        })
    }

    fn test_draft(&self, draft: Draft) -> Task<'_, TestReport> {
        if !is_refused(&draft) {
            return self.test(String::new());
        }
        Box::pin(async {
            TestReport {
                status: Some(401),
                duration_ms: 12,
                message: "refuses the key (401)".to_owned(),
                problem: Some(Trouble::BadKey.code().to_owned()),
                remedy: "Give another key".to_owned(),
                ..TestReport::default()
            }
        })
    }

    fn list_models(&self, draft: Draft) -> Task<'_, Result<Vec<ListedModel>, Diagnosis>> {
        let refused = is_refused(&draft);
        Box::pin(async move {
            if refused {
                return Err(Diagnosis {
                    trouble: Trouble::BadKey,
                    message: "refuses the key (401)".to_owned(),
                    remedy: "Give another key".to_owned(),
                });
            }
            let model = |id: &str, price| ListedModel {
                id: id.to_owned(),
                label: None,
                base_model: None,
                price,
            };
            Ok(vec![
                model("gpt-4o-mini", None),
                model("brand-new", None),
                model(
                    "resold",
                    Some(Rates {
                        input: NanoUsdPerMillion(1_000_000_000),
                        output: NanoUsdPerMillion(2_000_000_000),
                        ..Rates::default()
                    }),
                ),
            ])
        })
    }
}

/// The one key that [`FixedTester`] does not take.
pub(crate) const REFUSED_KEY: &str = "sk-planted-marker-refused";

fn is_refused(draft: &Draft) -> bool {
    let key = draft.secret.as_ref().map(Secret::expose);
    key == Some(REFUSED_KEY.as_bytes())
}
