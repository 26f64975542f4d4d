//! The maps that count: per interface and reason, and the sums that outlive interfaces and peers.

use std::path::Path;

use aya::{
    Ebpf,
    maps::{Array, Map, MapData, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues},
    util::nr_cpus,
};
use gateway_common::{Counters, INTERFACES_LOW, PeerFlows, map};

use super::{
    bpf,
    layout::{DEPARTED, GONE},
    problem::Problem,
    programs::NAMED,
};

/// What is counted on interfaces without an entry of their own lands under this index.
const UNLISTED: u32 = 0;

/// See the module.
pub(super) struct Counts {
    low: PerCpuArray<MapData, Counters>,
    high: PerCpuHashMap<MapData, u32, Counters>,
    departed: Array<MapData, PeerFlows>,
    gone: Array<MapData, Counters>,
}

impl Counts {
    /// Takes the programs' maps, and makes or takes over those of the node in `set`.
    ///
    /// # Errors
    /// When the kernel makes no map.
    pub(super) fn take(ebpf: &mut Ebpf, set: Option<&Path>) -> Result<Self, Problem> {
        let mut take = |name| ebpf.take_map(name).expect(NAMED);
        let (low, high) = (take(map::INTERFACES_LOW), take(map::INTERFACES));
        Ok(Self {
            low: low.try_into().expect(NAMED),
            high: high.try_into().expect(NAMED),
            departed: kept(set, DEPARTED, Array::create)?,
            gone: kept(set, GONE, Array::create)?,
        })
    }

    /// Opens those of another process, for reading but for the departed peers.
    ///
    /// # Errors
    /// When they are not there, or not for this process.
    pub(super) fn open(set: &Path) -> Result<Self, Problem> {
        let open = |name: &str| -> Result<MapData, Problem> {
            let path = set.join(name);
            let fd = bpf::open_to_read(&path)
                .map_err(|error| Problem::of_file("open", &path, &error))?;
            MapData::from_fd(fd).map_err(|error| failed("open", &error))
        };
        let wrong = |error| failed("open", &error);
        let departed = MapData::from_pin(set.join(DEPARTED)).map_err(wrong)?;
        let low = Map::PerCpuArray(open(map::INTERFACES_LOW)?);
        let high = Map::PerCpuHashMap(open(map::INTERFACES)?);
        Ok(Self {
            low: low.try_into().map_err(wrong)?,
            high: high.try_into().map_err(wrong)?,
            departed: Map::Array(departed).try_into().map_err(wrong)?,
            gone: Map::Array(open(GONE)?).try_into().map_err(wrong)?,
        })
    }

    /// Gives an interface counters of its own. Those it has go on.
    ///
    /// # Errors
    /// When the map cannot be written.
    pub(super) fn begin(&mut self, index: u32) -> Result<(), Problem> {
        if index < INTERFACES_LOW || self.high.get(&index, 0).is_ok() {
            return Ok(());
        }
        (self.high.insert(index, zeroed()?, 0)).map_err(|error| failed("make", &error))
    }

    /// An interface's counters over all CPUs; zero when it has none.
    pub(super) fn of(&self, index: u32) -> Counters {
        let counted = match index {
            ..INTERFACES_LOW => self.low.get(&index, 0),
            _ => self.high.get(&index, 0),
        };
        let mut sum = Counters::default();
        if let Ok(values) = counted {
            values.iter().for_each(|counters| add(&mut sum, counters));
        }
        sum
    }

    /// Forgets an interface; what it had counted goes to the others'.
    ///
    /// # Errors
    /// When the maps cannot be written.
    pub(super) fn forget(&mut self, index: u32) -> Result<(), Problem> {
        let wrong = |error| failed("write", &error);
        let mut gone = self.gone.get(&0, 0).map_err(wrong)?;
        add(&mut gone, &self.of(index));
        // Another interface may get the number, and begins at zero.
        match index {
            ..INTERFACES_LOW => self.low.set(index, zeroed()?, 0).map_err(wrong)?,
            // There may be none: counting failed when it came.
            _ => {
                let _ = self.high.remove(&index);
            }
        }
        self.gone.set(0, gone, 0).map_err(wrong)
    }

    /// What interfaces counted that are gone, or that were too many to have counters of their own.
    pub(super) fn others(&self) -> Counters {
        let mut others = self.gone.get(&0, 0).unwrap_or_default();
        add(&mut others, &self.of(UNLISTED));
        others
    }

    /// The traffic of those that are peers no more.
    pub(super) fn departed(&self) -> PeerFlows {
        self.departed.get(&0, 0).unwrap_or_default()
    }

    /// # Errors
    /// When the map cannot be written.
    pub(super) fn set_departed(&mut self, flows: PeerFlows) -> Result<(), Problem> {
        (self.departed.set(0, flows, 0)).map_err(|error| failed("write", &error))
    }
}

/// Adds `more` to `sum`.
pub(super) fn add(sum: &mut Counters, more: &Counters) {
    for (sum, more) in sum.by_reason.iter_mut().zip(more.by_reason) {
        sum.packets += more.packets;
        sum.bytes += more.bytes;
    }
}

/// A map with one entry: the pinned one, or a new one.
fn kept<V: aya::Pod>(
    set: Option<&Path>,
    name: &str,
    create: impl Fn(u32, u32) -> Result<Array<MapData, V>, MapError>,
) -> Result<Array<MapData, V>, Problem> {
    let wrong = |error| failed("make", &error);
    let Some(path) = set.map(|set| set.join(name)) else {
        return create(1, 0).map_err(wrong);
    };
    if !path.exists() {
        let map = create(1, 0).map_err(wrong)?;
        let pinned = map.pin(&path);
        pinned.map_err(|error| Problem::of(&format!("pin {}", path.display()), &error))?;
    }
    let map = Map::Array(MapData::from_pin(&path).map_err(wrong)?);
    map.try_into().map_err(wrong)
}

fn zeroed() -> Result<PerCpuValues<Counters>, Problem> {
    let cpus = nr_cpus().map_err(|(_, error)| Problem::of("count processors", &error))?;
    PerCpuValues::try_from(vec![Counters::default(); cpus])
        .map_err(|error| Problem::of("make counters", &error))
}

fn failed(what: &str, error: &MapError) -> Problem {
    Problem::of(&format!("{what} the kernel's counters"), error)
}
