// The admin API: requests with the token, and the stream of what goes on.

const KEY = "heliograph.admin-token";

/** The token is unknown to the server, or was forgotten. */
export class NotAllowed extends Error {}

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (text) => sessionStorage.setItem(KEY, text),
  forget: () => sessionStorage.removeItem(KEY),
};

/** Asks, and gives what is answered; `null` for what isn't there. */
export async function ask(method, path, body) {
  const response = await request(method, path, body);
  if (response.status === 404) return null;
  return response.json();
}

/** Calls `take` with each event, until the server ends the stream or the signal aborts it. */
export async function follow(take, signal) {
  const response = await request("GET", "v1/live", undefined, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) take(JSON.parse(event.slice("data: ".length)));
  }
}

async function request(method, path, body, signal) {
  const headers = { authorization: `Bearer ${token.get()}` };
  const options = { method, headers, signal, cache: "no-store" };
  if (body !== undefined) options.body = JSON.stringify(body);
  const response = await fetch(path, options);
  if (response.ok || response.status === 404) return response;
  const problem = await response.json().catch(() => ({ text: response.statusText }));
  if (response.status === 401 || response.status === 429) throw new NotAllowed(problem.text);
  throw new Error(problem.text);
}
