//! INFO: what the server knows about itself, in Redis's sections and two of our own.

use std::{
    fmt::Write,
    process,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{keyspace::DATABASES, state::State};

/// The Redis whose answers these are.
pub const REDIS_VERSION: &str = "7.0.15";

type Render = fn(&State, &mut String);

/// Section, whether it is shown when none is named, and what writes it.
const SECTIONS: [(&str, bool, Render); 7] = [
    ("Server", true, server),
    ("Clients", true, clients),
    ("Stats", true, stats),
    ("Commandstats", false, command_stats),
    ("Delays", true, delays),
    ("Errors", true, errors),
    ("Keyspace", true, keyspace),
];

/// The sections named (in small letters), or the usual ones.
pub fn render(state: &State, named: &[String]) -> String {
    let mut text = String::new();
    let names = |what: &str| named.iter().any(|name| name == what);
    for (title, usual, write) in SECTIONS {
        let default = usual && (named.is_empty() || names("default"));
        if !(default || names("all") || names("everything") || names(&title.to_ascii_lowercase())) {
            continue;
        }
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        line(&mut text, format_args!("# {title}"));
        write(state, &mut text);
    }
    text
}

fn line(text: &mut String, content: std::fmt::Arguments) {
    text.write_fmt(content).expect("a string takes everything");
    text.push_str("\r\n");
}

fn server(state: &State, text: &mut String) {
    let uptime = state.started.elapsed().unwrap_or_default().as_secs();
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    line(text, format_args!("redis_version:{REDIS_VERSION}"));
    line(text, format_args!("fake_redis_version:{}", env!("CARGO_PKG_VERSION")));
    line(text, format_args!("redis_mode:standalone"));
    line(text, format_args!("arch_bits:{}", usize::BITS));
    line(text, format_args!("multiplexing_api:epoll"));
    line(text, format_args!("process_id:{}", process::id()));
    line(text, format_args!("tcp_port:{}", state.address.port()));
    line(text, format_args!("server_time_usec:{time}"));
    line(text, format_args!("uptime_in_seconds:{uptime}"));
    line(text, format_args!("uptime_in_days:{}", uptime / 86_400));
}

fn clients(state: &State, text: &mut String) {
    line(text, format_args!("connected_clients:{}", state.connections.open()));
    line(text, format_args!("maxclients:{}", state.max_connections));
    line(text, format_args!("blocked_clients:{}", state.paused.len()));
}

fn stats(state: &State, text: &mut String) {
    let commands: u64 = state.stats.iter().map(|stats| stats.calls).sum();
    line(text, format_args!("total_connections_received:{}", state.connections_received));
    line(text, format_args!("total_commands_processed:{commands}"));
    line(text, format_args!("rejected_connections:{}", state.connections_rejected));
    line(text, format_args!("expired_keys:{}", state.keyspace.expired()));
}

fn command_stats(state: &State, text: &mut String) {
    for (id, command) in state.table.iter() {
        let stats = &state.stats[id as usize];
        if stats.calls == 0 && stats.rejected == 0 {
            continue;
        }
        let per_call = if stats.calls == 0 { 0.0 } else { stats.nanos as f64 / 1000.0 / stats.calls as f64 };
        line(
            text,
            format_args!(
                "cmdstat_{}:calls={},usec={},usec_per_call={per_call:.2},rejected_calls={},failed_calls={}",
                command.name,
                stats.calls,
                stats.nanos / 1000,
                stats.rejected,
                stats.failed
            ),
        );
    }
}

/// For each delayed command: the law and its mean, how many replies, the mean time after which they were due (a reply
/// may have to wait for those ahead of it) and after which they left, and percentiles of the lateness: left minus due.
fn delays(state: &State, text: &mut String) {
    for (command, kept) in state.delays.punctuality() {
        let mean_us = |sum: u64| sum as f64 / 1000.0 / kept.count.max(1) as f64;
        // Commas separate the fields of a line, so they cannot stand inside one.
        let law = kept.law.to_string().replace(',', ";");
        let late_us = |quantile: f64| kept.late.value_at_quantile(quantile).div_ceil(1000);
        line(
            text,
            format_args!(
                "delay_{}:nominal={law},count={},nominal_mean_us={:.1},due_mean_us={:.1},mean_us={:.1},\
                 late_us_p50={},late_us_p90={},late_us_p99={},late_us_p999={},late_us_max={}",
                state.table.get(command).name,
                kept.count,
                kept.law.mean() / 1000.0,
                mean_us(kept.due),
                mean_us(kept.actual),
                late_us(0.5),
                late_us(0.9),
                late_us(0.99),
                late_us(0.999),
                kept.late.max().div_ceil(1000),
            ),
        );
    }
}

/// For each command that has or had errors injected: its share now, and how many there were.
fn errors(state: &State, text: &mut String) {
    for (command, share, injected) in state.errors.injected() {
        line(text, format_args!("errors_{}:share={share},injected={injected}", state.table.get(command).name));
    }
}

fn keyspace(state: &State, text: &mut String) {
    for database in 0..DATABASES {
        let (keys, expires) = state.keyspace.len(database);
        if keys > 0 {
            line(text, format_args!("db{database}:keys={keys},expires={expires},avg_ttl=0"));
        }
    }
}
