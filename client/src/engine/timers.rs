//! What an event loop does later: first sends, sends that a hook delays, and retries of connections that could not be
//! opened.
//!
//! Without such a hook nothing here is set per request, so a heap is enough.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// Open the connection in this slot.
    Open(usize),
    /// Let it go on, if it is of this generation still: its first batch is due, if no hook delays it.
    SendNext(usize, u32),
    /// Send the next batch on it, if it is of this generation still: the hook's delay is over.
    Send(usize, u32),
}

/// Tasks by the instant at which they are due.
#[derive(Debug)]
pub struct Timers(BinaryHeap<Reverse<(u64, Task)>>);

impl Timers {
    /// None; room for this many without allocating.
    pub fn with_capacity(tasks: usize) -> Self {
        Self(BinaryHeap::with_capacity(tasks))
    }

    /// Adds a task.
    pub fn add(&mut self, due_ns: u64, task: Task) {
        self.0.push(Reverse((due_ns, task)));
    }

    /// When the next task is due.
    pub fn next_ns(&self) -> Option<u64> {
        self.0.peek().map(|Reverse((due_ns, _))| *due_ns)
    }

    /// Takes a task that is due.
    pub fn take_due(&mut self, now_ns: u64) -> Option<Task> {
        if self.next_ns()? > now_ns {
            return None;
        }
        self.0.pop().map(|Reverse((_, task))| task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_come_in_the_order_they_are_due() {
        let mut timers = Timers::with_capacity(3);
        timers.add(30, Task::Open(1));
        timers.add(10, Task::Send(2, 0));
        timers.add(20, Task::Open(3));
        assert_eq!(timers.next_ns(), Some(10));
        assert_eq!(timers.take_due(9), None);
        assert_eq!(timers.take_due(25), Some(Task::Send(2, 0)));
        assert_eq!(timers.take_due(25), Some(Task::Open(3)));
        assert_eq!(timers.take_due(25), None);
    }
}
