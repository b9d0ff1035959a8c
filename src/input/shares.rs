//! The share of all connections that one peer may hold, so that no peer keeps out all others.

use crate::primitives::lock::Unpoisoned as _;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};

/// Whose connection it is, if that can be told. Kept in memory as long as the connection lasts, and shown
/// nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// An IPv4 address, or an IPv6 /64: the network of one subscriber (RFC 6177), who has all addresses in
    /// it.
    Network(IpAddr),
    /// A user of this machine, by number.
    User(u32),
}

impl Peer {
    /// Returns whose connection comes from `address`; `None` for one from this machine, which may be
    /// anybody's.
    pub(super) fn at(address: SocketAddr) -> Option<Self> {
        let network = match address.ip().to_canonical() {
            IpAddr::V6(address) if !address.is_loopback() => {
                Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into()
            }
            address => address,
        };
        (!network.is_loopback()).then_some(Self::Network(network))
    }
}

/// How many connections each peer holds.
#[derive(Debug, Default)]
pub struct Shares(Mutex<Held>);

#[derive(Default)]
struct Held {
    /// The most of one peer.
    most: usize,
    /// Peers without any are not listed.
    by_peer: HashMap<Peer, usize>,
}

/// Shows no address.
impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Held(by {} peers, at most {} each)", self.by_peer.len(), self.most)
    }
}

/// One connection of a peer, counted until it is dropped.
pub struct Share(Arc<Shares>, Peer);

impl Shares {
    /// Creates the shares of `connections` connections.
    #[must_use]
    pub fn new(connections: usize) -> Arc<Self> {
        let shares = Arc::new(Self::default());
        shares.divide(connections);
        shares
    }

    /// Changes the number of all connections. An eighth of them is left to the other peers, however many one
    /// peer opens. Open connections stay open.
    pub fn divide(&self, connections: usize) {
        self.held().most = connections - connections / 8;
    }

    /// Counts a connection of `peer`, unless it has all that one peer may have.
    pub fn take(self: &Arc<Self>, peer: Peer) -> Option<Share> {
        let mut held = self.held();
        let most = held.most;
        let count = held.by_peer.entry(peer).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Share(Arc::clone(self), peer))
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.0.lock().unpoisoned()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Self(shares, peer) = self;
        let mut held = shares.held();
        if let Some(count) = held.by_peer.get_mut(peer) {
            *count -= 1;
            if *count == 0 {
                held.by_peer.remove(peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Option<Peer> {
        Peer::at(SocketAddr::new(address.parse().unwrap(), 40_000))
    }

    fn peer(address: &str) -> Peer {
        at(address).unwrap()
    }

    #[test]
    fn one_peer_leaves_an_eighth_to_others() {
        let shares = Shares::new(16);
        let mut held: Vec<_> = (0..14).map(|_| shares.take(peer("203.0.113.7")).unwrap()).collect();
        assert!(shares.take(peer("203.0.113.7")).is_none());
        assert!(shares.take(peer("::ffff:203.0.113.7")).is_none(), "the same, over IPv6");
        let other = shares.take(peer("203.0.113.8")).unwrap();
        drop(held.pop());
        assert!(shares.take(peer("203.0.113.7")).is_some());
        shares.divide(8);
        assert!(shares.take(peer("203.0.113.7")).is_none(), "fewer than are open");
        drop((held, other));
        assert!(shares.held().by_peer.is_empty());
    }

    #[test]
    fn few_connections_are_not_divided() {
        let shares = Shares::new(1);
        assert!(shares.take(Peer::User(0)).is_some());
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer() {
        assert!(peer("2001:db8::1") == peer("2001:db8::2"));
        assert!(peer("2001:db8::1") != peer("2001:db8:0:1::1"));
        assert!(peer("203.0.113.7") != peer("203.0.113.8"));
    }

    #[test]
    fn on_this_machine_an_address_tells_nobody_apart() {
        assert!(
            ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"].iter().all(|address| at(address).is_none())
        );
    }

    #[test]
    fn debug_shows_no_address() {
        let shares = Shares::new(16);
        let _share = shares.take(peer("203.0.113.7"));
        assert!(!format!("{shares:?}").contains("203"));
    }
}
