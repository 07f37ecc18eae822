// What is known of the candidates of a link, for reports and diagnoses.

/** How many of each type there are. */
export type Counts = Partial<Record<"host" | "srflx" | "prflx" | "relay", number>>;

/** An error of gathering, as browsers report it. */
export interface GatherError {
  url: string;
  code: number;
  text: string;
}

/** How many errors are kept. */
const ERRORS_MAX = 4;

/** A report has little room: longer texts are cut. */
const TEXT_LENGTH_MAX = 120;

/** Counts candidates and keeps the last errors. */
export class Candidates {
  readonly local: Counts = {};
  readonly remote: Counts = {};
  readonly errors: GatherError[] = [];
  /** The outside address of each socket that a STUN server has seen. */
  #mapped = new Map<string, string>();
  /** Whether one socket was seen at several outside addresses. */
  varies = false;

  /** One of ours was gathered. */
  gathered(candidate: RTCIceCandidate): void {
    count(this.local, candidate.candidate);
    const { type, relatedAddress, relatedPort, address, port } = candidate;
    // Browsers that hide addresses say 0.
    if (type !== "srflx" || !relatedPort) return;
    const [socket, outside] = [`${relatedAddress} ${relatedPort}`, `${address} ${port}`];
    const before = this.#mapped.get(socket) ?? outside;
    this.varies ||= before !== outside;
    this.#mapped.set(socket, outside);
  }

  /** One of theirs has come. */
  came(candidate: RTCIceCandidateInit): void {
    count(this.remote, candidate.candidate ?? "");
  }

  /** Gathering met an error. */
  failed({ url, errorCode, errorText }: RTCPeerConnectionIceErrorEvent): void {
    if (this.errors.length === ERRORS_MAX) this.errors.shift();
    const cut = (text: string | null) => (text ?? "").slice(0, TEXT_LENGTH_MAX);
    this.errors.push({ url: cut(url), code: errorCode, text: cut(errorText) });
  }
}

function count(counts: Counts, candidate: string): void {
  const type = / typ (host|srflx|prflx|relay)\b/.exec(candidate)?.[1] as keyof Counts | undefined;
  if (type) counts[type] = (counts[type] ?? 0) + 1;
}
