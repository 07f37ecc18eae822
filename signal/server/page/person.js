// Somebody else in the room, as the page shows them.

import { Light } from "./light.js";
import { NAME_LENGTH_MAX, cleanText } from "./names.js";

/** How long a link may be in the making before we ask what is wrong. */
const SILENCE_MS = 15_000;

/** For how long the answer to that is good. */
const DIAGNOSIS_MS = 10_000;

/** A `peer` of the SDK, with what has come from it and what is known of the link. */
export class Person {
  constructor(peer, { hue, now }) {
    this.peer = peer;
    this.hue = hue;
    this.light = new Light();
    /** How the packets go, as the SDK says; `null` while there is no path. */
    this.path = null;
    /** Whether there was a link once. */
    this.greeted = false;
    /** Since when there is none; `null` if there is one. */
    this.unlinkedAt = now;
    /** Why there is none, as the SDK says; `null` before it was asked. */
    this.diagnosis = null;
    this.askedAt = -Infinity;
  }

  /** What this person wants to be called. */
  get name() {
    const { metadata, id } = this.peer;
    return cleanText(metadata.name, NAME_LENGTH_MAX) || `peer ${id.slice(0, 4)}`;
  }

  get linked() {
    return this.peer.state === "connected";
  }

  /** Takes note that the link is in another state. */
  update(now) {
    if (!this.linked) {
      this.unlinkedAt ??= now;
      return;
    }
    this.greeted = true;
    this.unlinkedAt = null;
    this.diagnosis = null;
    this.askedAt = -Infinity;
  }

  /** Whether to ask why there is no link. */
  isPuzzling(now) {
    const { state, away } = this.peer;
    const isSlow = state === "connecting" && now - this.unlinkedAt > SILENCE_MS;
    return (state === "failed" || isSlow) && !away && now - this.askedAt > DIAGNOSIS_MS;
  }
}
