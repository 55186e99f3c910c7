//! The `Date` header, formatted once a second and thread.

use std::{
    cell::RefCell,
    time::{Duration, UNIX_EPOCH},
};

use rustix::time::{ClockId, clock_gettime};

thread_local! {
    static CACHE: RefCell<(i64, [u8; LENGTH])> = const { RefCell::new((i64::MIN, [0; LENGTH])) };
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`: the one form that is sent, and it has one length.
const LENGTH: usize = 29;

/// Appends the current date.
pub(crate) fn append(output: &mut Vec<u8>) {
    // The coarse clock is a read of shared memory, a few nanoseconds; it is at most a tick of the kernel late.
    let second = clock_gettime(ClockId::RealtimeCoarse).tv_sec;
    CACHE.with_borrow_mut(|(formatted, text)| {
        if *formatted != second {
            let now = UNIX_EPOCH + Duration::from_secs(second.unsigned_abs());
            text.copy_from_slice(httpdate::fmt_http_date(now).as_bytes());
            *formatted = second;
        }
        output.extend_from_slice(text);
    });
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn the_date_is_the_current_one() {
        let mut output = Vec::new();
        append(&mut output);
        let date = httpdate::parse_http_date(str::from_utf8(&output).unwrap()).unwrap();
        let age = SystemTime::now().duration_since(date).unwrap();
        assert!(age < Duration::from_secs(5), "{age:?}");
    }
}
