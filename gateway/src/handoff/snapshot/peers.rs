//! `Peers`: who is at which overlay address.

use std::{net::IpAddr, ops::Index};

use foldhash::HashMap;

use super::Principal;
use crate::handoff::huge;

/// Principals by their addresses. They lie side by side in one block: with many peers each request meets another one,
/// and what it has to wait for then is memory, and finding the page that this is in.
#[derive(Debug, Default)]
pub struct Peers {
    places: HashMap<IpAddr, u32>,
    principals: Box<[Principal]>,
}

impl Peers {
    /// `places` say which principal each address is of. One that is of none is no peer's.
    pub fn new(principals: Vec<Principal>, places: HashMap<IpAddr, u32>) -> Self {
        Self {
            places,
            principals: huge::table(principals),
        }
    }

    /// Who is at an address; `None`: no peer is.
    pub fn get(&self, address: &IpAddr) -> Option<&Principal> {
        self.principals.get(*self.places.get(address)? as usize)
    }

    pub fn addresses(&self) -> impl Iterator<Item = &IpAddr> {
        self.places.keys()
    }

    pub fn by_address(&self) -> impl Iterator<Item = (&IpAddr, &Principal)> {
        let places = self.places.iter();
        places.filter_map(|(address, place)| Some((address, self.principals.get(*place as usize)?)))
    }

    /// Each of them once, however many addresses it has.
    pub fn principals(&self) -> impl Iterator<Item = &Principal> {
        self.principals.iter()
    }
}

impl Index<&IpAddr> for Peers {
    type Output = Principal;

    /// # Panics
    /// When no peer is there.
    fn index(&self, address: &IpAddr) -> &Principal {
        self.get(address).expect("a peer's address")
    }
}

impl FromIterator<(IpAddr, Principal)> for Peers {
    /// Of peers with one address each.
    fn from_iter<I: IntoIterator<Item = (IpAddr, Principal)>>(peers: I) -> Self {
        let peers = (0..).zip(peers);
        let (places, principals) = peers
            .map(|(place, (address, principal))| ((address, place), principal))
            .unzip();
        Self::new(principals, places)
    }
}
