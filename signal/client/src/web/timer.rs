//! The page's clock and its timers.

use heliograph_base::Time;
use std::time::Duration;
use tokio::sync::oneshot;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::{Closure, wasm_bindgen};

/// The longest timeout of `setTimeout`: a longer one ends at once.
const TIMEOUT_MS_MAX: f64 = 2_147_483_647.0;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;

    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(handler: &Closure<dyn FnMut()>, ms: f64) -> JsValue;

    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(id: &JsValue);
}

/// The time, counted from when the page was opened.
pub(crate) fn now() -> Time {
    Time::after_start(Duration::from_secs_f64(performance_now() / 1000.0))
}

/// Waits until then.
pub(crate) async fn sleep_until(time: Time) {
    loop {
        let left = time.since(now());
        if left.is_zero() {
            return;
        }
        sleep(left).await;
    }
}

/// Waits so long, or for some weeks.
async fn sleep(duration: Duration) {
    let (fire, fired) = oneshot::channel();
    let handler = Closure::once(move || {
        // Who waited may have gone on.
        let _ = fire.send(());
    });
    let ms = (duration.as_secs_f64() * 1000.0).ceil().min(TIMEOUT_MS_MAX);
    let _timer = Timer { id: set_timeout(&handler, ms), _handler: handler };
    let _ = fired.await;
}

/// A timer that runs. Dropped, it doesn't any more.
struct Timer {
    id: JsValue,
    _handler: Closure<dyn FnMut()>,
}

impl Drop for Timer {
    fn drop(&mut self) {
        clear_timeout(&self.id);
    }
}
