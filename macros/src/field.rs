//! `impl Field`: a type's shape, its wire words and its exact bytes, field by field.

use proc_macro2::TokenStream as Tokens;
use quote::{format_ident, quote};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Fields, Ident, Member};

use crate::attributes::{OfField, of_field, was};

/// Derives `Field` for a struct or an enum.
pub(crate) fn derive(ast: &DeriveInput) -> syn::Result<Tokens> {
    if !ast.generics.params.is_empty() {
        return Err(syn::Error::new(
            ast.generics.span(),
            "a replicated type cannot be generic: its name is its identity on the wire",
        ));
    }
    let body = match &ast.data {
        Data::Struct(data) => structure(&data.fields)?,
        Data::Enum(data) => enumeration(data)?,
        Data::Union(_) => return Err(syn::Error::new(ast.span(), "a union has no known value")),
    };
    let Body { shape, quantise, restore, save, load, layout } = body;
    let name = &ast.ident;
    let (called, was) = (name.to_string(), was(&ast.attrs, &[])?);
    Ok(quote! {
        impl referee_room::field::Field for #name {
            fn shape(
                __hints: &referee_room::field::Hints,
            ) -> ::core::result::Result<referee_room::field::FieldType, ::std::string::String> {
                #shape
            }
            fn quantise(
                &self,
                __type: &referee_room::field::FieldType,
                __out: &mut referee_room::field::Quantiser<'_>,
            ) {
                #quantise
            }
            fn restore(
                __type: &referee_room::field::FieldType,
                __from: &mut referee_room::field::Words<'_>,
            ) -> ::core::option::Option<Self> {
                #restore
            }
            fn save(&self, __out: &mut referee_room::field::Saver<'_>) {
                #save
            }
            fn load(
                __from: &mut referee_room::field::Loader<'_>,
            ) -> ::core::result::Result<Self, referee_room::field::LoadError> {
                #load
            }
            fn layout() -> referee_room::layout::Layout {
                referee_room::layout::Layout::named(#called, &[#(#was),*], #layout)
            }
        }
    })
}

/// The bodies of the methods.
struct Body {
    shape: Tokens,
    quantise: Tokens,
    restore: Tokens,
    save: Tokens,
    load: Tokens,
    layout: Tokens,
}

fn structure(fields: &Fields) -> syn::Result<Body> {
    let parts = Parts::of(fields)?;
    let access: Vec<Tokens> = parts.members.iter().map(|m| quote!(&self.#m)).collect();
    let (restore, load) = (parts.restore(&quote!(Self)), parts.load(&quote!(Self)));
    Ok(Body {
        shape: parts.shape(true),
        quantise: parts.quantise(&access),
        restore: quote!(::core::option::Option::Some(#restore)),
        save: parts.save(&access),
        load: quote!(::core::result::Result::Ok(#load)),
        layout: parts.layout(),
    })
}

fn enumeration(data: &syn::DataEnum) -> syn::Result<Body> {
    let (mut shapes, mut quantise, mut restore, mut save, mut load, mut layouts) =
        (vec![], vec![], vec![], vec![], vec![], vec![]);
    let names: Vec<String> =
        data.variants.iter().map(|variant| variant.ident.to_string()).collect();
    for (at, variant) in data.variants.iter().enumerate() {
        let parts = Parts::of(&variant.fields)?;
        let (ident, name) = (&variant.ident, variant.ident.to_string());
        let index = at as u32;
        let bound: Vec<Ident> =
            (0..parts.members.len()).map(|i| format_ident!("__field{i}")).collect();
        let access: Vec<Tokens> = bound.iter().map(|b| quote!(#b)).collect();
        let members = &parts.members;
        let pattern = quote!(Self::#ident { #(#members: #bound),* });
        let shape = parts.shape(false);
        shapes.push(quote!(referee_room::field::variant(#name, #shape)?));
        let (q, s) = (parts.quantise(&access), parts.save(&access));
        quantise.push(quote!(#pattern => {
            let __type = __out.variant(__type, #index);
            #q
        }));
        save.push(quote!(#pattern => { __out.varint(#index as u64); #s }));
        let (r, l) = (parts.restore(&quote!(Self::#ident)), parts.load(&quote!(Self::#ident)));
        restore.push(quote!(#index => ::core::option::Option::Some(#r),));
        load.push(quote!(#index => ::core::result::Result::Ok(#l),));
        let (layout, was) = (parts.layout(), was(&variant.attrs, &names)?);
        layouts.push(quote!(referee_room::layout::Part::new(#name, #layout).was(&[#(#was),*])));
    }
    Ok(Body {
        shape: quote!(::core::result::Result::Ok(referee_room::field::FieldType::Enum {
            variants: ::std::vec![#(#shapes),*]
        })),
        quantise: quote!(match self { #(#quantise)* }),
        restore: quote! {
            let (__index, __type) = __from.variant(__type)?;
            match __index { #(#restore)* _ => ::core::option::Option::None }
        },
        save: quote!(match self { #(#save)* }),
        load: quote! {
            match __from.varint()? as u32 {
                #(#load)*
                __other => ::core::result::Result::Err(__from.no_variant(__other)),
            }
        },
        layout: quote!(referee_room::layout::Layout::Enum(::std::vec![#(#layouts),*])),
    })
}

/// The fields of a struct or of one variant.
struct Parts {
    members: Vec<Member>,
    names: Vec<String>,
    types: Vec<syn::Type>,
    hints: Vec<Tokens>,
    defaults: Vec<Option<syn::Expr>>,
    /// Earlier names of each field.
    was: Vec<Vec<String>>,
    named: bool,
}

impl Parts {
    fn of(fields: &Fields) -> syn::Result<Self> {
        let members: Vec<Member> = fields.members().collect();
        let names: Vec<String> = members
            .iter()
            .map(|member| match member {
                Member::Named(name) => name.to_string(),
                Member::Unnamed(index) => index.index.to_string(),
            })
            .collect();
        let (mut hints, mut defaults, mut earlier) = (vec![], vec![], vec![]);
        for field in fields {
            let OfField { hints: said, default } = of_field(&field.attrs)?;
            hints.push(said);
            defaults.push(default);
            earlier.push(was(&field.attrs, &names)?);
        }
        let lone = members.len() == 1 && matches!(fields, Fields::Unnamed(_));
        if lone && (defaults[0].is_some() || !earlier[0].is_empty()) {
            return Err(syn::Error::new(
                fields.span(),
                "a type with one unnamed field is that field: it has no earlier name and no default of \
                 its own; give the field a name",
            ));
        }
        Ok(Self {
            members,
            names,
            types: fields.iter().map(|field| field.ty.clone()).collect(),
            hints,
            defaults,
            was: earlier,
            named: matches!(fields, Fields::Named(_)),
        })
    }

    /// A type with one unnamed field is that field: its hints may come from outside.
    fn is_newtype(&self) -> bool {
        !self.named && self.members.len() == 1
    }

    fn shape(&self, outer_hints: bool) -> Tokens {
        let (types, hints, names) = (&self.types, &self.hints, &self.names);
        if self.is_newtype() {
            let (ty, hints) = (&types[0], &hints[0]);
            let hints = if outer_hints { quote!(#hints.or(__hints)) } else { quote!(#hints) };
            return quote!(<#ty as referee_room::field::Field>::shape(&#hints));
        }
        if self.members.is_empty() {
            return quote!(::core::result::Result::Ok(referee_room::field::FieldType::Unit));
        }
        let parts = quote! {
            #(referee_room::field::member(
                #names,
                <#types as referee_room::field::Field>::shape(&#hints),
            )?),*
        };
        if self.named {
            quote!((|| ::core::result::Result::Ok(referee_room::field::FieldType::Struct {
                fields: ::std::vec![#parts]
            }))())
        } else {
            quote!((|| ::core::result::Result::Ok(referee_room::field::tuple([#parts])))())
        }
    }

    fn quantise(&self, access: &[Tokens]) -> Tokens {
        if self.is_newtype() {
            let access = &access[0];
            return quote!(referee_room::field::Field::quantise(#access, __type, __out););
        }
        let at = 0..self.members.len();
        quote! {
            #(referee_room::field::Field::quantise(
                #access,
                referee_room::field::part(__type, #at),
                __out,
            );)*
        }
    }

    fn restore(&self, path: &Tokens) -> Tokens {
        let members = &self.members;
        if self.is_newtype() {
            return quote!(#path {
                0: referee_room::field::Field::restore(__type, __from)?,
            });
        }
        let at = 0..members.len();
        quote!(#path {
            #(#members: referee_room::field::Field::restore(
                referee_room::field::part(__type, #at),
                __from,
            )?,)*
        })
    }

    fn save(&self, access: &[Tokens]) -> Tokens {
        quote!(#(referee_room::field::Field::save(#access, __out);)*)
    }

    fn load(&self, path: &Tokens) -> Tokens {
        let members = &self.members;
        quote!(#path { #(#members: referee_room::field::Field::load(__from)?,)* })
    }

    /// How they lie, one after the other.
    fn layout(&self) -> Tokens {
        let (types, names, was) = (&self.types, &self.names, &self.was);
        if self.is_newtype() {
            let ty = &types[0];
            return quote!(<#ty as referee_room::field::Field>::layout());
        }
        if self.members.is_empty() {
            return quote!(referee_room::layout::Layout::Unit);
        }
        let defaults = self.defaults.iter().zip(types).map(|(default, ty)| match default {
            Some(value) => quote!({
                let __value: #ty = #value;
                ::core::option::Option::Some(referee_room::layout::saved(&__value))
            }),
            None => quote!({
                use referee_room::field::probe::*;
                (&&DefaultOf::<#ty>::new()).saved_default()
            }),
        });
        quote!(referee_room::layout::Layout::Struct(::std::vec![#(
            referee_room::layout::Part::new(
                #names,
                <#types as referee_room::field::Field>::layout(),
            )
            .was(&[#(#was),*])
            .with_default(#defaults)
        ),*]))
    }
}
