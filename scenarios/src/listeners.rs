//! Who listens on an address, by the kernel's table of sockets.
//!
//! Several processes can share a port (`SO_REUSEPORT`), and the kernel then deals connections out among them. A process
//! left over from somewhere else would answer part of the load in a server's name, and at nobody's cost.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, SocketAddrV4},
};

use stackload::procfs::processes;

use crate::strays::{marked, named};

/// State of a listening socket in /proc/net/tcp.
const LISTEN: &str = "0A";

/// A process that listens on an address although it is neither `root`, nor descends from it, nor carries the mark of its
/// child; none also where that cannot be told.
pub fn stranger(addr: SocketAddrV4, root: u32, mark: (&str, &str)) -> Option<String> {
    let strangers = strange_sockets(addr, root, mark)?;
    if strangers.is_empty() {
        return None;
    }
    // A socket that was closed just after the table was read has no owner any more: only one seen twice is somebody's.
    let again = strange_sockets(addr, root, mark)?;
    let inode = strangers.intersection(&again).next()?;
    let owner = processes().into_iter().find(|process| sockets(process.pid).is_some_and(|own| own.contains(inode)));
    Some(owner.map_or_else(|| "a process that cannot be seen".to_owned(), |owner| named(owner.pid.cast_signed())))
}

/// Sockets that listen there and are none of the tree's.
fn strange_sockets(addr: SocketAddrV4, root: u32, (variable, value): (&str, &str)) -> Option<BTreeSet<u64>> {
    let mut listening = listening(&fs::read_to_string("/proc/net/tcp").ok()?, addr);
    let mut own: BTreeSet<u32> = marked(variable, value).into_iter().map(i32::cast_unsigned).collect();
    own.insert(root);
    let all = processes();
    loop {
        let before = own.len();
        let children: Vec<u32> = all.iter().filter(|p| own.contains(&p.parent)).map(|p| p.pid).collect();
        own.extend(children);
        if own.len() == before {
            break;
        }
    }
    for pid in own {
        // One that has just ended has no sockets; of one that hides them, nothing can be told.
        match sockets(pid) {
            Some(sockets) => listening.retain(|inode| !sockets.contains(inode)),
            None if fs::exists(format!("/proc/{pid}")).unwrap_or_default() => return None,
            None => {}
        }
    }
    Some(listening)
}

/// The inodes of sockets that listen on an address or on the same port of all addresses.
fn listening(table: &str, addr: SocketAddrV4) -> BTreeSet<u64> {
    let of_line = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (ip, port) = words.get(1)?.split_once(':')?;
        // The kernel prints the address as a number in the machine's byte order, and the port as it is.
        let ip = Ipv4Addr::from(u32::from_str_radix(ip, 16).ok()?.to_ne_bytes());
        let is_there = u16::from_str_radix(port, 16).ok()? == addr.port() && (ip == *addr.ip() || ip.is_unspecified());
        (is_there && *words.get(3)? == LISTEN).then(|| words.get(9)?.parse().ok())?
    };
    table.lines().filter_map(of_line).collect()
}

/// The inodes of a process's sockets; none if it does not let them be seen.
fn sockets(pid: u32) -> Option<BTreeSet<u64>> {
    let inode = |entry: fs::DirEntry| {
        let target = fs::read_link(entry.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.filter_map(|entry| inode(entry.ok()?)).collect())
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::*;

    const NOBODY: (&str, &str) = ("STRANGER", "nobody");

    fn bound() -> (TcpListener, SocketAddrV4) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let SocketAddr::V4(addr) = listener.local_addr().unwrap() else { unreachable!("bound to an IPv4 address") };
        (listener, addr)
    }

    #[test]
    fn a_line_of_the_kernel_s_table_is_read() {
        let line =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100 0";
        let on = |port| listening(line, SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
        assert_eq!(on(8080), BTreeSet::from([4242]));
        assert_eq!(on(8081), BTreeSet::new());
        let connected = line.replace(" 0A ", " 01 ");
        assert!(listening(&connected, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080)).is_empty());
        let everywhere = line.replace("0100007F", "00000000");
        assert_eq!(listening(&everywhere, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080)).len(), 1);
    }

    #[test]
    fn a_listener_of_the_tree_is_no_stranger_and_another_s_is_named() {
        let (_listener, addr) = bound();
        assert_eq!(stranger(addr, std::process::id(), NOBODY), None);
        let mut other = std::process::Command::new("sleep").arg("300").spawn().unwrap();
        let seen = stranger(addr, other.id(), NOBODY);
        let _ = other.kill();
        let _ = other.wait();
        assert!(seen.is_some_and(|name| name.contains(&format!("(pid {})", std::process::id()))));
    }
}
