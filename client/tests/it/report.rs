//! wrk's report from known figures, byte for byte.

use ::stackload::latency::Distribution;
use ::stackload::report::WrkFigures;

fn figures<'run>(latency: &'run Distribution, rates: &'run Distribution) -> WrkFigures<'run> {
    WrkFigures {
        latency,
        rates,
        percentiles: vec![50.0, 75.0, 90.0, 99.0],
        spectra: String::new(),
        requests: latency.count(),
        bytes: 0,
        runtime_us: 2_000_000,
        socket_errors: [0; 4],
        bad_statuses: 0,
    }
}

#[test]
fn nothing_ever_answered() {
    let nothing = Distribution::default();
    let text = WrkFigures { percentiles: Vec::new(), ..figures(&nothing, &nothing) }.text();
    let expected = "  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     0.00us    0.00us   0.00us    -nan%
    Req/Sec     0.00      0.00     0.00      -nan%
  0 requests in 2.00s, 0.00B read
Requests/sec:      0.00
Transfer/sec:       0.00B
";
    assert_eq!(text, expected);
}

#[test]
fn microseconds_to_milliseconds() {
    // 100 .. 1099: mean 599.5, sample deviation √(1000·1001/12).
    let latency = Distribution::of_samples(100..1100);
    let rates = Distribution::of_samples([56_000, 57_000, 58_000, 60_000]);
    let text = WrkFigures { bytes: 33_554_432, runtime_us: 2_010_000, ..figures(&latency, &rates) }.text();
    let expected = "  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   599.50us  288.82us   1.10ms   57.80%
    Req/Sec    57.75k     1.71k   60.00k    50.00%
  Latency Distribution
     50%  600.00us
     75%    0.85ms
     90%    1.00ms
     99%    1.09ms
  1000 requests in 2.01s, 32.00MB read
Requests/sec:    497.51
Transfer/sec:     15.92MB
";
    assert_eq!(text, expected);
}

#[test]
fn seconds_minutes_and_all_the_errors() {
    let latency = Distribution::new(vec![(50_550, 90), (1_730_000, 9), (51_000_000, 1)]);
    let rates = Distribution::of_samples([76, 80]);
    let text = WrkFigures {
        runtime_us: 51_000_000,
        bytes: 11_203,
        socket_errors: [1, 22, 333, 4444],
        bad_statuses: 55,
        ..figures(&latency, &rates)
    }
    .text();
    let expected = "  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   711.20ms    5.10s    0.85m    99.00%
    Req/Sec    78.00      2.83    80.00    100.00%
  Latency Distribution
     50%   50.55ms
     75%   50.55ms
     90%    1.73s 
     99%    0.85m 
  100 requests in 0.85m, 10.94KB read
  Socket errors: connect 1, read 22, write 333, timeout 4444
  Non-2xx or 3xx responses: 55
Requests/sec:      1.96
Transfer/sec:     219.67B
";
    assert_eq!(text, expected);
}
