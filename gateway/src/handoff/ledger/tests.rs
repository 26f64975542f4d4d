use std::{sync::Arc, thread};

use super::*;

const DAY: u32 = 86_400;
const NOON: u64 = 43_200;

#[test]
fn a_cap_is_never_passed_and_a_settled_rest_comes_back() {
    let bucket = Bucket::volatile(Unit::Tokens, DAY);
    let first = bucket.spend(NOON, 60, 100).unwrap();
    assert_eq!(bucket.spend(NOON, 41, 100), Err(Refusal::Cap { left: 40 }));
    assert_eq!(
        bucket.spend(NOON, u64::MAX, 100),
        Err(Refusal::Cap { left: 40 })
    );
    let second = bucket.spend(NOON, 40, 100).unwrap();
    bucket.settle(first, 60, 10);
    assert_eq!(bucket.spent(NOON), 50);
    bucket.settle(second, 40, 0);
    assert_eq!(bucket.spent(NOON), 10);
    // More than was foreseen counts too.
    let third = bucket.spend(NOON, 1, 100).unwrap();
    bucket.settle(third, 1, 200);
    assert_eq!(bucket.spend(NOON, 1, 100), Err(Refusal::Cap { left: 0 }));
}

#[test]
fn windows_are_aligned_with_the_epoch_and_keep_apart() {
    let bucket = Bucket::volatile(Unit::NanoUsd, 60);
    assert_eq!((bucket.window_at(119), bucket.seconds_left(119)), (1, 1));
    let old = bucket.spend(119, 100, 100).unwrap();
    let new = bucket.spend(120, 70, 100).unwrap();
    assert_eq!((old, new), (1, 2));
    assert_eq!(bucket.spent(120), 70);
    // What began in the old window gives nothing back to the new one.
    bucket.settle(old, 100, 0);
    assert_eq!(bucket.spent(120), 70);
    // A clock that was set back does not begin the old window again.
    assert_eq!(bucket.spend(60, 31, 100), Err(Refusal::Cap { left: 30 }));
    assert_eq!(bucket.spent(60), 70);
}

#[test]
fn nothing_is_spent_that_is_not_granted() {
    let bucket = Bucket::durable(Unit::Tokens, DAY, "b", Words::default());
    let wanted = Grant {
        window: 0,
        amount: 10,
    };
    assert_eq!(bucket.spend(NOON, 10, 100), Err(Refusal::Grant(wanted)));
    assert!(bucket.ask(10));
    assert!(!bucket.ask(30), "one messenger is enough");
    assert_eq!((bucket.take_asked(), bucket.take_asked()), (30, 0));
    bucket.grant(Grant {
        window: 0,
        amount: 30,
    });
    assert_eq!(bucket.spend(NOON, 10, 100), Ok(0));
    assert!(matches!(
        bucket.spend(NOON, 21, 100),
        Err(Refusal::Grant(_))
    ));
    // A grant holds for its window.
    let tomorrow = NOON + u64::from(DAY);
    assert!(matches!(
        bucket.spend(tomorrow, 1, 100),
        Err(Refusal::Grant(_))
    ));
}

#[test]
fn what_was_granted_counts_as_spent_after_a_crash() {
    let bucket = Bucket::durable(Unit::Tokens, DAY, "b", Words::default());
    bucket.recover(Grant {
        window: 0,
        amount: 90,
    });
    assert_eq!(bucket.spent(NOON), 90);
    assert_eq!(bucket.spend(NOON, 11, 100), Err(Refusal::Cap { left: 10 }));
    assert_eq!(bucket.spent(NOON + u64::from(DAY)), 0);
}

#[test]
fn in_flight_has_no_windows() {
    let bucket = Bucket::volatile(Unit::InFlight, 0);
    let window = bucket.spend(NOON, 1, 1).unwrap();
    assert!(bucket.spend(NOON + 1_000_000, 1, 1).is_err());
    bucket.settle(window, 1, 0);
    assert!(bucket.spend(NOON + 1_000_000, 1, 1).is_ok());
}

#[test]
fn threads_together_never_pass_the_cap() {
    const CAP: u64 = 1000;
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 20_000;
    let bucket = Arc::new(Bucket::volatile(Unit::Tokens, 60));
    let spent: Vec<u64> = (0..THREADS)
        .map(|seed| {
            let bucket = Arc::clone(&bucket);
            thread::spawn(move || {
                let mut kept = 0;
                for round in 0..ROUNDS {
                    let amount = (seed + round) % 7 + 1;
                    let Ok(window) = bucket.spend(59, amount, CAP) else {
                        continue;
                    };
                    assert!(bucket.spent(59) <= CAP);
                    let used = if round % 50 == 0 { amount.min(1) } else { 0 };
                    bucket.settle(window, amount, used);
                    kept += used;
                }
                kept
            })
        })
        .collect::<Vec<_>>()
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    assert_eq!(bucket.spent(59), spent.iter().sum::<u64>());
}
