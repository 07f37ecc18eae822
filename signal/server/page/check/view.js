// The rows on the screen, the verdict above them, and what a screen reader is told.

/** How each state is called where it can't be seen. */
const STATES = {
  waiting: "not begun",
  running: "being checked",
  fine: "fine",
  slow: "slow",
  limited: "limited",
  failed: "failed",
  unknown: "can't tell",
  absent: "not offered",
};

const NO_FACTS = [
  ["Set up", "–"],
  ["Round trip", "–"],
  ["Loss", "–"],
  ["Rate", "–"],
];

/**
 * One row: what is checked, and what came of it. Its attribute `data-state` is one of those above;
 * tests and scripts may rely on it, and on the row's `id`.
 */
export class Row {
  constructor(list, { id, title, about, url, hasFacts = false }) {
    const template = document.getElementById("row");
    this.item = template.content.firstElementChild.cloneNode(true);
    this.item.id = id;
    this.parts = Object.fromEntries(
      ["value", "text", "facts", "url"].map((name) => [name, this.item.querySelector(`.${name}`)]),
    );
    this.title = title;
    this.about = about;
    this.url = url;
    this.hasFacts = hasFacts;
    this.item.querySelector("h3").textContent = title;
    for (const name of ["facts", "url"]) this.parts[name].hidden = !hasFacts;
    this.parts.url.textContent = url ?? "";
    this.reset();
    list.append(this.item);
  }

  /** Forgets what came of it. */
  reset() {
    this.judgement = null;
    this.#show({ state: "waiting", value: "", text: this.about });
  }

  /** Says what is being done; without words, what it is about. */
  begin(text = this.about) {
    this.judgement = null;
    this.#show({ state: "running", value: "", text });
  }

  end(judgement) {
    this.judgement = judgement;
    this.#show(judgement);
  }

  remove() {
    this.item.remove();
  }

  /** For the report. */
  get told() {
    return { title: this.title, url: this.url, ...this.judgement };
  }

  #show({ state, value, text, facts }) {
    const { parts } = this;
    this.item.dataset.state = state;
    parts.value.replaceChildren(hidden(`${STATES[state]} `), value);
    parts.text.textContent = text;
    if (!this.hasFacts) return;
    parts.facts.replaceChildren(...(facts ?? NO_FACTS).map(fact));
  }
}

function fact([name, figure]) {
  const group = document.createElement("div");
  const [term, value] = ["dt", "dd"].map((tag) => document.createElement(tag));
  term.textContent = name;
  value.textContent = figure;
  group.append(term, value);
  return group;
}

function hidden(text) {
  const span = document.createElement("span");
  span.className = "hidden";
  span.textContent = text;
  return span;
}

/**
 * The verdict above the rows. Its attribute `data-level` is `running` or the verdict's level;
 * `data-direct` and `data-relayed` say which ways the picture beside it shows open.
 */
export class Headline {
  constructor() {
    const of = (id) => document.getElementById(id);
    this.section = of("verdict");
    this.parts = { title: of("title"), text: of("text"), advice: of("advice") };
    this.progress = of("progress");
    this.form = of("token-form");
    this.copy = of("copy");
    this.buttons = [this.copy, of("again")];
  }

  /** While it runs: only the bar moves, for a screen reader isn't told of each step. */
  begin() {
    this.progress.value = 0;
    this.form.hidden = true;
    this.#showWays({});
    this.#show({
      level: "running",
      title: "Checking…",
      text: "Each part by itself, as a call or a game would use it.",
      advice: "",
    });
  }

  /** How much of it is done, 0 to 1. */
  advance(share) {
    this.progress.value = share;
  }

  end(verdict, ways) {
    this.progress.value = 1;
    this.form.hidden = verdict.level !== "ask";
    this.copy.classList.toggle("quiet", verdict.level === "ask");
    this.#showWays(ways);
    this.#show(verdict);
  }

  #showWays({ direct = false, relayed = false }) {
    this.section.dataset.direct = direct ? "yes" : "no";
    this.section.dataset.relayed = relayed ? "yes" : "no";
  }

  #show({ level, title, text, advice }) {
    this.section.dataset.level = level;
    for (const button of this.buttons) button.disabled = level === "running";
    for (const [name, said] of Object.entries({ title, text, advice }))
      this.parts[name].textContent = said;
  }
}
