//! The one door: the live room is made anew from its own snapshot now and then, as a restored room is made from it. So
//! nothing that the world hides can make a difference between the two.

use referee_protocol::hash::hash;

use crate::output::Output;
use crate::room::Room;
use crate::snapshot;

impl Room {
    /// The one door: what a restored room is made from, the live room is made from as well.
    pub(crate) fn rebuild(&mut self) {
        let snapshot = self.snapshot_and_mark();
        self.reload(&snapshot);
        self.outputs.push_back(Output::Save(snapshot));
    }

    /// As [`Room::rebuild`], but the room is made anew no earlier than when it has to run: one that was sealed
    /// runs on only if somebody comes before it is forgotten.
    pub(crate) fn stand_at_door(&mut self) {
        let snapshot = self.snapshot_and_mark();
        self.door = Some(snapshot.clone());
        self.outputs.push_back(Output::Save(snapshot));
    }

    /// Makes the room anew where it stands at the door. Comes before anything changes its state.
    pub(crate) fn go_through(&mut self) {
        if let Some(snapshot) = self.door.take() {
            self.reload(&snapshot);
        }
    }

    fn snapshot_and_mark(&mut self) -> Vec<u8> {
        let snapshot = self.snapshot();
        self.journal.mark(hash(snapshot::state(&snapshot)));
        self.rebuilt = self.core().ran;
        snapshot
    }

    fn reload(&mut self, snapshot: &[u8]) {
        snapshot::reload(&self.template, snapshot, &mut self.game)
            .unwrap_or_else(|e| panic!("a room reads its own snapshot: {e}"));
        self.replication.rebuilt(&mut self.game);
        self.forget_content();
        self.warnings.archetypes = 0;
    }
}
