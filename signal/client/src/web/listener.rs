//! Callbacks of the browser's objects that end with whoever set them.

use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use web_sys::{Event, EventTarget};

/// An event listener. Dropped, it hears no more.
pub(super) struct Listener {
    target: EventTarget,
    event: &'static str,
    closure: Closure<dyn Fn(Event)>,
}

impl Listener {
    /// Calls `handle` with each event of this name, which has the type `E`.
    pub(super) fn new<E: JsCast>(
        target: &EventTarget,
        event: &'static str,
        handle: impl Fn(E) + 'static,
    ) -> Self {
        let closure = Closure::<dyn Fn(Event)>::new(move |event: Event| {
            handle(event.unchecked_into());
        });
        target
            .add_event_listener_with_callback(event, closure.as_ref().unchecked_ref())
            .expect("a closure is a function");
        Self { target: target.clone(), event, closure }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let callback = self.closure.as_ref().unchecked_ref();
        // It was added, so there is nothing that could fail.
        let _ = self.target.remove_event_listener_with_callback(self.event, callback);
    }
}
