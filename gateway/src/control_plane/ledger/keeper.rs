//! The task that grants: writes down how far workers may spend, then lets them.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use tracing::warn;

use super::{GrantCounts, GrantDoc, Ledger, now};
use crate::{
    control_plane::{
        resource::key::LEDGER,
        store::{OPERATIONS_MAX, Operation, Store, StoreError, Transaction},
    },
    handoff::ledger::{Bucket, Grant, GrantQueue},
};

/// Answers wishes for as long as it is polled.
pub async fn keep(ledger: Arc<Ledger>, store: Arc<dyn Store>, queue: Arc<GrantQueue>) {
    loop {
        let wishes = queue.wishes().await;
        answer(&ledger, store.as_ref(), wishes, now()).await;
    }
}

/// Grants what is asked for. A grant that cannot be written is not given: who waits for it is told so, and asks again.
pub(crate) async fn answer(
    ledger: &Ledger,
    store: &dyn Store,
    wishes: Vec<(Bucket, u64)>,
    now: u64,
) {
    let mut grants: Vec<(Bucket, Grant)> = wishes
        .into_iter()
        .map(|(bucket, asked)| {
            let window = bucket.window(now);
            let amount = asked
                .max(bucket.spent(now))
                .max(ledger.recorded(&bucket, window));
            (bucket, Grant { window, amount })
        })
        .collect();
    // One that was passed on twice: the larger wish stays.
    grants.sort_by(|(a, of_a), (b, of_b)| (a.name(), of_b.amount).cmp(&(b.name(), of_a.amount)));
    grants.dedup_by(|(a, _), (b, _)| a.name() == b.name());
    for grants in grants.chunks(OPERATIONS_MAX) {
        let begun = Instant::now();
        let written = write(store, grants).await;
        ledger.grants.count(&written, grants.len(), begun.elapsed());
        if let Err(error) = written {
            warn!(%error, "limits: nothing more can be spent, as it cannot be written down");
            continue;
        }
        for (bucket, grant) in grants {
            ledger.record(bucket, *grant);
            bucket.grant(*grant);
        }
    }
}

/// Writes down what was really spent. To be called once nothing runs any more, so that the next boot counts exactly.
///
/// # Errors
/// When the store cannot be written; what was granted counts as spent after a reboot then.
pub async fn close(ledger: &Ledger, store: &dyn Store, now: u64) -> Result<(), StoreError> {
    let buckets: Vec<_> = ledger.lock().buckets.values().cloned().collect();
    let exact: Vec<_> = buckets
        .into_iter()
        .filter_map(|bucket| {
            let granted = bucket.granted()?;
            let exact = Grant {
                window: bucket.window(now),
                amount: bucket.spent(now),
            };
            (granted.window == exact.window && granted.amount != exact.amount)
                .then_some((bucket, exact))
        })
        .collect();
    for exact in exact.chunks(OPERATIONS_MAX) {
        write(store, exact).await?;
    }
    Ok(())
}

async fn write(store: &dyn Store, grants: &[(Bucket, Grant)]) -> Result<(), StoreError> {
    let operations = grants.iter().map(|(bucket, grant)| {
        let doc = GrantDoc {
            window: grant.window,
            window_seconds: bucket.window_seconds(),
            amount: grant.amount,
        };
        Operation::Put {
            key: format!("{LEDGER}{}", bucket.name()),
            value: serde_json::to_vec(&doc).expect("numbers always serialise"),
        }
    });
    let transaction = Transaction {
        compares: Vec::new(),
        operations: operations.collect(),
    };
    store.transact(transaction).await.map(drop)
}

impl GrantCounts {
    fn count(&self, result: &Result<(), StoreError>, grants: usize, took: Duration) {
        let grants = grants as u64;
        match result {
            Ok(()) => {
                self.written.fetch_add(grants, Relaxed);
                let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                self.last_write_us.store(took, Relaxed);
            }
            Err(_) => {
                self.failed.fetch_add(grants, Relaxed);
            }
        }
    }
}

impl Ledger {
    /// How far a bucket's spending is on record in a window.
    fn recorded(&self, bucket: &Bucket, window: u64) -> u64 {
        let state = self.lock();
        let recorded = state.recorded.get(bucket.name());
        recorded.map_or(0, |grant| match grant.window == window {
            true => grant.amount,
            false => 0,
        })
    }

    fn record(&self, bucket: &Bucket, grant: Grant) {
        self.lock().recorded.insert(bucket.name().to_owned(), grant);
    }
}
