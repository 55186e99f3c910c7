//! What the load client reads from its command line: numbers, times, URLs, conditions, and the requests of scripts. Any
//! text is read or refused, and what is read is what was written.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stackload::http::request::Batch;
use stackload::threshold;
use stackload::units::{parse_count, parse_time_ns};
use stackload::url::Url;

fuzz_target!(|data: &[u8]| {
    let _ = Batch::examine(data.to_vec());
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = threshold::parse(text);
    if let Some(count) = parse_count(text) {
        assert_eq!(parse_count(&count.to_string()), Some(count));
    }
    if let Some(time_ns) = parse_time_ns(text).filter(|time_ns| time_ns % 1000 == 0) {
        assert_eq!(parse_time_ns(&format!("{}us", time_ns / 1000)), Some(time_ns));
    }
    if let Ok(url) = Url::parse(text) {
        assert!(text.starts_with(&url.scheme) && text.contains(&url.host));
        // Whatever the URL, the request it makes is one.
        let batch = Batch::examine(Batch::get(&url, &[]).bytes).expect("a GET of a URL is a request");
        assert_eq!(batch.depth(), 1);
    }
});
