// The operator's page: signs in, follows what goes on, and asks before it does anything grave.

import { NotAllowed, ask, follow, token } from "./api.js";
import { Board } from "./board.js";
import { span } from "./format.js";
import { Rooms } from "./rooms.js";

/** How long to wait before a lost stream is asked for again. */
const RETRY_MS = 2000;
/** After how many events rooms are listed anew though nobody joined or left. */
const REFRESH_EVENTS = 5;

const byId = (id) => document.getElementById(id);
const board = new Board();
const rooms = new Rooms(confirm);
let following = null;
let seen = { at: 0, key: "" };

byId("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set(byId("token").value.trim());
  byId("token").value = "";
  open();
});
byId("leave").addEventListener("click", () => close(""));
byId("drain").addEventListener("click", drain);
if (token.get()) open();

/** Shows the board and keeps it fresh, until the token is forgotten. */
async function open() {
  following?.abort();
  const mine = (following = new AbortController());
  let wasDraining = false;
  while (!mine.signal.aborted) {
    try {
      await follow((event) => {
        wasDraining = event.left_s !== null;
        show(event);
      }, mine.signal);
    } catch (error) {
      if (error instanceof NotAllowed) return close(error.message);
    }
    if (mine.signal.aborted) return;
    say("lost", wasDraining ? "The program has ended" : "The program doesn't answer");
    await new Promise((resume) => setTimeout(resume, RETRY_MS));
  }
}

function close(trouble) {
  following?.abort();
  token.forget();
  for (const part of ["board", "acts"]) byId(part).hidden = true;
  byId("enter").hidden = false;
  byId("enter-trouble").hidden = !trouble;
  byId("enter-trouble").textContent = trouble;
  say("closed", "Not signed in");
}

function show(event) {
  byId("enter").hidden = true;
  for (const part of ["board", "acts"]) byId(part).hidden = false;
  if (event.left_s === null) say("live", `Running for ${span(event.uptime_s)}`);
  else say("draining", `Draining: ends in ${span(event.left_s)} at the latest`);
  board.show(event);
  if (!event.signal) return;
  const key = `${event.signal.joins} ${event.signal.members} ${event.signal.rooms}`;
  const isDue = key !== seen.key || seen.at >= REFRESH_EVENTS || rooms.chosen;
  seen = { at: isDue ? 0 : seen.at + 1, key };
  if (isDue && !document.hidden) rooms.refresh().catch(() => {}); // The stream tells of trouble.
}

function say(state, text) {
  byId("status").dataset.state = state;
  if (byId("status-text").textContent !== text) byId("status-text").textContent = text;
}

async function drain() {
  await confirm({
    title: "Drain the program?",
    text: "Clients are told to go elsewhere, and nobody can join. Then the program ends.",
    yes: "Drain",
    fields: true,
    act: () => {
      const url = byId("ask-url").value.trim();
      const order = { within_s: Number(byId("ask-within").value), ...(url && { url }) };
      return ask("POST", "v1/drain", order);
    },
  });
}

/** Asks before `act` is done; what goes wrong is told in the dialog. */
function confirm({ title, text, yes, act, fields = false }) {
  const dialog = byId("ask");
  byId("ask-title").textContent = title;
  byId("ask-text").textContent = text;
  byId("ask-yes").textContent = yes;
  byId("ask-fields").hidden = !fields;
  byId("ask-within").value = "30";
  byId("ask-url").value = "";
  byId("ask-trouble").hidden = true;
  return new Promise((done) => {
    const end = new AbortController();
    const { signal } = end;
    byId("ask-no").addEventListener("click", () => dialog.close(), { signal });
    dialog.addEventListener("close", () => (end.abort(), done()), { signal });
    dialog.firstElementChild.addEventListener(
      "submit",
      (event) => {
        event.preventDefault();
        Promise.resolve(act()).then(
          () => dialog.close(),
          (error) => {
            byId("ask-trouble").textContent = error.message;
            byId("ask-trouble").hidden = false;
          },
        );
      },
      { signal },
    );
    dialog.showModal();
  });
}
