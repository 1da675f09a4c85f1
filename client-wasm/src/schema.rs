//! The schema as a page reads it.

use crate::values::object;
use js_sys::Array;
use referee_client::protocol::schema::{FieldType, Kind, Schema, TypeDef};
use wasm_bindgen::JsValue;

/// The schema as an object.
pub(crate) fn to_js(game: &str, schema: &Schema) -> JsValue {
    let kind = match schema.kind {
        Kind::Realtime => "realtime",
        Kind::TurnBased => "turn_based",
    };
    object([
        ("game", game.into()),
        ("kind", kind.into()),
        ("components", list(&schema.components, component)),
        ("inputs", list(&schema.inputs, |def| named(&def.name, &def.ty))),
        ("actions", list(&schema.actions, |def| named(&def.name, &def.ty))),
        ("events", list(&schema.events, |def| named(&def.name, &def.ty))),
    ])
}

fn list<T>(items: &[T], to_js: impl Fn(&T) -> JsValue) -> JsValue {
    items.iter().map(to_js).collect::<Array>().into()
}

fn component(def: &TypeDef) -> JsValue {
    object([
        ("name", (&def.name).into()),
        ("resource", def.resource.into()),
        ("type", type_to_js(&def.ty)),
    ])
}

fn named(name: &str, ty: &FieldType) -> JsValue {
    object([("name", name.into()), ("type", type_to_js(ty))])
}

fn type_to_js(ty: &FieldType) -> JsValue {
    let of = |kind: &str, rest: &[(&str, JsValue)]| {
        object([("kind", kind.into())].into_iter().chain(rest.iter().cloned()))
    };
    match ty {
        FieldType::Unit => of("unit", &[]),
        FieldType::Bool => of("bool", &[]),
        FieldType::Int { min, span } => {
            let max = i128::from(*min) + i128::from(*span);
            of("int", &[("min", (*min as f64).into()), ("max", (max as f64).into())])
        }
        FieldType::Float { min, max, step, .. } => {
            let range = [("min", (*min).into()), ("max", (*max).into()), ("step", (*step).into())];
            of("float", &range)
        }
        FieldType::F32 | FieldType::F64 => of("float", &[]),
        FieldType::Rotation { .. } => of("rotation", &[]),
        FieldType::String { max } => of("string", &[("max", (*max).into())]),
        FieldType::Option { of: inner } => of("option", &[("of", type_to_js(inner))]),
        FieldType::List { of: inner, max } => {
            of("list", &[("of", type_to_js(inner)), ("max", (*max).into())])
        }
        FieldType::Array { of: inner, length } => {
            of("array", &[("of", type_to_js(inner)), ("length", (*length).into())])
        }
        FieldType::Tuple { items } => of("tuple", &[("items", list(items, type_to_js))]),
        FieldType::Struct { fields } => {
            of("struct", &[("fields", list(fields, |field| named(&field.name, &field.ty)))])
        }
        FieldType::Enum { variants } => {
            of("enum", &[("variants", list(variants, |v| named(&v.name, &v.ty)))])
        }
        FieldType::Entity => of("entity", &[]),
    }
}
