//! Names: what entities are called on the wire. An entity has one name in the widest space that
//! shows it, and names of its own in several only where no wider one shows it. Every name comes from
//! its space's own secret generator, so that what one client sees of them tells nothing about what
//! it does not see: neither how many there are nor in which order they came.
//!
//! A name is a `WireId`: the kind of its space in the two low bits; for a team the low ten bits of
//! its number above them; then up to twenty random bits, not all zero:
//! a space with few names has short ones.
//!
//! All cells of a grid share one space, and still what comes far away must not move what is drawn
//! nearby: each cell draws from a stream of its own, from a place in it that the tick says. What may not
//! be drawn (names that are borne, or rest until all clients have heard of their end) is then of
//! consequence only where names are short. So they are long where how long they rest depends on what
//! other clients are sent: in a room with a byte budget, and for teams that share a mark.

use std::collections::{BTreeMap, VecDeque};

use rand::rngs::ChaCha8Rng;
use rand::{Rng as _, SeedableRng};
use referee_protocol::{Group, Seat, Tick, WireId};

use smallvec::SmallVec;

use super::Called;
use super::links::Links;
use super::save::{load_group, number};
use crate::field::{LoadError, Loader, Saver};
use crate::table::Table;

/// Most random bits of a name.
const RANDOM_BITS: u32 = 20;
/// Teams whose numbers differ by so much share a mark.
const TEAM_MARKS: u32 = 1 << 10;
/// Fewest random bits of a name.
const RANDOM_BITS_MIN: u32 = 6;
/// So many words of its generator are a cell's in each tick.
const CELL_WORDS: u128 = 1 << 24;

/// A space of names. All cells of a grid share one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Space {
    Everyone,
    Grid,
    Team(u32),
    Player(u16),
}

impl Space {
    fn of(group: Group) -> Self {
        match group {
            Group::Everyone => Self::Everyone,
            Group::Cell(_) => Self::Grid,
            Group::Team(team) => Self::Team(team),
            Group::Player(seat) => Self::Player(seat.0),
        }
    }

    /// The bits that keep names of different spaces apart for one client.
    fn mark(self) -> (u32, u32) {
        match self {
            Self::Everyone => (0, 2),
            Self::Grid => (1, 2),
            Self::Team(team) => (2 | (team % TEAM_MARKS) << 2, 12),
            Self::Player(_) => (3, 2),
        }
    }

    /// Random bits of its next name, with so many in use: four times as many as that need. Whoever
    /// sees one entity of a space sees all of them, so it may tell how many there are; only of a grid
    /// does a client see a part.
    fn random_bits(self, used: usize) -> u32 {
        match self {
            Self::Grid => RANDOM_BITS,
            Self::Everyone | Self::Team(_) | Self::Player(_) => {
                (usize::BITS - used.leading_zeros() + 2).clamp(RANDOM_BITS_MIN, RANDOM_BITS)
            }
        }
    }

    /// What is set in each of its names: the highest bit where teams with smaller numbers have the same
    /// mark. These have fewer bits, for there are at most 65,536 entities.
    fn always(self) -> u32 {
        match self {
            Self::Team(team) if team >= TEAM_MARKS => 1 << (RANDOM_BITS - 1),
            _ => 0,
        }
    }

    /// The space with this stream.
    fn from_stream(stream: u64) -> Option<Self> {
        Some(match Group::from_number(stream) {
            Some(Group::Everyone) => Self::Everyone,
            Some(Group::Cell(0)) => Self::Grid,
            Some(Group::Team(team)) => Self::Team(team),
            Some(Group::Player(Seat(seat))) => Self::Player(seat),
            Some(Group::Cell(_)) | None => return None,
        })
    }

    /// The generator's stream, and the space's number in a snapshot.
    fn stream(self) -> u64 {
        match self {
            Self::Everyone => 0,
            Self::Grid => 1,
            Self::Team(team) => u64::from(team) << 2 | 2,
            Self::Player(seat) => u64::from(seat) << 2 | 3,
        }
    }
}

/// One space: its generator and the names in use.
struct SpaceNames {
    rng: ChaCha8Rng,
    used: Table<WireId, ()>,
}

/// The names of a room's entities.
#[derive(Default)]
pub(super) struct Names {
    secret: [u8; 32],
    /// Few, and a map's node has room for eleven.
    spaces: BTreeMap<Space, Box<SpaceNames>>,
    /// For each entity its own names, and the space by whose name each group calls it.
    entities: Table<u32, Entry>,
    /// Names that went out of use since the last send: until their end is told nobody may bear them.
    freed: Vec<(Space, WireId)>,
    /// Names that went out of use, and when: nobody may bear them for a while.
    resting: VecDeque<(Tick, Space, WireId)>,
    /// The cell and the tick for which the grid's generator draws.
    drawing: Option<(Group, Tick)>,
}

/// When names are drawn, and whether how long names rest depends on what clients are sent.
#[derive(Clone, Copy)]
pub(super) struct Draw {
    pub(super) tick: Tick,
    pub(super) budgeted: bool,
}

#[derive(Default)]
struct Entry {
    own: SmallVec<[(Space, WireId); 2]>,
    /// In order of groups.
    called: SmallVec<[(Group, Space); 2]>,
}

impl Entry {
    fn name(&self, space: Space) -> Option<WireId> {
        self.own.iter().find(|(known, _)| *known == space).map(|(_, name)| *name)
    }
}

impl Names {
    pub(super) fn new(secret: [u8; 32]) -> Self {
        Self { secret, ..Self::default() }
    }

    /// What a group calls an entity; 0 for one it does not see, neither itself nor through a wider
    /// space.
    pub(super) fn of(&self, id: u32, group: Group) -> WireId {
        let Some(entry) = self.entities.find(id) else { return WireId(0) };
        let called = entry.called.iter().find(|(known, _)| *known == group);
        let wider = || {
            let spaces = [Space::Everyone, Space::Grid, Space::of(group)];
            let wider = |space: &Space| *space <= Space::of(group) && entry.name(*space).is_some();
            spaces.into_iter().find(wider)
        };
        let space = called.map(|(_, space)| *space).or_else(wider);
        space.and_then(|space| entry.name(space)).unwrap_or(WireId(0))
    }

    /// What those who see a group call an entity; 0 for one that neither the group nor a wider space shows.
    /// A grid is one space: what any of its cells shows has a name for all who see cells or less. Only of
    /// a player's own group is it known what its client sees: there it is 0 for all that this does not.
    pub(super) fn known(&self, id: u32, group: Group, links: &Links) -> u32 {
        let Group::Player(seat) = group else { return self.of(id, group).0 };
        let Some(entry) = self.entities.find(id) else { return 0 };
        let own = entry.called.iter().find(|(known, _)| *known == group);
        let seen = || entry.called.iter().find(|(known, _)| links.sees(seat, *known));
        let space = own.or_else(seen).map(|(_, space)| *space);
        space.and_then(|space| entry.name(space)).map_or(0, |name| name.0)
    }

    /// How many entities have names.
    pub(super) fn len(&self) -> usize {
        self.entities.len()
    }

    /// The entities that have names, in order.
    pub(super) fn ids(&self) -> impl Iterator<Item = u32> {
        self.entities.keys()
    }

    /// Whether an entity has a name.
    pub(super) fn knows(&self, id: u32) -> bool {
        self.entities.contains(id)
    }

    /// Whether exactly these groups, in order, see an entity.
    pub(super) fn is_shown_to(&self, id: u32, groups: impl Iterator<Item = Group>) -> bool {
        let called = self.entities.find(id).map(|entry| &entry.called[..]).unwrap_or_default();
        called.iter().map(|(group, _)| *group).eq(groups)
    }

    /// What each group that sees an entity calls it.
    pub(super) fn called(&self, id: u32) -> Called {
        let Some(entry) = self.entities.find(id) else { return Called::new() };
        entry
            .called
            .iter()
            .filter_map(|(group, space)| Some((*group, entry.name(*space)?)))
            .collect()
    }

    /// An entity is shown to these groups, in order, from now on: takes the names away that it needs no
    /// more. For each that it needs and has not, `unnamed` is told a group by which to [`Names::give`] it.
    pub(super) fn show(
        &mut self,
        id: u32,
        groups: &[Group],
        links: &Links,
        mut unnamed: impl FnMut(Group),
    ) {
        let mut entry = self.entities.find_mut(id).map(std::mem::take).unwrap_or_default();
        entry.called.clear();
        let space = |group: &Group| (*group, naming_space(*group, groups, links));
        entry.called.extend(groups.iter().map(space));
        let called = &entry.called;
        let freed = &mut self.freed;
        entry.own.retain(|(space, name)| {
            let kept = called.iter().any(|(_, needed)| needed == space);
            if !kept {
                freed.push((*space, *name));
            }
            kept
        });
        for (at, (group, space)) in entry.called.iter().enumerate() {
            let first = entry.called[..at].iter().all(|(_, earlier)| earlier != space);
            if first && entry.name(*space).is_none() {
                unnamed(*group);
            }
        }
        if groups.is_empty() {
            self.entities.remove(id);
        } else {
            self.entities.insert(id, entry);
        }
    }

    /// Draws a name for an entity that is shown to a group, in the space by whose name that calls it. The
    /// names of a space are to be drawn in an order that its members may know.
    pub(super) fn give(&mut self, id: u32, group: Group, how: Draw) {
        let space = Space::of(group);
        if space == Space::Grid && self.drawing != Some((group, how.tick)) {
            self.drawing = Some((group, how.tick));
            let rng = &mut self.space(space).rng;
            rng.set_stream(group.number());
            rng.set_word_pos(u128::from(how.tick.0) * CELL_WORDS);
        }
        let name = self.draw(space, how.budgeted);
        if let Some(entry) = self.entities.find_mut(id) {
            entry.own.push((space, name));
        }
    }

    /// A space's generator and names.
    fn space(&mut self, space: Space) -> &mut SpaceNames {
        let secret = self.secret;
        self.spaces.entry(space).or_insert_with(|| {
            let mut rng = ChaCha8Rng::from_seed(secret);
            rng.set_stream(space.stream());
            Box::new(SpaceNames { rng, used: Table::default() })
        })
    }

    fn draw(&mut self, space: Space, long: bool) -> WireId {
        let (mark, width) = space.mark();
        loop {
            let names = self.space(space);
            let bits = if long { RANDOM_BITS } else { space.random_bits(names.used.len()) };
            let random = names.rng.next_u32() >> (32 - bits) | space.always();
            let name = WireId(random << width | mark);
            if random != 0 && !self.is_used(space, name) {
                self.space(space).used.insert(name, ());
                return name;
            }
        }
    }

    /// Whether something bears a name in this space or, of teams, in one with the same mark: a client may
    /// see both.
    fn is_used(&self, space: Space, name: WireId) -> bool {
        let bears = |of: &Space| self.spaces.get(of).is_some_and(|names| names.used.contains(name));
        let Space::Team(team) = space else { return bears(&space) };
        let teams = self.spaces.range(Space::Team(0)..=Space::Team(u32::MAX));
        let same = |of: &Space| matches!(of, Space::Team(other) if other % TEAM_MARKS == team % TEAM_MARKS);
        teams.map(|(of, _)| of).any(|of| same(of) && bears(of))
    }

    /// Everything up to now was sent: names that went out of use longer ago than so many ticks may be
    /// drawn again.
    pub(super) fn sent(&mut self, now: Tick, rest: u64) {
        self.resting.extend(self.freed.drain(..).map(|(space, name)| (now, space, name)));
        while let Some((at, space, name)) = self.resting.front().copied() {
            if at.0 + rest > now.0 {
                break;
            }
            self.resting.pop_front();
            if let Some(names) = self.spaces.get_mut(&space) {
                names.used.remove(name);
            }
        }
    }
}

impl Names {
    pub(super) fn save(&self, out: &mut Saver<'_>) {
        out.raw(&self.secret);
        out.varint(self.spaces.len() as u64);
        for (space, names) in &self.spaces {
            out.varint(space.stream());
            out.raw(&names.rng.get_word_pos().to_le_bytes());
        }
        let resting = || {
            let freed = self.freed.iter().map(|(space, name)| (Tick(0), *space, *name));
            self.resting.iter().copied().chain(freed)
        };
        out.varint(resting().count() as u64);
        for (tick, space, name) in resting() {
            out.varint(tick.0);
            out.varint(space.stream());
            out.varint(u64::from(name.0));
        }
        out.varint(self.entities.len() as u64);
        for (id, entry) in self.entities.iter() {
            out.varint(u64::from(id));
            out.varint(entry.own.len() as u64);
            for (space, name) in &entry.own {
                out.varint(space.stream());
                out.varint(u64::from(name.0));
            }
            out.varint(entry.called.len() as u64);
            for (group, space) in &entry.called {
                out.varint(group.number());
                out.varint(space.stream());
            }
        }
    }

    pub(super) fn load(from: &mut Loader<'_>) -> Result<Self, LoadError> {
        let mut names = Self::new(from.array()?);
        for _ in 0..from.count()? {
            let space = load_space(from)?;
            let position = u128::from_le_bytes(from.array()?);
            names.space(space).rng.set_word_pos(position);
        }
        for _ in 0..from.count()? {
            let (tick, space) = (Tick(from.varint()?), load_space(from)?);
            let name = load_name(from)?;
            names.space(space).used.insert(name, ());
            names.resting.push_back((tick, space, name));
        }
        for _ in 0..from.count()? {
            let (id, mut entry) = (number(from)?, Entry::default());
            for _ in 0..from.count()? {
                let (space, name) = (load_space(from)?, load_name(from)?);
                names.space(space).used.insert(name, ());
                entry.own.push((space, name));
            }
            for _ in 0..from.count()? {
                entry.called.push((load_group(from)?, load_space(from)?));
            }
            names.entities.insert(id, entry);
        }
        Ok(names)
    }
}

fn load_space(from: &mut Loader<'_>) -> Result<Space, LoadError> {
    Space::from_stream(from.varint()?).ok_or(LoadError::Number)
}

fn load_name(from: &mut Loader<'_>) -> Result<WireId, LoadError> {
    Ok(WireId(number(from)?))
}

/// By the name of which space a group calls an entity that these groups see: the widest, if the
/// group's members know it.
fn naming_space(group: Group, shown_to: &[Group], links: &Links) -> Space {
    if shown_to.contains(&Group::Everyone) {
        return Space::Everyone;
    }
    if shown_to.iter().any(|g| matches!(g, Group::Cell(_))) {
        return Space::Grid;
    }
    let Group::Player(seat) = group else { return Space::of(group) };
    let team = shown_to.iter().find(|g| matches!(g, Group::Team(_)) && links.sees(seat, **g));
    Space::of(*team.unwrap_or(&group))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAW: Draw = Draw { tick: Tick(1), budgeted: false };

    #[test]
    fn each_space_draws_from_a_stream_of_its_own() {
        let mut names = Names::new([5; 32]);
        let teams = [Group::Team(1), Group::Team(2)];
        let show = |names: &mut Names, id, groups: &[Group]| {
            let mut unnamed = Vec::new();
            names.show(id, groups, &Links::default(), |group| unnamed.push(group));
            unnamed.into_iter().for_each(|group| names.give(id, group, DRAW));
        };
        (1..50).for_each(|id| show(&mut names, id, &teams));
        let random = |id, team| names.of(id, Group::Team(team)).0 >> 12;
        let same = (1..50).filter(|id| random(*id, 1) == random(*id, 2)).count();
        assert!(same < 5, "{same} of 49 are the same");
        // What one team sees does not depend on what the other has seen.
        let mut alone = Names::new([5; 32]);
        show(&mut alone, 1, &[Group::Team(2)]);
        assert_eq!(alone.of(1, Group::Team(2)), names.of(1, Group::Team(2)));
    }
}
