//! How `#[derive(Replicate)]` learns whether a type is a resource, and all derives whether a
//! type has a default: a derive sees only its own attributes, so it asks the compiler, by calling a
//! method where several traits offer it and the one with the fewest dereferences to go wins ("autoref
//! specialisation", after dtolnay's case study of that name).

use std::marker::PhantomData;

use bevy_ecs::resource::Resource;

use crate::reuse::put;

use super::{Bearer, Field};
use crate::layout::saved;

/// Stands for a type in the question.
pub struct Probe<T>(PhantomData<T>);

impl<T> Probe<T> {
    /// The question.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "only the derive makes one")]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

/// Answers for a resource with a default.
pub trait IsResource {
    /// The answer.
    fn bearer(&self) -> Bearer;
}

impl<T: Resource + Default> IsResource for &&Probe<T> {
    fn bearer(&self) -> Bearer {
        Bearer::Resource(|world| put(world, T::default()))
    }
}

/// Answers for a resource without a default.
pub trait IsBareResource {
    /// The answer.
    fn bearer(&self) -> Bearer;
}

impl<T: Resource> IsBareResource for &Probe<T> {
    fn bearer(&self) -> Bearer {
        Bearer::ResourceWithoutDefault
    }
}

/// Answers for everything else.
pub trait IsComponent {
    /// The answer.
    fn bearer(&self) -> Bearer;
}

impl<T> IsComponent for Probe<T> {
    fn bearer(&self) -> Bearer {
        Bearer::Component
    }
}

/// Stands for a type in the question for its default.
pub struct DefaultOf<T>(PhantomData<T>);

impl<T> DefaultOf<T> {
    /// The question.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "only the derives make one")]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

/// Answers for a type with a default.
pub trait HasDefault {
    /// The default's bytes.
    fn saved_default(&self) -> Option<Vec<u8>>;
}

impl<T: Field + Default> HasDefault for &DefaultOf<T> {
    fn saved_default(&self) -> Option<Vec<u8>> {
        Some(saved(&T::default()))
    }
}

/// Answers for everything else.
pub trait HasNoDefault {
    /// None.
    fn saved_default(&self) -> Option<Vec<u8>>;
}

impl<T> HasNoDefault for DefaultOf<T> {
    fn saved_default(&self) -> Option<Vec<u8>> {
        None
    }
}
