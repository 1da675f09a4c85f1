//! The functions by which a game says itself what became of a value.

use std::any::TypeId;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{EvolveError, Place};
use crate::errors::panic_text;
use crate::field::{Field, LoadError, Loader, Saver};
use crate::game::Game;
use crate::layout::Layout;
use crate::registry::{entity_of_number, number_of_entity, short_name};

type Run = dyn Fn(&[u8], &mut Vec<u8>) -> Result<(), LoadError> + Send + Sync;

/// A function from a type as it was to one as it is, or was later.
pub(crate) struct Migration {
    types: (TypeId, TypeId),
    layouts: (fn() -> Layout, fn() -> Layout),
    /// The layouts, once the game is checked.
    known: Option<(Layout, Layout)>,
    run: Box<Run>,
}

impl Migration {
    fn of<Old: Field, New: Field>(function: impl Fn(Old) -> New + Send + Sync + 'static) -> Self {
        Self {
            types: (TypeId::of::<Old>(), TypeId::of::<New>()),
            layouts: (Old::layout, New::layout),
            known: None,
            run: Box::new(move |bytes, out| {
                let old = Old::load(&mut Loader::new(bytes, &entity_of_number))?;
                function(old).save(&mut Saver::new(out, &number_of_entity));
                Ok(())
            }),
        }
    }

    /// Works its layouts out, before anything else is asked of it.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        let (old, new) = ((self.layouts.0)(), (self.layouts.1)());
        if !matches!(old, Layout::Named(_)) {
            return Err(format!(
                "migrate: what it takes is {old}, which may be anything; let it take the type of the \
                 game's own in which that stood, as it was"
            ));
        }
        if old.same(&new) {
            return Err(format!(
                "migrate: {old} and {new} lie the same, so nobody can tell which is stored; give a \
                 field whose meaning has changed another name"
            ));
        }
        self.known = Some((old, new));
        Ok(())
    }

    fn known(&self) -> &(Layout, Layout) {
        self.known.as_ref().expect("a game is checked before it reads anything")
    }

    /// Whether this is what is stored: the type's name, or one of its earlier ones, and every part.
    pub(crate) fn takes(&self, stored: &Layout) -> bool {
        let Layout::Named(named) = stored else { return false };
        let old = &self.known().0;
        old.names().any(|name| name == named.name) && old.same(stored)
    }

    /// What it makes.
    pub(super) fn to(&self) -> &Layout {
        &self.known().1
    }

    /// Appends what it makes of a value.
    pub(super) fn run(
        &self,
        bytes: &[u8],
        place: Place<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), EvolveError> {
        let made = catch_unwind(AssertUnwindSafe(|| (self.run)(bytes, out)));
        let made = made.map_err(|panic| EvolveError::Panicked {
            place: place.text(),
            stored: self.known().0.to_string(),
            wanted: self.known().1.to_string(),
            panic: panic_text(&*panic).to_owned(),
        })?;
        made.map_err(|error| place.damaged(error))
    }
}

impl Game {
    /// What became of a value that an earlier version of the game saved, where no rule can know it:
    /// `game.migrate(|old: v1::Health| Health { .. })`. `Old` is the type as it was, with its derive, its
    /// name (or `#[was("..")]` of it) and all of its fields; it need not be registered. The function
    /// runs wherever such a value is stored and something else is wanted: as a component, a resource, a
    /// timer, an action in the journal, or inside of others. What it makes may be an old type itself, which
    /// a function given after this one takes further.
    ///
    /// It has to give the same for the same value. References to entities it can only hand on. A room
    /// with which it panics is refused, and left as it is.
    pub fn migrate<Old: Field, New: Field>(
        &mut self,
        function: impl Fn(Old) -> New + Send + Sync + 'static,
    ) -> &mut Self {
        let migration = Migration::of(function);
        if self.migrations.iter().any(|other| other.types.0 == migration.types.0) {
            let old = short_name::<Old>();
            self.problems.push(format!(
                "migrate: two functions take {old}; remove one, or let the second take what the first \
                 makes"
            ));
        }
        self.migrations.push(migration);
        self
    }
}
