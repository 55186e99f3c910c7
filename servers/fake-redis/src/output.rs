//! What a connection has to send, and when: replies leave in the order of their commands, none before it is due.

use std::collections::VecDeque;

use crate::clock::Nanos;

/// Capacity a connection may keep when nothing is waiting: a busy multiplexed one needs it again at once. More is given
/// back, so that one huge reply does not stay for ever.
const KEPT_CAPACITY_BYTES: usize = 256 * 1024;

/// Sent bytes are moved out of the way only when they are this many, so that each byte moves at most about once.
const COMPACT_BYTES: usize = 64 * 1024;

/// Consecutive replies of one command that arrived together and are due together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub command: u16,
    pub count: u32,
    pub arrived: Nanos,
    /// When the reply may leave: its own delay, or that of an earlier reply it has to wait for.
    pub due: Nanos,
    /// Position in the stream just behind the last of these replies.
    end: u64,
}

/// The bytes to send.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    /// How many of `bytes` are sent.
    sent: usize,
    /// Position in the stream of `bytes[0]`.
    base: u64,
    /// Position in the stream just behind the replies that wait for nothing.
    free: u64,
    held: VecDeque<Held>,
}

impl Output {
    /// Where replies are appended. [`Output::hold`] or [`Output::in_order`] must follow each.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The replies appended last leave `delay` after `arrived`, and not before those ahead of them.
    pub fn hold(&mut self, command: u16, arrived: Nanos, delay: Nanos) {
        let end = self.end();
        let ahead = self.held.back_mut();
        let due = ahead.as_ref().map_or(0, |ahead| ahead.due).max(arrived + delay);
        match ahead {
            Some(last) if last.command == command && last.due == due && last.arrived == arrived => {
                last.count += 1;
                last.end = end;
            }
            _ => self.held.push_back(Held { command, count: 1, arrived, due, end }),
        }
    }

    /// The replies appended last have no delay of their own, and leave with those ahead of them.
    pub fn in_order(&mut self) {
        let end = self.end();
        match self.held.back_mut() {
            Some(last) => last.end = end,
            None => self.free = end,
        }
    }

    /// When the next held reply is due.
    pub fn next_due(&self) -> Option<Nanos> {
        self.held.front().map(|held| held.due)
    }

    /// The last of the replies that wait for their time.
    pub fn last_held(&self) -> Option<&Held> {
        self.held.back()
    }

    /// The bytes that may leave now.
    pub fn sendable(&self, now: Nanos) -> &[u8] {
        let due = self.held.iter().take_while(|held| held.due <= now).last();
        let end = due.map_or(self.free, |held| held.end);
        // What is free may have been sent long ago, and even have been moved out of the way.
        let end = end.saturating_sub(self.base) as usize;
        &self.bytes[self.sent..end.max(self.sent)]
    }

    /// Notes that `count` bytes of [`Output::sendable`] have left.
    pub fn advance(&mut self, count: usize) {
        self.sent += count;
        if self.sent == self.bytes.len() {
            self.base += self.sent as u64;
            self.sent = 0;
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_CAPACITY_BYTES);
        } else if self.sent >= COMPACT_BYTES && self.sent * 2 >= self.bytes.len() {
            self.base += self.sent as u64;
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// The next held replies that have left entirely.
    pub fn pop_sent(&mut self) -> Option<Held> {
        let sent = self.base + self.sent as u64;
        self.held.pop_front_if(|held| held.end <= sent)
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes not sent yet, due or not.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// How many replies wait for their time.
    pub fn held_replies(&self) -> usize {
        self.held.iter().map(|held| held.count as usize).sum()
    }

    fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(replies: &[(&str, Option<(Nanos, Nanos)>)]) -> Output {
        let mut output = Output::default();
        for (text, held) in replies {
            output.bytes().extend_from_slice(text.as_bytes());
            match held {
                Some((arrived, delay)) => output.hold(0, *arrived, *delay),
                None => output.in_order(),
            }
        }
        output
    }

    #[test]
    fn nothing_leaves_before_its_time_and_all_keep_their_order() {
        let output = output(&[("a", Some((0, 20))), ("b", None), ("c", Some((5, 5))), ("d", Some((6, 30)))]);
        assert_eq!(output.sendable(19), b"");
        assert_eq!(output.sendable(20), b"abc");
        assert_eq!(output.sendable(36), b"abcd");
    }

    #[test]
    fn a_reply_without_delay_waits_for_no_later_one() {
        let mut ahead = output(&[("a", None), ("b", Some((0, 20)))]);
        assert_eq!(ahead.sendable(0), b"a");
        ahead.advance(1);
        assert_eq!(ahead.sendable(19), b"");
        assert_eq!(ahead.sendable(20), b"b");
        ahead.advance(1);
        assert_eq!(ahead.pop_sent().map(|held| held.count), Some(1));
        let behind = output(&[("a", Some((0, 20))), ("b", None), ("c", Some((0, 30)))]);
        assert_eq!(behind.sendable(19), b"");
        assert_eq!(behind.sendable(20), b"ab");
    }

    #[test]
    fn replies_that_arrived_together_are_held_as_one() {
        let mut output = output(&[("a", Some((3, 20))), ("b", Some((3, 20))), ("c", Some((4, 20)))]);
        assert_eq!(output.held.len(), 2);
        assert_eq!(output.held_replies(), 3);
        output.advance(1);
        assert_eq!(output.pop_sent(), None, "half of what is held together has left");
        output.advance(1);
        assert_eq!(output.pop_sent().map(|held| held.count), Some(2));
        assert_eq!(output.pop_sent(), None);
        assert_eq!(output.next_due(), Some(24));
    }

    #[test]
    fn positions_survive_compaction() {
        let long = "x".repeat(COMPACT_BYTES);
        let mut output = output(&[(&long, Some((0, 1))), ("tail", Some((0, 2)))]);
        output.advance(COMPACT_BYTES);
        assert_eq!(output.pop_sent().map(|held| held.due), Some(1));
        assert_eq!(output.sendable(1), b"");
        assert_eq!(output.sendable(2), b"tail");
        output.advance(4);
        assert!(output.pop_sent().is_some() && output.is_empty());
    }
}
