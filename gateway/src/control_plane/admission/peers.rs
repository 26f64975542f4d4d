//! The kernel's map of peers, kept in step with the snapshot: what changed is worked out here, so that a
//! change of one peer is one call.

use std::net::IpAddr;

use aya::maps::{HashMap, Map, MapData, MapError};
use foldhash::{HashMapExt as _, HashSet, HashSetExt as _};
use gateway_common::{Address, Flow, PEERS_MAX, PeerFlows};

use super::{batch, problem::Problem};

/// `BPF_NOEXIST` (`linux/bpf.h`): an entry that is there keeps its counters.
const NO_EXIST: u64 = 1;

/// Which addresses the map holds, and what those that left had counted.
#[derive(Default)]
pub(super) struct PeerTable {
    known: HashSet<Address>,
    departed: PeerFlows,
    left_out: usize,
    /// This kernel takes single entries only.
    one_by_one: bool,
}

/// The traffic of peers by address.
pub(super) type Flows = foldhash::HashMap<Address, PeerFlows>;

impl PeerTable {
    /// Makes `wanted` the map's addresses. When there are more than [`PEERS_MAX`], those that are known
    /// stay, and [`Self::left_out`] says how many of the others are not let in.
    ///
    /// # Errors
    /// When the map cannot be changed; what was done so far is remembered.
    pub(super) fn sync(
        &mut self,
        map: &mut Map,
        wanted: impl ExactSizeIterator<Item = IpAddr>,
    ) -> Result<(), Problem> {
        let mut all = HashSet::with_capacity(wanted.len());
        all.extend(wanted.map(Address::from));
        self.bring(map, &all)
    }

    /// Goes on with a map that is in use, and `departed` from those that left it before.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub(super) fn adopt(&mut self, map: &mut Map, departed: PeerFlows) -> Result<(), Problem> {
        let flows = self.flows(map)?;
        self.known = flows.into_keys().collect();
        self.departed = departed;
        Ok(())
    }

    /// Empties a map, for its addresses to go into another one.
    ///
    /// # Errors
    /// When the map cannot be changed.
    pub(super) fn leave(&mut self, map: &mut Map) -> Result<HashSet<Address>, Problem> {
        let known = self.known.clone();
        self.bring(map, &HashSet::new())?;
        Ok(known)
    }

    /// As [`sync`](Self::sync), from addresses as the map has them.
    ///
    /// # Errors
    /// When the map cannot be changed.
    pub(super) fn bring(
        &mut self,
        map: &mut Map,
        wanted: &HashSet<Address>,
    ) -> Result<(), Problem> {
        // Those that lost their rights first.
        self.remove(map, wanted).map_err(|error| failed(&error))?;
        let mut new: Vec<_> = wanted.difference(&self.known).copied().collect();
        let room = (PEERS_MAX as usize).saturating_sub(self.known.len());
        self.left_out = new.len().saturating_sub(room);
        if self.left_out > 0 {
            // The same ones every time.
            new.sort_unstable();
            new.truncate(room);
        }
        self.add(map, &new).map_err(|error| failed(&error))
    }

    /// The traffic of every known peer so far.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub(super) fn flows(&mut self, map: &mut Map) -> Result<Flows, Problem> {
        self.read(map).map_err(|error| failed(&error))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// How many should be there and have no room.
    pub(super) fn left_out(&self) -> usize {
        self.left_out
    }

    /// The traffic of those that are no peers any more; times are zero.
    pub(super) fn departed(&self) -> PeerFlows {
        self.departed
    }

    fn remove(&mut self, map: &mut Map, wanted: &HashSet<Address>) -> Result<(), MapError> {
        if wanted.is_empty() && !self.known.is_empty() && !self.one_by_one {
            return self.remove_all(map);
        }
        // No command takes many given entries and tells their last counts.
        let gone: Vec<_> = self.known.difference(wanted).copied().collect();
        for address in gone {
            match batch::take(data(map), &address) {
                Ok(last) => self.depart(&last),
                // Another process took it: it is gone.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) => return Err(error.into()),
            }
            self.known.remove(&address);
        }
        Ok(())
    }

    fn remove_all(&mut self, map: &mut Map) -> Result<(), MapError> {
        match batch::take_all(data(map)) {
            Ok(last) => {
                last.iter().for_each(|(_, flows)| self.depart(flows));
                self.known.clear();
                Ok(())
            }
            Err(error) if batch::is_unsupported(&error) => {
                self.one_by_one = true;
                self.remove(map, &HashSet::new())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn depart(&mut self, last: &PeerFlows) {
        add(&mut self.departed.ingress, &last.ingress);
        add(&mut self.departed.egress, &last.egress);
    }

    fn add(&mut self, map: &mut Map, new: &[Address]) -> Result<(), MapError> {
        let mut rest = new;
        while !rest.is_empty() && !self.one_by_one {
            let (done, result) = batch::insert(data(map), rest);
            let (added, after) = rest.split_at(done.min(rest.len()));
            self.known.extend(added);
            rest = after;
            match result {
                Err(error) if batch::is_unsupported(&error) => self.one_by_one = true,
                result => result?,
            }
        }
        let mut map = typed(map);
        for address in rest {
            map.insert(address, PeerFlows::default(), NO_EXIST)?;
            self.known.insert(*address);
        }
        Ok(())
    }

    fn read(&mut self, map: &mut Map) -> Result<Flows, MapError> {
        if !self.one_by_one {
            match batch::read(data(map)) {
                Ok(entries) => return Ok(entries.into_iter().collect()),
                Err(error) if batch::is_unsupported(&error) => self.one_by_one = true,
                Err(error) => return Err(error.into()),
            }
        }
        let mut flows = Flows::with_capacity(self.known.len());
        for entry in typed(map).iter() {
            let (address, value) = entry?;
            flows.insert(address, value);
        }
        Ok(flows)
    }
}

fn failed(error: &MapError) -> Problem {
    Problem::of("change the kernel's peers", error)
}

fn add(sum: &mut Flow, more: &Flow) {
    sum.packets += more.packets;
    sum.bytes += more.bytes;
    sum.connections += more.connections;
    sum.resets += more.resets;
}

fn typed(map: &mut Map) -> HashMap<&mut MapData, Address, PeerFlows> {
    map.try_into()
        .expect("the map has the type that is named beside it")
}

fn data(map: &Map) -> &MapData {
    let Map::HashMap(data) = map else {
        unreachable!("the peers' map is a hash map");
    };
    data
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::print_stdout)]
mod tests {
    use std::time::Instant;

    use gateway_common::Link;

    use super::{super::programs::Programs, *};

    const MANY: u32 = 100_000;

    /// Needs root.
    fn programs() -> Option<Programs> {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: the kernel's peers, needs root for BPF");
            return None;
        }
        Some(Programs::load(Link::Ip, None).unwrap())
    }

    fn peer(number: u32) -> IpAddr {
        IpAddr::from((0x6440_0000 + number).to_be_bytes())
    }

    fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        println!("{what}: {:.2} ms", start.elapsed().as_secs_f64() * 1e3);
        done
    }

    /// What a packet would count.
    fn count(map: &mut Map, address: IpAddr, packets: u64) {
        let address = Address::from(address);
        let mut flows = PeerFlows::default();
        flows.ingress.packets = packets;
        typed(map).insert(address, flows, 0).unwrap();
    }

    fn keys(map: &mut Map) -> HashSet<Address> {
        typed(map).keys().collect::<Result<_, _>>().unwrap()
    }

    fn addresses(numbers: std::ops::Range<u32>) -> HashSet<Address> {
        numbers.map(|number| peer(number).into()).collect()
    }

    fn follows(one_by_one: bool) {
        let Some(mut programs) = programs() else {
            return;
        };
        let map = programs.peers();
        let mut table = PeerTable {
            one_by_one,
            ..PeerTable::default()
        };
        let mut sync = |table: &mut PeerTable, what, numbers: std::ops::Range<u32>| {
            let wanted: Vec<_> = numbers.clone().map(peer).collect();
            timed(what, || table.sync(map, wanted.into_iter())).unwrap();
            assert_eq!(keys(map), addresses(numbers), "{what}");
        };
        println!("one by one: {one_by_one}");
        sync(&mut table, "load 100,000", 0..MANY);
        sync(&mut table, "add 1", 0..MANY + 1);
        sync(&mut table, "no change", 0..MANY + 1);
        sync(&mut table, "remove 1", 0..MANY);
        let map = programs.peers();
        for number in [1, 7, MANY - 1] {
            count(map, peer(number), u64::from(number));
        }
        let flows = timed("read all", || table.flows(map)).unwrap();
        assert_eq!(flows.len(), MANY as usize);
        assert_eq!(flows[&Address::from(peer(7))].ingress.packets, 7);

        let mut sync = |table: &mut PeerTable, what, numbers: std::ops::Range<u32>| {
            let wanted: Vec<_> = numbers.clone().map(peer).collect();
            timed(what, || table.sync(map, wanted.into_iter())).unwrap();
            assert_eq!(keys(map), addresses(numbers), "{what}");
        };
        sync(&mut table, "remove 50,000", MANY / 2..MANY);
        assert_eq!(table.departed().ingress.packets, 8);
        sync(&mut table, "add 50,000", 0..MANY);
        sync(&mut table, "remove all", 0..0);
        assert_eq!(table.departed().ingress.packets, 8 + u64::from(MANY - 1));
        assert_eq!((table.len(), table.left_out()), (0, 0));
    }

    #[test]
    fn the_map_follows_in_batches() {
        follows(false);
    }

    #[test]
    fn the_map_follows_on_kernels_without_batches() {
        follows(true);
    }

    #[test]
    fn who_is_in_stays_in_when_it_is_full() {
        let Some(mut programs) = programs() else {
            return;
        };
        let map = programs.peers();
        let mut table = PeerTable::default();
        let known = 200_000..200_000 + MANY;
        table.sync(map, known.clone().map(peer)).unwrap();
        let wanted: Vec<_> = (0..60_000).chain(known.clone()).map(peer).collect();
        for _ in 0..2 {
            table.sync(map, wanted.iter().copied()).unwrap();
            assert_eq!(table.len(), PEERS_MAX as usize);
            assert_eq!(
                table.left_out(),
                60_000 + MANY as usize - PEERS_MAX as usize
            );
            let keys = keys(map);
            assert_eq!(keys.len(), PEERS_MAX as usize);
            assert!(known.clone().all(|one| keys.contains(&peer(one).into())));
        }
        // Room again.
        table.sync(map, wanted[..60_001].iter().copied()).unwrap();
        assert_eq!((table.len(), table.left_out()), (60_001, 0));
    }
}
