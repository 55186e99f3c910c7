//! The settings of a multiplexed connection's socket, whoever's runtime it belongs to.

use std::{io, os::fd::AsFd, time::Duration};

use socket2::{SockRef, TcpKeepalive};

use crate::Target;

/// Between two keepalive probes of the kernel, once it sends any.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Sets what a socket needs that carries the commands of many: no delay, and an end when the other host vanishes.
///
/// # Errors
/// When the connection is gone already.
pub fn configure(socket: &impl AsFd, target: &Target) -> io::Result<()> {
    let socket = SockRef::from(socket);
    // Commands wait for replies, so Nagle's algorithm would only delay them.
    socket.set_tcp_nodelay(true)?;
    // A host that vanished says nothing, and unlike the blocking store a multiplexer keeps a connection after a timeout,
    // as it can tell a late reply from the next one: so the kernel has to find out.
    socket.set_tcp_user_timeout(Some(target.response_timeout))?;
    // The kernel counts whole seconds, and refuses none.
    let idle = target.response_timeout.max(PROBE_INTERVAL);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle).with_interval(PROBE_INTERVAL))
}
