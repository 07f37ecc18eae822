//! The browser's dictionaries, which have the form of our JSON, and its exceptions.

use crate::link::Failed;
use js_sys::JSON;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast, JsValue};

/// The browser's form of a value.
pub(super) fn to_js<T: JsCast>(value: &impl Serialize) -> T {
    let text = serde_json::to_string(value).expect("strings and numbers have a JSON form");
    JSON::parse(&text).expect("serde_json writes JSON").unchecked_into()
}

/// Our form of a browser's value.
pub(super) fn from_js<T: DeserializeOwned>(value: &JsValue) -> Result<T, Failed> {
    let text = JSON::stringify(value)?;
    serde_json::from_str(&String::from(text)).map_err(|error| Failed(error.to_string()))
}

impl From<JsValue> for Failed {
    fn from(thrown: JsValue) -> Self {
        match thrown.dyn_ref::<js_sys::Error>() {
            Some(error) => Self(error.to_string().into()),
            None => Self(format!("{thrown:?}")),
        }
    }
}
