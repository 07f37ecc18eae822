//! Whether this machine is in another network than before.

use super::listener::Listener;
use js_sys::{Reflect, global};
use std::cell::RefCell;
use std::rc::Rc;
use tokio::sync::Notify;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Event, EventTarget};

/// The network that this machine is in, as far as the browser tells.
pub(crate) struct Network {
    changed: Rc<Notify>,
    _listeners: Vec<Listener>,
}

impl Network {
    pub(crate) fn new() -> Self {
        let changed = Rc::new(Notify::new());
        let page: EventTarget = global().unchecked_into();
        let back = Rc::clone(&changed);
        let mut listeners = vec![Listener::new(&page, "online", move |_: Event| back.notify_one())];
        if let Some(connection) = connection(&page) {
            listeners.push(on_other_kind(connection, Rc::clone(&changed)));
        }
        Self { changed, _listeners: listeners }
    }

    /// Waits until this machine is in another network. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        self.changed.notified().await;
    }
}

/// `navigator.connection`, where the browser has it.
fn connection(page: &EventTarget) -> Option<EventTarget> {
    let navigator = Reflect::get(page, &"navigator".into()).ok()?;
    Reflect::get(&navigator, &"connection".into()).ok()?.dyn_into().ok()
}

/// Tells of another kind of network, such as `wifi` after `cellular`. The browser's event comes
/// for other figures of the same network.
fn on_other_kind(connection: EventTarget, changed: Rc<Notify>) -> Listener {
    let target = connection.clone();
    let last = RefCell::new(kind(&connection));
    Listener::new(&target, "change", move |_: Event| {
        let kind = kind(&connection);
        if last.replace(kind.clone()) != kind {
            changed.notify_one();
        }
    })
}

fn kind(connection: &EventTarget) -> JsValue {
    Reflect::get(connection, &"type".into()).unwrap_or(JsValue::UNDEFINED)
}
