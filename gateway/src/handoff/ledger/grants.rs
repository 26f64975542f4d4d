//! Wishes for grants on their way up to the control plane.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use atomic_waker::AtomicWaker;
use crossbeam_queue::ArrayQueue;

use super::Bucket;

/// Buckets that may wait for a grant at once; who finds no room asks again.
const WAITING_LIMIT: usize = 16 * 1024;

/// Shared by all workers and the one task that grants.
#[derive(Debug)]
pub struct GrantQueue {
    waiting: ArrayQueue<Bucket>,
    keeper: AtomicWaker,
}

impl Default for GrantQueue {
    fn default() -> Self {
        Self {
            waiting: ArrayQueue::new(WAITING_LIMIT),
            keeper: AtomicWaker::new(),
        }
    }
}

impl GrantQueue {
    /// Asks that `amount` may be spent of `bucket` in its present window.
    pub fn ask(&self, bucket: &Bucket, amount: u64) {
        if !bucket.ask(amount) {
            return;
        }
        if self.waiting.push(bucket.clone()).is_err() {
            // So that the next one passes the wish on.
            bucket.take_asked();
        }
        self.keeper.wake();
    }

    /// The buckets that wait, each with what is asked for; waits for the first.
    pub async fn wishes(&self) -> Vec<(Bucket, u64)> {
        poll_fn(|cx| self.poll_wishes(cx)).await
    }

    fn poll_wishes(&self, cx: &mut Context<'_>) -> Poll<Vec<(Bucket, u64)>> {
        self.keeper.register(cx.waker());
        let wishes: Vec<_> = std::iter::from_fn(|| self.waiting.pop())
            .take(WAITING_LIMIT)
            .map(|bucket| {
                let asked = bucket.take_asked();
                (bucket, asked)
            })
            .collect();
        if wishes.is_empty() {
            return Poll::Pending;
        }
        Poll::Ready(wishes)
    }
}
