//! One connection's life, from the owner's side.

use proptest::prelude::*;
use stack_contract::{StoreError, keys::Key};
use stack_redis_store::Target;

use super::*;
use crate::command::Reply;

const VALUE: &[u8] = b"value";

/// Longer than a connection has to work to be replaced at once.
const A_WHILE: Duration = Duration::from_secs(1);

fn target(url: &str) -> Target {
    Target::parse(url).unwrap()
}

/// A connection that is up, and the time at which it came up.
fn up() -> (Multiplexer<u32>, Instant) {
    let mut multiplexer = Multiplexer::new(&target("redis://127.0.0.1:6379"));
    let now = Instant::now();
    multiplexer.connecting();
    multiplexer.connected(now);
    (multiplexer, now)
}

fn get(key: u32) -> Command {
    Command::Get(Key::new(key))
}

fn set(key: u32) -> Command {
    Command::Set(Key::new(key), VALUE)
}

fn outcomes<T>(multiplexer: &mut Multiplexer<T>) -> Vec<(T, Outcome)> {
    std::iter::from_fn(|| multiplexer.next_outcome()).collect()
}

/// Writes all there is to write.
fn flush<T>(multiplexer: &mut Multiplexer<T>) -> String {
    let written = String::from_utf8(multiplexer.output().to_vec()).unwrap();
    multiplexer.written(written.len());
    written
}

#[test]
fn all_waiting_commands_go_out_in_one_write_and_come_back_in_order() {
    let (mut multiplexer, now) = up();
    multiplexer.submit(get(1), 10, now);
    multiplexer.submit(set(2), 20, now);
    multiplexer.submit(get(3), 30, now);
    assert_eq!(multiplexer.in_flight(), 3);
    assert_eq!(flush(&mut multiplexer).matches("cache:").count(), 3);
    assert!(multiplexer.output().is_empty());
    multiplexer.receive(b"$3\r\nabc\r\n+OK\r\n$-1\r\n", now);
    let expected = [(10, Ok(Reply::Hit)), (20, Ok(Reply::Written)), (30, Ok(Reply::Miss))];
    assert_eq!(outcomes(&mut multiplexer), expected);
    assert_eq!(multiplexer.in_flight(), 0);
}

#[test]
fn a_hit_is_only_one_when_its_last_byte_has_come() {
    let (mut multiplexer, now) = up();
    multiplexer.submit(get(1), 10, now);
    multiplexer.receive(b"$3\r\nabc\r", now);
    assert_eq!(multiplexer.next_outcome(), None);
    multiplexer.receive(b"\n", now);
    assert_eq!(multiplexer.next_outcome(), Some((10, Ok(Reply::Hit))));
}

#[test]
fn an_error_of_the_store_is_refused_and_the_connection_goes_on() {
    let (mut multiplexer, now) = up();
    multiplexer.submit(get(1), 10, now);
    multiplexer.submit(get(2), 20, now);
    multiplexer.receive(b"-ERR no\r\n$1\r\nx\r\n", now);
    assert_eq!(outcomes(&mut multiplexer), [(10, Err(StoreError::Refused)), (20, Ok(Reply::Hit))]);
    assert!(!multiplexer.is_broken());
}

#[test]
fn a_wrong_type_is_one_commands_affair_and_nonsense_that_of_all() {
    let (mut multiplexer, now) = up();
    (0..4).for_each(|ticket| multiplexer.submit(get(ticket), ticket, now));
    multiplexer.receive(b"*2\r\n$1\r\nx\r\n*1\r\n:-7\r\n$1\r\nx\r\n", now);
    assert_eq!(outcomes(&mut multiplexer), [(0, Err(StoreError::Protocol)), (1, Ok(Reply::Hit))]);
    multiplexer.receive(b"HTTP/1.1 400 Bad Request\r\n", now);
    assert_eq!(outcomes(&mut multiplexer), [(2, Err(StoreError::Protocol)), (3, Err(StoreError::Protocol))]);
    assert!(multiplexer.is_broken());
    multiplexer.submit(get(4), 4, now);
    assert_eq!(outcomes(&mut multiplexer), [(4, Err(StoreError::Unavailable))]);
}

#[test]
fn a_reply_that_nobody_asked_for_breaks_the_connection() {
    let (mut multiplexer, now) = up();
    multiplexer.receive(b"+OK\r\n", now);
    assert!(multiplexer.is_broken());
}

#[test]
fn an_overdue_command_fails_alone_and_its_late_reply_is_swallowed() {
    let (mut multiplexer, start) = up();
    multiplexer.submit(get(1), 10, start);
    multiplexer.submit(get(2), 20, start + A_WHILE);
    let deadline = multiplexer.deadline().unwrap();
    assert_eq!(deadline, start + multiplexer.response_timeout());
    multiplexer.expire(deadline - Duration::from_nanos(1));
    assert_eq!(multiplexer.next_outcome(), None);
    multiplexer.expire(deadline);
    assert_eq!(outcomes(&mut multiplexer), [(10, Err(StoreError::Timeout))]);
    assert_eq!((multiplexer.in_flight(), multiplexer.deadline()), (1, Some(deadline + A_WHILE)));
    multiplexer.receive(b"$4\r\nlate\r\n$-1\r\n", deadline);
    assert_eq!(outcomes(&mut multiplexer), [(20, Ok(Reply::Miss))]);
    assert_eq!((multiplexer.in_flight(), multiplexer.deadline()), (0, None));
}

#[test]
fn without_a_connection_commands_fail_at_once() {
    let mut multiplexer = Multiplexer::new(&target("redis://127.0.0.1:6379"));
    let now = Instant::now();
    multiplexer.submit(get(1), 10, now);
    assert_eq!(outcomes(&mut multiplexer), [(10, Err(StoreError::Unavailable))]);
    multiplexer.connecting();
    multiplexer.submit(get(1), 10, now);
    assert_eq!(outcomes(&mut multiplexer), [(10, Err(StoreError::Unavailable))]);
    assert_eq!(multiplexer.connect_at(), None);
}

#[test]
fn a_connection_that_worked_is_replaced_at_once_and_its_commands_are_sent_again_once() {
    let (mut multiplexer, start) = up();
    multiplexer.submit(get(1), 10, start);
    multiplexer.submit(set(2), 20, start);
    let sent = flush(&mut multiplexer);
    // Half a reply must not be taken for the beginning of the next connection's first one.
    multiplexer.receive(b"$10\r\nabc", start);
    let later = start + A_WHILE;
    multiplexer.lost(later);
    assert_eq!((multiplexer.next_outcome(), multiplexer.connect_at()), (None, Some(later)));
    multiplexer.connecting();
    multiplexer.connected(later);
    assert_eq!(flush(&mut multiplexer), sent);
    assert_eq!(multiplexer.deadline(), Some(later + multiplexer.response_timeout()));
    multiplexer.receive(b"$1\r\nx\r\n", later);
    assert_eq!(outcomes(&mut multiplexer), [(10, Ok(Reply::Hit))]);
    // The other one had its second chance.
    multiplexer.lost(later + A_WHILE);
    assert_eq!(outcomes(&mut multiplexer), [(20, Err(StoreError::Lost))]);
}

#[test]
fn what_waits_for_another_connection_is_lost_if_there_is_none_at_the_first_attempt() {
    let (mut multiplexer, start) = up();
    multiplexer.submit(get(1), 10, start);
    multiplexer.lost(start + A_WHILE);
    multiplexer.connecting();
    multiplexer.connect_failed(start + A_WHILE, &"refused");
    assert_eq!(outcomes(&mut multiplexer), [(10, Err(StoreError::Lost))]);
}

#[test]
fn what_timed_out_is_not_sent_again() {
    let (mut multiplexer, start) = up();
    multiplexer.submit(get(1), 10, start);
    multiplexer.submit(get(2), 20, start + A_WHILE);
    let late = start + multiplexer.response_timeout();
    multiplexer.expire(late);
    assert_eq!(outcomes(&mut multiplexer), [(10, Err(StoreError::Timeout))]);
    multiplexer.lost(late);
    multiplexer.connecting();
    multiplexer.connected(late);
    assert!(flush(&mut multiplexer).ends_with("cache:2\r\n"));
    multiplexer.receive(b"$1\r\nx\r\n", late);
    assert_eq!(outcomes(&mut multiplexer), [(20, Ok(Reply::Hit))]);
}

#[test]
fn attempts_are_made_in_pauses_that_grow_until_one_succeeds() {
    let mut multiplexer = Multiplexer::<u32>::new(&target("redis://127.0.0.1:6379"));
    let now = Instant::now();
    let mut pauses = Vec::new();
    for _ in 0..7 {
        multiplexer.connecting();
        multiplexer.connect_failed(now, &"refused");
        pauses.push((multiplexer.connect_at().unwrap() - now).as_millis());
    }
    assert_eq!(pauses, [25, 50, 100, 200, 400, 500, 500]);
    // One that is closed as soon as it is there counts as another failure.
    multiplexer.connecting();
    multiplexer.connected(now);
    multiplexer.lost(now);
    assert_eq!(multiplexer.connect_at(), Some(now + STORE_BACKOFF_LONGEST));
    multiplexer.connecting();
    multiplexer.connected(now);
    multiplexer.lost(now + A_WHILE);
    assert_eq!(multiplexer.connect_at(), Some(now + A_WHILE));
}

#[test]
fn a_connection_begins_with_what_the_url_demands_and_nothing_goes_before_it() {
    let mut multiplexer = Multiplexer::new(&target("redis://:secret@127.0.0.1/3"));
    let now = Instant::now();
    multiplexer.connecting();
    multiplexer.connected(now);
    multiplexer.submit(get(1), 10, now);
    assert_eq!(outcomes(&mut multiplexer), [(10, Err(StoreError::Unavailable))]);
    let greeting = flush(&mut multiplexer);
    assert!(greeting.contains("AUTH") && greeting.contains("SELECT"), "{greeting}");
    multiplexer.receive(b"+OK\r\n", now);
    assert!(!multiplexer.is_up());
    multiplexer.receive(b"+OK\r\n", now);
    assert!(multiplexer.is_up());
    multiplexer.submit(get(1), 10, now);
    multiplexer.receive(b"$1\r\nx\r\n", now);
    assert_eq!(outcomes(&mut multiplexer), [(10, Ok(Reply::Hit))]);
}

#[test]
fn a_store_that_does_not_take_the_password_or_says_nothing_is_tried_again_after_a_pause() {
    let mut multiplexer = Multiplexer::<u32>::new(&target("redis://:wrong@127.0.0.1"));
    let now = Instant::now();
    multiplexer.connecting();
    multiplexer.connected(now);
    multiplexer.receive(b"-WRONGPASS invalid\r\n", now);
    assert!(multiplexer.is_broken());
    multiplexer.lost(now);
    assert!(multiplexer.connect_at().unwrap() > now);
    multiplexer.connecting();
    multiplexer.connected(now);
    let deadline = multiplexer.deadline().unwrap();
    multiplexer.expire(deadline);
    assert!(multiplexer.is_broken());
}

#[test]
fn commands_that_wait_are_sent_again_after_the_greeting() {
    let mut multiplexer = Multiplexer::new(&target("redis://:secret@127.0.0.1"));
    let now = Instant::now();
    multiplexer.connecting();
    multiplexer.connected(now);
    flush(&mut multiplexer);
    multiplexer.receive(b"+OK\r\n", now);
    multiplexer.submit(get(1), 10, now);
    multiplexer.lost(now + A_WHILE);
    multiplexer.connecting();
    multiplexer.connected(now + A_WHILE);
    assert!(flush(&mut multiplexer).contains("AUTH"));
    multiplexer.receive(b"+OK\r\n", now + A_WHILE);
    assert!(flush(&mut multiplexer).contains("cache:1"));
    // Refused this time: they had their one attempt.
    multiplexer.lost(now + A_WHILE * 2);
    assert_eq!(outcomes(&mut multiplexer), [(10, Err(StoreError::Lost))]);
}

#[test]
fn output_can_be_taken_whole_and_two_buffers_take_turns() {
    let (mut multiplexer, now) = up();
    multiplexer.submit(get(1), 10, now);
    multiplexer.written(4);
    let taken = multiplexer.take_output(b"old".to_vec());
    assert!(taken.starts_with(b"$3\r\nGET"));
    assert!(multiplexer.output().is_empty());
    multiplexer.submit(get(2), 20, now);
    assert!(multiplexer.take_output(taken).ends_with(b"cache:2\r\n"));
}

#[test]
fn a_store_that_takes_nothing_is_not_sent_without_end() {
    let (mut multiplexer, now) = up();
    static LARGE: [u8; 1 << 20] = [b'x'; 1 << 20];
    let most = (MAX_OUTPUT_BYTES >> 20) as u32;
    (0..=most).for_each(|ticket| multiplexer.submit(Command::Set(Key::new(0), &LARGE), ticket, now));
    assert_eq!(multiplexer.next_outcome(), Some((most, Err(StoreError::Unavailable))));
}

/// What the store may answer to a command, and whether it is a `SET`.
fn reply_to(is_set: bool, choice: u8) -> (Vec<u8>, Outcome) {
    let text = match (is_set, choice % 4) {
        (_, 0) => "-ERR no\r\n",
        (_, 1) => "*3\r\n:1\r\n*-1\r\n$2\r\nab\r\n",
        (false, 2) => "$-1\r\n",
        (false, _) => "$12\r\nline\r\n+OK\r\n!\r\n",
        (true, _) => "+OK\r\n",
    };
    let outcome = match (is_set, choice % 4) {
        (_, 0) => Err(StoreError::Refused),
        (_, 1) => Err(StoreError::Protocol),
        (false, 2) => Ok(Reply::Miss),
        (false, _) => Ok(Reply::Hit),
        (true, _) => Ok(Reply::Written),
    };
    (text.as_bytes().to_vec(), outcome)
}

/// What may happen to a multiplexer, in any order.
#[derive(Debug, Clone)]
enum Event {
    Submit(bool),
    Replies(Vec<u8>),
    Pass(u16),
    Lose,
    Connect(bool),
    Write(u16),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => any::<bool>().prop_map(Event::Submit),
        3 => proptest::collection::vec(any::<u8>(), 0..8).prop_map(Event::Replies),
        1 => any::<u16>().prop_map(Event::Pass),
        1 => Just(Event::Lose),
        2 => any::<bool>().prop_map(Event::Connect),
        2 => any::<u16>().prop_map(Event::Write),
    ]
}

proptest! {
    #[test]
    fn any_split_of_the_replies_gives_the_same_outcomes_in_order(
        choices in proptest::collection::vec((any::<bool>(), any::<u8>()), 1..40),
        cuts in proptest::collection::vec(any::<u16>(), 0..40),
    ) {
        let (mut multiplexer, now) = up();
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for (ticket, &(is_set, choice)) in (0..).zip(&choices) {
            multiplexer.submit(if is_set { set(ticket) } else { get(ticket) }, ticket, now);
            let (reply, outcome) = reply_to(is_set, choice);
            bytes.extend(reply);
            expected.push((ticket, outcome));
        }
        let mut cuts: Vec<_> = cuts.iter().map(|&cut| usize::from(cut) % bytes.len()).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        for piece in cuts.windows(2) {
            multiplexer.receive(&bytes[piece[0]..piece[1]], now);
        }
        prop_assert_eq!(outcomes(&mut multiplexer), expected);
        prop_assert!(!multiplexer.is_broken());
    }

    #[test]
    fn every_ticket_comes_back_exactly_once_whatever_happens(events in proptest::collection::vec(event(), 0..200)) {
        let mut multiplexer = Multiplexer::new(&target("redis://127.0.0.1:6379"));
        let (mut now, mut submitted, mut done) = (Instant::now(), 0_usize, Vec::new());
        for event in events {
            match event {
                Event::Submit(is_set) => {
                    multiplexer.submit(if is_set { set(1) } else { get(1) }, submitted, now);
                    submitted += 1;
                }
                Event::Replies(choices) if multiplexer.is_up() => {
                    choices.iter().for_each(|&choice| multiplexer.receive(&reply_to(choice > 99, choice).0, now));
                }
                Event::Pass(millis) => {
                    now += Duration::from_millis(u64::from(millis) / 8);
                    multiplexer.expire(now);
                }
                Event::Lose if multiplexer.is_up() => multiplexer.lost(now),
                Event::Connect(succeeds) if multiplexer.connect_at().is_some() => {
                    multiplexer.connecting();
                    if succeeds { multiplexer.connected(now) } else { multiplexer.connect_failed(now, &"refused") }
                }
                Event::Write(bytes) => {
                    let bytes = usize::from(bytes).min(multiplexer.output().len());
                    multiplexer.written(bytes);
                }
                _ => {}
            }
            if multiplexer.is_broken() {
                multiplexer.lost(now);
            }
            done.extend(outcomes(&mut multiplexer).into_iter().map(|(ticket, _)| ticket));
            prop_assert_eq!(done.len() + multiplexer.in_flight(), submitted);
        }
        // The end of every story: nothing more is heard.
        multiplexer.lost(now);
        multiplexer.connect_failed(now, &"refused");
        done.extend(outcomes(&mut multiplexer).into_iter().map(|(ticket, _)| ticket));
        done.sort_unstable();
        prop_assert!(done.into_iter().eq(0..submitted));
    }
}
