//! The derives of Referee's Game API: `Replicate`, `Input`, `Action` and `Event`.
//!
//! Each describes a type's fields for the wire and for disk (`Field`) and says what the type is
//! for. What they expand to names `referee_room`, which the prelude brings into scope, so that a
//! game depends on `referee` alone.

mod attributes;
mod field;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::{DeriveInput, parse_macro_input};

/// State that is kept and, when registered with `replicate`, sent. On a component or a resource, or
/// on a type inside one.
///
/// `#[replicate(to = owner)]`, `#[replicate(to = team)]` and `#[replicate(to = path::to::function)]`
/// say who sees it; without, everyone does: in a game with a grid, everyone near, unless it says
/// `to = everyone`. `#[replicate(moves_by = Velocity)]` names the component that says how this one
/// moves, in units per second: each number there moves the one at the same place here, and what
/// moves as it says takes fewer bytes. `#[replicate(rarely)]` says that it changes about once in a
/// hundred times that something else of its entity does: a name, a kind, a colour. That takes fewer
/// bytes each time it stays, and some more when it does not.
///
/// Fields take `#[field(range = low..=high, step = s)]` (floats), `#[field(min = a, max = b)]`
/// (integers), `#[field(max = n)]` (integers, texts, lists), `#[field(wraps)]` (a circle),
/// `#[field(bits = n)]` (orientations) and `#[field(of(..))]` (the same, for what a list holds).
///
/// For rooms that an earlier version of the game saved: `#[was("old_name")]` on a type, a field or a
/// variant says what it was called, `#[field(default = value)]` what a new field begins with there;
/// without, it begins with its type's own default.
#[proc_macro_derive(Replicate, attributes(replicate, field, was))]
pub fn derive_replicate(input: TokenStream) -> TokenStream {
    expand(parse_macro_input!(input as DeriveInput), |ast| {
        let name = &ast.ident;
        let attributes::Replicated { audience, moves_by, rarely } = attributes::replicated(ast)?;
        Ok(quote! {
            impl referee_room::field::Replicate for #name {
                fn audience() -> referee_room::field::Audience { #audience }
                fn moves_by() -> Option<&'static str> { #moves_by }
                fn rarely() -> bool { #rarely }
                fn bearer() -> referee_room::field::Bearer {
                    use referee_room::field::probe::*;
                    (&&&Probe::<Self>::new()).bearer()
                }
            }
        })
    })
}

/// A sampled input: a stick, a mouse. It stands as a component on the player's entity.
#[proc_macro_derive(Input, attributes(field, was))]
pub fn derive_input(input: TokenStream) -> TokenStream {
    expand(parse_macro_input!(input as DeriveInput), |ast| {
        let name = &ast.ident;
        Ok(quote! {
            impl referee_room::bevy_ecs::component::Component for #name {
                const STORAGE_TYPE: referee_room::bevy_ecs::component::StorageType =
                    referee_room::bevy_ecs::component::StorageType::Table;
                type Mutability = referee_room::bevy_ecs::component::Mutable;
            }
            impl referee_room::field::Input for #name {}
        })
    })
}

/// An act of a player: reliable, in order, applied exactly once. Read through `Actions<T>`.
#[proc_macro_derive(Action, attributes(field, was))]
pub fn derive_action(input: TokenStream) -> TokenStream {
    expand(parse_macro_input!(input as DeriveInput), |ast| {
        let name = &ast.ident;
        Ok(quote! { impl referee_room::field::Action for #name {} })
    })
}

/// A one-shot event for clients. Sent through `Events`.
#[proc_macro_derive(Event, attributes(field, was))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    expand(parse_macro_input!(input as DeriveInput), |ast| {
        let name = &ast.ident;
        Ok(quote! { impl referee_room::field::Event for #name {} })
    })
}

fn expand(ast: DeriveInput, role: impl Fn(&DeriveInput) -> syn::Result<Tokens>) -> TokenStream {
    let tokens = field::derive(&ast).and_then(|field| {
        let role = role(&ast)?;
        Ok(quote! {
            #[automatically_derived]
            const _: () = { #field #role };
        })
    });
    tokens.unwrap_or_else(|error| error.to_compile_error()).into()
}
