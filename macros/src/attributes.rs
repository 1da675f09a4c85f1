//! What `#[field(..)]` and `#[replicate(..)]` may say.

use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::{Attribute, DeriveInput, Expr, ExprRange, LitStr, Path, RangeLimits, Token};

/// What `#[field(..)]` says of a field.
pub(crate) struct OfField {
    /// Its `Hints`, as an expression.
    pub(crate) hints: Tokens,
    /// The value it has in rooms that were saved without it.
    pub(crate) default: Option<Expr>,
}

pub(crate) fn of_field(attributes: &[Attribute]) -> syn::Result<OfField> {
    let mut hints = quote!(referee_room::field::Hints::default());
    let mut default = None;
    for attribute in attributes.iter().filter(|a| a.path().is_ident("field")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("default") {
                default = Some(meta.value()?.parse()?);
                return Ok(());
            }
            let with = hint(&meta)?;
            hints = quote!(#hints #with);
            Ok(())
        })?;
    }
    Ok(OfField { hints, default })
}

/// The earlier names of a type, a field or a variant: `#[was("one", "other")]`. None of them may be one
/// that another has at present, for then what is stored could be either.
pub(crate) fn was(attributes: &[Attribute], others: &[String]) -> syn::Result<Vec<String>> {
    let mut names = Vec::new();
    for attribute in attributes.iter().filter(|a| a.path().is_ident("was")) {
        let parse = Punctuated::<LitStr, Token![,]>::parse_terminated;
        let given = attribute.parse_args_with(parse).map_err(|error| {
            let text = "write the earlier names as texts: #[was(\"old_name\")]";
            syn::Error::new(error.span(), text)
        })?;
        for name in given {
            if others.contains(&name.value()) {
                let text = format!(
                    "{} is a name that is in use: a room that has it stored could mean either; call \
                     the new one otherwise",
                    name.value()
                );
                return Err(syn::Error::new(name.span(), text));
            }
            names.push(name.value());
        }
    }
    Ok(names)
}

fn hint(meta: &ParseNestedMeta<'_>) -> syn::Result<Tokens> {
    if meta.path.is_ident("range") {
        let range: ExprRange = meta.value()?.parse()?;
        let (Some(start), RangeLimits::Closed(_), Some(end)) =
            (&range.start, &range.limits, &range.end)
        else {
            return Err(meta.error("write a closed range: range = low..=high"));
        };
        return Ok(quote!(.range((#start) as f64, (#end) as f64)));
    }
    if meta.path.is_ident("step") {
        let step: Expr = meta.value()?.parse()?;
        return Ok(quote!(.step((#step) as f64)));
    }
    if meta.path.is_ident("min") {
        let min: Expr = meta.value()?.parse()?;
        return Ok(quote!(.min((#min) as i64)));
    }
    if meta.path.is_ident("max") {
        let max: Expr = meta.value()?.parse()?;
        return Ok(quote!(.max((#max) as u64)));
    }
    if meta.path.is_ident("wraps") {
        return Ok(quote!(.wraps()));
    }
    if meta.path.is_ident("bits") {
        let bits: Expr = meta.value()?.parse()?;
        return Ok(quote!(.bits((#bits) as u32)));
    }
    if meta.path.is_ident("of") {
        let mut inner = quote!(referee_room::field::Hints::default());
        meta.parse_nested_meta(|nested| {
            let with = hint(&nested)?;
            inner = quote!(#inner #with);
            Ok(())
        })?;
        return Ok(quote!(.of(#inner)));
    }
    Err(meta.error("a field knows range, step, min, max, wraps, bits, of(..) and default"))
}

/// What `#[replicate(..)]` says of a type.
pub(crate) struct Replicated {
    /// Its `Audience`, as an expression.
    pub(crate) audience: Tokens,
    /// The component by which it moves, as an expression: an `Option` of its full name.
    pub(crate) moves_by: Tokens,
    /// Whether it says that it rarely changes.
    pub(crate) rarely: bool,
}

pub(crate) fn replicated(ast: &DeriveInput) -> syn::Result<Replicated> {
    let mut audience = quote!(referee_room::field::Audience::Near);
    let (mut moves_by, mut rarely) = (quote!(None), false);
    for attribute in ast.attrs.iter().filter(|a| a.path().is_ident("replicate")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("moves_by") {
                let velocity: Path = meta.value()?.parse()?;
                moves_by = quote!(Some(::core::any::type_name::<#velocity>()));
                return Ok(());
            }
            if meta.path.is_ident("rarely") {
                rarely = true;
                return Ok(());
            }
            if !meta.path.is_ident("to") {
                return Err(meta.error(
                    "a type knows to = everyone | owner | team | a function, moves_by = the \
                     component that holds its velocity, and rarely",
                ));
            }
            let to: Path = meta.value()?.parse()?;
            audience = match to.get_ident().map(ToString::to_string).as_deref() {
                Some("everyone") => quote!(referee_room::field::Audience::Everyone),
                Some("owner") => quote!(referee_room::field::Audience::Owner),
                Some("team") => quote!(referee_room::field::Audience::Team),
                _ => quote!(referee_room::field::Audience::Function(#to)),
            };
            Ok(())
        })?;
    }
    Ok(Replicated { audience, moves_by, rarely })
}
