//! Real clients: the redis crate, redis-cli and redis-benchmark.

use std::{collections::HashMap, process::Command};

use redis::{Commands, ConnectionLike, RedisResult};

use crate::server::Server;

fn with_crate(protocol: &str) {
    let server = Server::fake(&[]);
    let client = redis::Client::open(format!("redis://default:any@{}/3?protocol={protocol}", server.address)).unwrap();
    let mut connection = client.get_connection().unwrap();
    assert!(connection.check_connection());
    let () = connection.set("key", "value").unwrap();
    assert_eq!(connection.get::<_, String>("key").unwrap(), "value");
    assert_eq!(connection.get::<_, Option<String>>("none").unwrap(), None);
    assert_eq!(connection.incr::<_, _, i64>("count", 5).unwrap(), 5);
    assert_eq!(connection.rpush::<_, _, i64>("list", &[1, 2, 3]).unwrap(), 3);
    assert_eq!(connection.lrange::<_, Vec<i64>>("list", 0, -1).unwrap(), [1, 2, 3]);
    let () = connection.hset_multiple("hash", &[("a", 1), ("b", 2)]).unwrap();
    let hash: HashMap<String, i64> = connection.hgetall("hash").unwrap();
    assert_eq!(hash, HashMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
    let mut pipe = redis::pipe();
    pipe.atomic().set("count", 1).ignore().incr("count", 1).get("none");
    let answers: (i64, Option<String>) = pipe.query(&mut connection).unwrap();
    assert_eq!(answers, (2, None));
    let refused: RedisResult<i64> = connection.llen("key");
    assert_eq!(refused.unwrap_err().code(), Some("WRONGTYPE"));
    assert_eq!(connection.scan::<String>().unwrap().count(), 4);
    let info: String = redis::cmd("INFO").arg("keyspace").query(&mut connection).unwrap();
    assert!(info.contains("db3:keys=4"), "{info}");
}

#[test]
fn the_redis_crate_speaks_the_second_protocol_with_it() {
    with_crate("resp2");
}

#[test]
fn the_redis_crate_speaks_the_third_protocol_with_it() {
    with_crate("resp3");
}

fn redis_tool(tool: &str, server: &Server, arguments: &[&str]) -> String {
    let port = server.address.port().to_string();
    let output = Command::new(tool).args(["-p", &port]).args(arguments).output().unwrap_or_else(|error| {
        panic!("{tool} cannot be started ({error}): install it, on Debian with `apt install redis-tools`")
    });
    assert!(output.status.success(), "{tool} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn redis_cli_is_content() {
    let server = Server::fake(&[]);
    let cli = |arguments: &[&str]| redis_tool("redis-cli", &server, arguments);
    assert_eq!(cli(&["ping"]), "PONG\n");
    assert_eq!(cli(&["-n", "2", "set", "key", "two words"]), "OK\n");
    assert_eq!(cli(&["-n", "2", "get", "key"]), "two words\n");
    assert_eq!(cli(&["-3", "hset", "hash", "f", "v"]), "1\n");
    assert_eq!(cli(&["-3", "--json", "hgetall", "hash"]), "{\"f\":\"v\"}\n");
    assert_eq!(cli(&["-a", "any", "--no-auth-warning", "--user", "default", "dbsize"]), "1\n");
    assert!(cli(&["command", "docs"]).contains("lrange"));
    assert!(cli(&["info", "server"]).contains("fake_redis_version:"));
    assert_eq!(cli(&["--scan"]), "hash\n");
}

#[test]
fn redis_benchmark_runs_through() {
    let server = Server::fake(&[]);
    for shape in [&[][..], &["-P", "16"]] {
        let arguments =
            [&["-q", "-n", "2000", "-t", "ping,set,get,incr,rpush,lpush,lrange_100,mset,hset"], shape].concat();
        let output = redis_tool("redis-benchmark", &server, &arguments);
        assert!(output.contains("GET: ") && !output.contains("rror"), "{output}");
    }
}
