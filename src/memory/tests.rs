use std::time::Duration;

use tokio::time::timeout;

use super::*;

/// What is granted at once.
async fn now(budget: &MemoryBudget, octets: u64) -> Option<MemoryGrant> {
    timeout(Duration::from_millis(1), budget.acquire(octets)).await.ok()
}

/// Somebody who waits, and tells what came.
fn waiter(budget: &MemoryBudget, octets: u64) -> tokio::task::JoinHandle<MemoryGrant> {
    let budget = budget.clone();
    tokio::spawn(async move { budget.acquire(octets).await })
}

async fn soon<T>(waiter: tokio::task::JoinHandle<T>) -> T {
    timeout(Duration::from_secs(1), waiter).await.expect("somebody waits for ever").unwrap()
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_more_than_there_is() {
    let budget = MemoryBudget::new(10);
    let all = now(&budget, 99).await.unwrap();
    assert_eq!((all.octets(), budget.available()), (10, 0));
    assert!(now(&budget, 1).await.is_none());
    drop(all);
    assert_eq!(budget.available(), 10);
    assert_eq!(now(&MemoryBudget::new(0), 5).await.unwrap().octets(), 0);
}

#[tokio::test(start_paused = true)]
async fn it_is_lowered_while_somebody_waits_and_others_hold() {
    let budget = MemoryBudget::new(10);
    let held = now(&budget, 8).await.unwrap();
    let (first, second) = (waiter(&budget, 8), waiter(&budget, 1));
    tokio::task::yield_now().await;
    budget.resize(4);
    assert_eq!(budget.available(), 0);
    tokio::task::yield_now().await;
    assert!(!first.is_finished() && !second.is_finished(), "more is held than there is");
    drop(held);
    let first = soon(first).await;
    assert_eq!((first.octets(), budget.available()), (4, 0), "all that is left of it");
    drop(first);
    assert_eq!(soon(second).await.octets(), 1);
    assert_eq!(budget.available(), 4);
}

#[tokio::test(start_paused = true)]
async fn it_is_raised_while_somebody_waits() {
    let budget = MemoryBudget::new(4);
    let held = now(&budget, 4).await.unwrap();
    let waiting = waiter(&budget, 6);
    tokio::task::yield_now().await;
    budget.resize(9);
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished(), "5 are there for 6");
    budget.resize(12);
    assert_eq!(soon(waiting).await.octets(), 6);
    drop(held);
    assert_eq!(budget.available(), 12);
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_leaves_nothing_behind_and_wakes_the_next() {
    let budget = MemoryBudget::new(10);
    let held = now(&budget, 6).await.unwrap();
    let (large, small) = (waiter(&budget, 9), waiter(&budget, 3));
    tokio::task::yield_now().await;
    assert!(!small.is_finished(), "it is not its turn");
    large.abort();
    let small = soon(small).await;
    assert_eq!(budget.available(), 1);
    // It is told, and gives up before it has heard.
    let late = waiter(&budget, 4);
    tokio::task::yield_now().await;
    drop((held, small));
    late.abort();
    assert!(late.await.is_err());
    assert_eq!(budget.available(), 10);
}

#[tokio::test(start_paused = true)]
async fn who_asks_first_is_served_first() {
    let budget = MemoryBudget::new(10);
    let held = now(&budget, 10).await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let waiters: Vec<_> = [7, 5, 1, 1, 9, 2]
        .into_iter()
        .map(|octets| {
            let (budget, order) = (budget.clone(), order.clone());
            tokio::spawn(async move {
                let grant = budget.acquire(octets).await;
                order.lock().unwrap().push(octets);
                tokio::time::sleep(Duration::from_millis(10)).await;
                drop(grant);
            })
        })
        .collect();
    tokio::task::yield_now().await;
    let mut more = budget.nothing();
    drop(held);
    assert!(!more.try_grow(1), "others wait");
    for waiter in waiters {
        soon(waiter).await;
    }
    assert_eq!(*order.lock().unwrap(), [7, 5, 1, 1, 9, 2]);
    assert!(more.try_grow(10) && !more.try_grow(1));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kept_wakes_the_next() {
    let budget = MemoryBudget::new(10);
    let mut held = now(&budget, 10).await.unwrap();
    let waiting = waiter(&budget, 6);
    tokio::task::yield_now().await;
    held.keep(5);
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    held.keep(7);
    assert_eq!(held.octets(), 5, "it never grows by that");
    held.keep(4);
    assert_eq!(soon(waiting).await.octets(), 6);
    assert_eq!(budget.available(), 6);
}
