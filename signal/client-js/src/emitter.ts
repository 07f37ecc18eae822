// Typed events. No `Event` objects: a listener gets what there is to know.

/** Takes one kind of event. */
export type Listener<T> = (event: T) => void;

/** How many events of a held type wait for their first listener; the oldest are let go. */
const HELD_MAX = 256;

/** Tells listeners what happens. `Events` maps the name of an event to what its listeners get. */
export class Emitter<Events extends object> {
  #listeners = new Map<keyof Events, Set<Listener<never>>>();
  #held: Map<keyof Events, unknown[]>;

  /** Events of the types in `held` wait for their first listener, so that it misses none. */
  protected constructor(held: readonly (keyof Events)[] = []) {
    this.#held = new Map(held.map((type) => [type, []]));
  }

  /** Calls `listener` for each event of this type; the result ends that. */
  on<Type extends keyof Events>(type: Type, listener: Listener<Events[Type]>): () => void {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners.add(listener as Listener<never>));
    if (this.#held.get(type)?.length) queueMicrotask(() => this.#release(type));
    return () => this.off(type, listener);
  }

  /** Calls `listener` for the next event of this type only; the result ends that. */
  once<Type extends keyof Events>(type: Type, listener: Listener<Events[Type]>): () => void {
    const end = this.on(type, (event) => {
      end();
      listener(event);
    });
    return end;
  }

  /** Calls `listener` no more. */
  off<Type extends keyof Events>(type: Type, listener: Listener<Events[Type]>): void {
    this.#listeners.get(type)?.delete(listener as Listener<never>);
  }

  /** Tells an event. A listener that throws disturbs no other: its error is reported. */
  protected emit<Type extends keyof Events>(type: Type, event: Events[Type]): void {
    const held = this.#held.get(type);
    if (held && (held.length > 0 || !this.#listeners.get(type)?.size)) {
      if (held.length === HELD_MAX) held.shift();
      held.push(event);
      return;
    }
    this.#tell(type, event);
  }

  /** Nobody is told anything any more. */
  protected silence(): void {
    this.#listeners.clear();
    this.#held.clear();
  }

  #release(type: keyof Events): void {
    const held = this.#held.get(type) ?? [];
    while (held.length > 0 && this.#listeners.get(type)?.size) {
      const event = held[0];
      this.#tell(type, event as Events[typeof type]);
      held.shift();
    }
  }

  #tell<Type extends keyof Events>(type: Type, event: Events[Type]): void {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) {
      try {
        (listener as Listener<Events[Type]>)(event);
      } catch (error) {
        reportError(error);
      }
    }
  }
}
