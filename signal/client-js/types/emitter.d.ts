/** Takes one kind of event. */
export type Listener<T> = (event: T) => void;
/** Tells listeners what happens. `Events` maps the name of an event to what its listeners get. */
export declare class Emitter<Events extends object> {
    #private;
    /** Events of the types in `held` wait for their first listener, so that it misses none. */
    protected constructor(held?: readonly (keyof Events)[]);
    /** Calls `listener` for each event of this type; the result ends that. */
    on<Type extends keyof Events>(type: Type, listener: Listener<Events[Type]>): () => void;
    /** Calls `listener` for the next event of this type only; the result ends that. */
    once<Type extends keyof Events>(type: Type, listener: Listener<Events[Type]>): () => void;
    /** Calls `listener` no more. */
    off<Type extends keyof Events>(type: Type, listener: Listener<Events[Type]>): void;
    /** Tells an event. A listener that throws disturbs no other: its error is reported. */
    protected emit<Type extends keyof Events>(type: Type, event: Events[Type]): void;
    /** Nobody is told anything any more. */
    protected silence(): void;
}
