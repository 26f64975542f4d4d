//! Random limits, requests and ends, with a clock that jumps, grants that come late or never, and restarts, held
//! against plain accounts: what was taken, what was used, one after the other.

mod account;
mod memory;
mod world;

use std::{
    collections::HashMap,
    fs,
    future::Future,
    path::PathBuf,
    pin::pin,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll, Waker},
};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{
    control_plane::{
        api::testing::compile,
        ledger::{Ledger, Tally, answer, close},
        snapshot::{Compiler, Documents},
        store::Store,
    },
    data_plane::limits::Spending,
    dialect::price::bill,
    handoff::{
        ledger::{Bucket, GrantQueue, Refusal, Unit},
        record::{Terms, Usage},
        snapshot::access::LimitMode,
    },
    policy::{
        bound::Amounts,
        charge::{Charge, Origin},
        plan::{Plan, Wants},
    },
};
use account::Accounts;
use memory::MemoryStore;
use world::{Arrival, End, Keeper, LIMITS, Restart, Step, World};

/// A node, and the accounts that it is held against.
struct Run {
    documents: Documents,
    store: Arc<MemoryStore>,
    directory: TempDir,
    queue: Arc<GrantQueue>,
    ledger: Arc<Ledger>,
    snapshot: Arc<Snapshot>,
    now: u64,
    /// No clock is set back over a restart.
    now_min: u64,
    in_flight: Vec<Exchange>,
    accounts: Accounts,
}

/// A request that is under way.
struct Exchange {
    shares: Vec<Share>,
    price: Price,
    body_bytes: u64,
    /// Providers keep to it.
    output_tokens_max: Option<u64>,
}

struct Share {
    bucket: Bucket,
    mode: LimitMode,
    window: u64,
    taken: u64,
}

impl Run {
    fn new(world: &World) -> Self {
        let documents = world.documents();
        let store = Arc::new(MemoryStore::default());
        let directory = tempfile::tempdir().unwrap();
        let now = world::BEGUN;
        let path = directory.path().join("limits");
        let (ledger, snapshot) = started(&documents, &store, path, now);
        Self {
            documents,
            store,
            directory,
            queue: Arc::default(),
            ledger,
            snapshot,
            now,
            now_min: now,
            in_flight: Vec::new(),
            accounts: Accounts::default(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Arrive(arrival) => self.arrive(arrival),
            Step::End { place, end } if !self.in_flight.is_empty() => {
                let exchange = self.in_flight.remove(place % self.in_flight.len());
                self.end(exchange, *end);
            }
            Step::End { .. } => {}
            Step::Clock(by) => {
                let now = self.now.saturating_add_signed(*by);
                self.now = now.max(self.now_min);
            }
            Step::Grant(keeper) => self.grant(*keeper),
            Step::Restart(restart) => self.restart(*restart),
        }
        self.accounts.check(self.now);
    }

    /// As the data plane: the first policy with room pays, and a grant is waited for.
    fn arrive(&mut self, arrival: &Arrival) {
        let snapshot = Arc::clone(&self.snapshot);
        let principal = &snapshot.peers[&world::address(arrival.user)];
        let ask = Ask {
            path: "/v1/chat/completions",
            model: Some(world::MODEL),
            keeper: None,
        };
        let classified = request(Dialect::OpenAi, Operation::ChatCompletions);
        let Ok(mut permit) = permit(&snapshot, principal, &classified, ask) else {
            return;
        };
        let mut waited = 0;
        loop {
            match self.attempt(&permit, arrival) {
                Ok(exchange) => return self.in_flight.push(exchange),
                Err(Some(Origin::Policy)) => match permit.next(ask) {
                    Some(next) => permit = next,
                    None => return,
                },
                Err(Some(Origin::Account(_) | Origin::Provider)) => return,
                Err(None) => {
                    // One grant per limit is enough.
                    assert!(waited < 16, "grants do not help");
                    waited += 1;
                    self.grant(arrival.keeper);
                    if arrival.keeper != Keeper::Writes {
                        return;
                    }
                }
            }
        }
    }

    /// Who had no room; `None` waits for a grant.
    fn attempt<'s>(
        &mut self,
        permit: &Permit<'s>,
        arrival: &Arrival,
    ) -> Result<Exchange, Option<Origin<'s>>> {
        let wants = Wants {
            operation: Operation::ChatCompletions,
            size: arrival.size(),
            may_be_bounded: true,
        };
        let Ok(plan) = Plan::new(permit, wants, &LIMITS, || Ok(Elsewhere::default())) else {
            panic!("all of it can be bounded")
        };
        let mut exchange = Exchange {
            shares: Vec::new(),
            price: permit.price().unwrap().clone(),
            body_bytes: arrival.body_bytes,
            output_tokens_max: arrival.output_tokens_max.or(plan.output_tokens_max),
        };
        for charge in &plan.charges {
            let amount = plan.amount(charge).unwrap();
            match self.spend(charge, amount) {
                Ok(share) => exchange.shares.push(share),
                Err(refusal) => {
                    self.give_back(exchange);
                    return Err(match refusal {
                        Refusal::Cap { .. } => Some(charge.origin),
                        Refusal::Grant(_) => None,
                    });
                }
            }
        }
        Ok(exchange)
    }

    fn spend(&mut self, charge: &Charge<'_>, amount: u64) -> Result<Share, Refusal> {
        let Charge {
            bucket, most, mode, ..
        } = *charge;
        let found = bucket.spend(self.now, amount, most);
        let account = self.accounts.of(bucket);
        account.spend(self.now, amount, most, &found);
        if let Err(Refusal::Grant(needed)) = &found {
            let wanted = needed.amount.saturating_add(amount).min(most);
            self.queue.ask(bucket, wanted);
        }
        Ok(Share {
            bucket: bucket.clone(),
            mode,
            window: found?,
            taken: amount,
        })
    }

    /// It was not sent.
    fn give_back(&mut self, exchange: Exchange) {
        for share in exchange.shares {
            share.bucket.settle(share.window, share.taken, 0);
            self.accounts.of(&share.bucket).settle(&share, 0, 0);
        }
    }

    fn end(&mut self, exchange: Exchange, end: End) {
        let usage = end.usage(exchange.body_bytes, exchange.output_tokens_max);
        let cost = bill(&usage, Terms::default(), &exchange.price).cost;
        let used = Amounts::used(&usage, &cost);
        for share in exchange.shares {
            let unit = share.bucket.unit();
            let real = match (unit, end.spending) {
                (Unit::Requests | Unit::InFlight, _) => 0,
                (_, Spending::None) => 0,
                (_, Spending::Unknown | Spending::Part | Spending::Whole) => used.of(unit),
            };
            if share.mode == LimitMode::Hard {
                assert!(real <= share.taken, "{unit:?}: a hard bound is passed");
            }
            let known = match end.spending {
                Spending::Part => used.of(unit) / 2,
                Spending::None | Spending::Unknown | Spending::Whole => used.of(unit),
            };
            let counted = end.spending.counted(unit, share.mode, share.taken, known);
            share.bucket.settle(share.window, share.taken, counted);
            let account = self.accounts.of(&share.bucket);
            account.settle(&share, counted, real);
            if let Some(missing) = share.bucket.ungranted() {
                self.queue.ask(&share.bucket, missing);
            }
        }
    }

    fn grant(&mut self, keeper: Keeper) {
        match keeper {
            Keeper::IsAway => return,
            Keeper::Writes => self.store.is_full.store(false, Relaxed),
            Keeper::Fails => self.store.is_full.store(true, Relaxed),
        }
        if let Some(wishes) = now_or_never(self.queue.wishes()) {
            let answering = answer(&self.ledger, self.store.as_ref(), wishes, self.now);
            now_or_never(answering).unwrap();
        }
    }

    fn restart(&mut self, restart: Restart) {
        self.store.is_full.store(false, Relaxed);
        if restart == Restart::Stop {
            for exchange in std::mem::take(&mut self.in_flight) {
                self.end(exchange, End::NOTHING);
            }
            let closing = close(&self.ledger, self.store.as_ref(), self.now);
            now_or_never(closing).unwrap().unwrap();
        }
        // Nobody will hear what was in flight used: all of it, perhaps.
        for share in self
            .in_flight
            .drain(..)
            .flat_map(|exchange| exchange.shares)
        {
            self.accounts.of(&share.bucket).forget(&share);
        }
        self.accounts.restart();
        self.queue = Arc::default();
        let path = self.directory.path().join("limits");
        if restart != Restart::Kill {
            fs::remove_file(&path).unwrap();
        }
        self.now_min = self.now;
        self.snapshot = Arc::new(snapshot(Vec::new()));
        (self.ledger, self.snapshot) = started(&self.documents, &self.store, path, self.now);
        match restart {
            Restart::Kill => {}
            Restart::PowerCut => self.accounts.recover(&self.snapshot, self.now, false),
            Restart::Stop => self.accounts.recover(&self.snapshot, self.now, true),
        }
        self.accounts.resume(&self.snapshot);
    }

    /// Lets everything end, after which nothing is set aside.
    fn finish(mut self) {
        for exchange in std::mem::take(&mut self.in_flight) {
            self.end(exchange, End::WHOLE);
        }
        self.accounts.check(self.now);
        self.accounts.check_sums();
    }
}

fn started(
    documents: &Documents,
    store: &Arc<MemoryStore>,
    path: PathBuf,
    now: u64,
) -> (Arc<Ledger>, Arc<Snapshot>) {
    let store: &dyn Store = store.as_ref();
    let tally = now_or_never(Tally::open(&path, store)).unwrap().unwrap();
    let ledger = now_or_never(Ledger::load(store, tally, now));
    let ledger = Arc::new(ledger.unwrap().unwrap());
    let snapshot = compile(&mut Compiler::default(), documents, &ledger);
    (ledger, snapshot)
}

/// Nothing here waits for anything but a wish.
fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_cap_is_passed_and_nothing_stays_set_aside(
        world in world::worlds(),
        steps in prop::collection::vec(world::steps(), 1..60),
    ) {
        let mut run = Run::new(&world);
        for step in &steps {
            run.step(step);
        }
        run.finish();
    }
}
