// Firefox, by the few calls of Playwright's that tests of the SDK make: Playwright drives only a Firefox
// of its own.

import puppeteer from "puppeteer-core";

const FIREFOX = process.env.FIREFOX ?? "/usr/bin/firefox-esr";

/** Loopback is a network like any other, as in Chromium: the relay of a test is there. */
const PREFERENCES = { "media.peerconnection.ice.loopback": true };

/** Starts Firefox with a fresh profile. */
export async function startFirefox() {
  const browser = await puppeteer.launch({ browser: "firefox", executablePath: FIREFOX, extraPrefsFirefox: PREFERENCES });
  return {
    newContext: async () => context(await browser.createBrowserContext()),
    close: () => browser.close(),
  };
}

function context(own) {
  return {
    newPage: async () => page(await own.newPage()),
    close: () => own.close(),
  };
}

function page(own) {
  return {
    on: (event, listener) => own.on(event, listener),
    addInitScript: (script) => own.evaluateOnNewDocument(script),
    goto: (url) => own.goto(url),
    evaluate: (play, argument) => own.evaluate(play, argument),
    // The page is left first: whose tab its driver closes may lose its last request.
    close: async () => {
      await own.goto("about:blank");
      await own.close();
    },
  };
}
