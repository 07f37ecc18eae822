// The chat log. Everything in it is set as text, never as markup.

/** Lines that are kept; the oldest go first. */
const LINES_MAX = 200;

/**
 * Appends lines to an ordered list and keeps it scrolled to the end, unless somebody scrolled back.
 */
export class ChatLog {
  constructor(list) {
    this.list = list;
  }

  /** A message. `className` colors the name. */
  say(name, text, className) {
    const who = document.createElement("bdi");
    who.className = `who ${className}`;
    who.textContent = name;
    const what = document.createElement("bdi");
    what.className = "what";
    what.textContent = text;
    this.#append("line", who, " ", what);
  }

  /** A note of the page itself. */
  note(text) {
    this.#append("note", text);
  }

  #append(className, ...content) {
    const { list } = this;
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    const item = document.createElement("li");
    item.className = className;
    item.append(...content);
    list.append(item);
    while (list.childElementCount > LINES_MAX) list.firstElementChild.remove();
    if (atEnd) list.scrollTop = list.scrollHeight;
  }
}
