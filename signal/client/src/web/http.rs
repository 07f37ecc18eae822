//! Requests to the server, by `fetch`.

use super::json::to_js;
use crate::Error;
use crate::link::Failed;
use crate::place::Place;
use bytes::Bytes;
use js_sys::{Promise, Uint8Array};
use serde_json::{Map, json};
use signal_core::client::HttpRequest;
use std::io;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::{
    AbortController, ReadableStreamDefaultReader, ReadableStreamReadResult, RequestInit, Response,
};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = fetch)]
    fn fetch(url: &str, init: &RequestInit) -> Promise;
}

/// Makes requests of one server.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    place: Place,
}

/// An answer, whose body comes in parts. Dropped, the rest doesn't come.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// None if there is no body.
    body: Option<ReadableStreamDefaultReader>,
    _request: Request,
}

/// A request. Dropped, it is given up.
struct Request {
    controller: AbortController,
}

impl Http {
    pub(crate) fn new(place: Place) -> Self {
        Self { place }
    }

    /// Makes a request, and waits for the head of the answer.
    pub(crate) async fn fetch(&self, request: &HttpRequest) -> Result<Answer, Error> {
        let HttpRequest { method, path, key, body } = request;
        let Place { is_secure, prefix, .. } = &self.place;
        let scheme = if *is_secure { "https" } else { "http" };
        let url = format!("{scheme}://{}{prefix}/{path}", self.place.authority());
        let mut headers = Map::new();
        if body.is_some() {
            headers.insert("content-type".to_owned(), "application/json".into());
        }
        if let Some(key) = key {
            headers.insert("authorization".to_owned(), format!("Bearer {key}").into());
        }
        let init: RequestInit = to_js(&json!({
            "method": method.as_str(),
            "headers": headers,
            "body": body,
            "cache": "no-store",
            "credentials": "omit",
        }));
        let request = Request::new();
        init.set_signal(Some(&request.controller.signal()));
        let response = fetch(&url, &init).await.map_err(|thrown| Error::Unreachable {
            address: self.place.address(),
            reason: io::Error::other(Failed::from(thrown).to_string()),
        })?;
        let response: Response = response.unchecked_into();
        let body = response.body().map(|body| body.get_reader().unchecked_into());
        Ok(Answer { status: response.status(), body, _request: request })
    }
}

impl Answer {
    /// The next part of the body; none when all has come.
    pub(crate) async fn part(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(body) = &self.body else { return Ok(None) };
        let part = body.read().await;
        let part = part.map_err(|thrown| Error::Lost(Failed::from(thrown).to_string()))?;
        let part: ReadableStreamReadResult = part.unchecked_into();
        if part.get_done() == Some(true) {
            return Ok(None);
        }
        Ok(Some(Bytes::from(Uint8Array::new(&part.get_value()).to_vec())))
    }
}

impl Request {
    fn new() -> Self {
        Self { controller: AbortController::new().expect("every page has AbortController") }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // One that is answered stays so.
        self.controller.abort();
    }
}
