//! Values as a page writes and reads them.

use js_sys::{Array, ArrayBuffer, BigInt, Object, Reflect};
use referee_client::protocol::limits::TYPE_DEPTH_MAX;
use referee_client::protocol::{FieldType, Value};
use wasm_bindgen::{JsCast, JsValue, intern};

/// The largest whole number up to which JavaScript's numbers are exact.
const SAFE_MAX: i128 = (1 << 53) - 1;

/// An object with these properties.
pub(crate) fn object<'a>(properties: impl IntoIterator<Item = (&'a str, JsValue)>) -> JsValue {
    let object = Object::new();
    for (name, value) in properties {
        // Interned: a name is made a string of JavaScript's once, not for each object.
        Reflect::set(&object, &intern(name).into(), &value)
            .expect("a plain object takes any property");
    }
    object.into()
}

/// A value of this type for the page.
pub(crate) fn to_js(ty: &FieldType, value: &Value) -> JsValue {
    match (ty, value) {
        (FieldType::Option { of }, some) if *some != Value::Null => to_js(of, some),
        (FieldType::List { of, .. } | FieldType::Array { of, .. }, Value::List(items)) => {
            items.iter().map(|item| to_js(of, item)).collect::<Array>().into()
        }
        (FieldType::Tuple { items: types }, Value::List(items)) => {
            types.iter().zip(items).map(|(ty, item)| to_js(ty, item)).collect::<Array>().into()
        }
        (FieldType::Struct { fields: types }, Value::Struct(fields)) => {
            let both = types.iter().zip(fields);
            object(both.map(|(field, (name, value))| (&name[..], to_js(&field.ty, value))))
        }
        (FieldType::Enum { variants }, Value::Variant(name, data)) => {
            match variants.iter().find(|variant| variant.name == *name).map(|variant| &variant.ty) {
                None | Some(FieldType::Unit) => name.into(),
                Some(ty) => object([(&name[..], to_js(ty, data))]),
            }
        }
        (_, value) => leaf(value),
    }
}

fn leaf(value: &Value) -> JsValue {
    match value {
        Value::Bool(v) => (*v).into(),
        Value::Int(v) if v.abs() <= SAFE_MAX => (*v as f64).into(),
        Value::Int(v) => BigInt::from(*v).into(),
        Value::Float(v) => (*v).into(),
        Value::String(v) => v.into(),
        Value::Entity(id) => (*id).into(),
        // The rest has parts, and its type says so.
        Value::Null | Value::List(_) | Value::Struct(_) | Value::Variant(..) => JsValue::NULL,
    }
}

/// Why something is no value at all, whatever the type.
pub(crate) struct FromJsError {
    pub(crate) problem: String,
}

/// A value from the page. Whether it fits its type is the session's to say.
pub(crate) fn from_js(value: &JsValue) -> Result<Value, FromJsError> {
    read(value, TYPE_DEPTH_MAX + 1)
}

fn read(value: &JsValue, depth: usize) -> Result<Value, FromJsError> {
    let Some(depth) = depth.checked_sub(1) else {
        let problem = format!("is nested deeper than {TYPE_DEPTH_MAX} levels");
        return Err(FromJsError { problem });
    };
    if value.is_null() || value.is_undefined() {
        return Ok(Value::Null);
    }
    if let Some(v) = value.as_bool() {
        return Ok(Value::Bool(v));
    }
    if let Some(v) = value.as_f64() {
        let whole = v.fract() == 0.0 && v.abs() <= SAFE_MAX as f64;
        return Ok(if whole { Value::Int(v as i128) } else { Value::Float(v) });
    }
    if let Some(v) = value.as_string() {
        return Ok(Value::String(v));
    }
    if let Some(v) = value.dyn_ref::<BigInt>() {
        let wide = v.clone().try_into().map(Value::Int);
        return wide.map_err(|_| FromJsError { problem: "is too large a number".into() });
    }
    if Array::is_array(value) {
        return list(value.unchecked_ref(), depth);
    }
    if ArrayBuffer::is_view(value) {
        return list(&Array::from(value), depth);
    }
    if value.is_object() {
        return fields(value.unchecked_ref(), depth);
    }
    let kind = value.js_typeof().as_string().unwrap_or_default();
    Err(FromJsError { problem: format!("holds a {kind}, which no game takes") })
}

fn list(items: &Array, depth: usize) -> Result<Value, FromJsError> {
    items.iter().map(|item| read(&item, depth)).collect::<Result<_, _>>().map(Value::List)
}

fn fields(object: &Object, depth: usize) -> Result<Value, FromJsError> {
    let mut fields = Vec::new();
    for entry in Object::entries(object) {
        let entry: Array = entry.unchecked_into();
        let (name, value) = (entry.get(0), entry.get(1));
        // As in JSON, a field that is undefined is not there.
        if !value.is_undefined() {
            fields.push((name.as_string().unwrap_or_default(), read(&value, depth)?));
        }
    }
    Ok(Value::Struct(fields))
}
