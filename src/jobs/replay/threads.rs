//! Distributes work over several threads and returns the results in order.

use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Returns the number of threads worth having: decompression is limited by cores, and a machine that also
/// writes needs some of them.
pub(super) fn count() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(MOST)
}

const MOST: usize = 8;

/// Applies `work` to each of `items`. Each of `workers` belongs to one thread, the first to this one.
pub(super) fn map<W: Send, I: Sync, R: Send>(
    workers: &mut [W],
    items: &[I],
    work: impl Fn(&mut W, &I) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let run = |worker: &mut W| {
        let mut done = Vec::new();
        while let index = next.fetch_add(1, Ordering::Relaxed)
            && let Some(item) = items.get(index)
        {
            done.push((index, work(worker, item)));
        }
        done
    };
    let Some((own, others)) = workers.split_first_mut() else { return Vec::new() };
    let mut done = thread::scope(|scope| {
        let run = &run;
        let others = others.iter_mut().take(items.len().saturating_sub(1));
        // If the system refuses a thread, the work is done without it.
        let start = |worker| thread::Builder::new().spawn_scoped(scope, move || run(worker)).ok();
        let started: Vec<_> = others.filter_map(start).collect();
        let mut done = run(own);
        for thread in started {
            done.extend(thread.join().unwrap_or_else(|payload| panic::resume_unwind(payload)));
        }
        done
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_whatever_the_number_of_threads() {
        for workers in 1..5 {
            for items in [0, 1, 2, 100] {
                let items: Vec<usize> = (0..items).collect();
                let mut counts = vec![0; workers];
                let doubled = map(&mut counts, &items, |count, item| {
                    *count += 1;
                    item * 2
                });
                assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>());
                assert_eq!(counts.iter().sum::<usize>(), items.len());
            }
        }
    }
}
