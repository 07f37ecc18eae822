/** Any JSON value. */
export type Json = null | boolean | number | string | Json[] | {
    [name: string]: Json;
};
/** A JSON object. */
export type JsonObject = {
    [name: string]: Json;
};
/** Why somebody is no longer in the room; a newer server may have more. */
export type LeaveReason = "left" | "lost" | "vanished" | "slow" | "misbehaved" | "expired" | "replaced" | "kicked" | "closed" | (string & {});
/** Another peer in the room. */
export interface MemberFrame {
    peer: string;
    metadata: JsonObject;
    polite: boolean;
    offers: boolean;
    away?: boolean;
    role?: string;
}
/** What the members of a room must keep to. */
export interface Rules {
    /** The most members. */
    capacity: number;
    /** Nobody else may join. */
    sealed: boolean;
    /** It is in the list of rooms. */
    public: boolean;
    /** Newcomers must know a password. */
    locked: boolean;
    /** Who may set the state. */
    writers: "all" | "host";
    /** How many broadcasts are kept for newcomers. */
    history: number;
}
/** A room's state. */
export interface RoomStateFrame {
    /** How often it was set. */
    version: number;
    /** What it is. */
    value: Json;
}
/** What else there is to know of a room with rules, a host or a state. */
export interface AboutFrame {
    rules?: Rules;
    host?: string;
    term?: number;
    state?: RoomStateFrame;
    events?: BroadcastFrame[];
    last_event?: number;
    missed?: boolean;
}
/** What all numbered frames have. */
interface Numbers {
    seq?: number;
    ack?: number;
}
/** A seat: `welcome`, or `resync` without ICE servers. */
export interface WelcomeFrame extends Numbers {
    type: "welcome" | "resync";
    room: string;
    peer: string;
    session: string;
    key: string;
    grace_s: number;
    members: MemberFrame[];
    ice_servers?: RTCIceServer[];
    ice_ttl_s?: number;
    about?: AboutFrame;
    role?: string;
    token_ttl_s?: number;
    heartbeat: {
        interval_s: number;
        timeout_s: number;
    };
    limits?: {
        frame_bytes_max?: number;
        unacked_bytes_max?: number;
    };
}
/** A refused request. */
export interface ErrorFrame extends Numbers {
    type: "error";
    code: string;
    text: string;
    retry: boolean;
    retry_after_ms?: number;
    state?: RoomStateFrame;
    id?: number;
}
/** What a member said to several. */
export interface BroadcastFrame extends Numbers {
    type: "broadcast";
    from: string;
    data: Json;
    event?: number;
}
/** Frames about the room that are passed on as they come, once each. */
export type RoomFrame = ({
    type: "joined";
} & MemberFrame & Numbers) | ({
    type: "left";
    peer: string;
    reason: LeaveReason;
} & Numbers) | ({
    type: "away" | "back";
    peer: string;
} & Numbers) | ({
    type: "metadata";
    peer: string;
    metadata: JsonObject;
} & Numbers) | ({
    type: "host";
    peer?: string;
    term: number;
} & Numbers) | ({
    type: "signal";
    from: string;
    data: unknown;
} & Numbers) | BroadcastFrame | ({
    type: "state";
    by: string;
    version: number;
    value: Json;
} & Numbers) | ({
    type: "rules";
} & Rules & Numbers) | ({
    type: "ice";
    ice_servers: RTCIceServer[];
    ice_ttl_s: number;
} & Numbers);
/** All frames of the server that this client knows. */
export type ServerFrame = WelcomeFrame | ErrorFrame | RoomFrame | ({
    type: "presence";
    changes: RoomFrame[];
} & Numbers) | ({
    type: "resumed";
    ack: number;
} & Numbers) | ({
    type: "ack";
    ack: number;
} & Numbers) | ({
    type: "token";
    id?: number;
    expires_in_s?: number;
} & Numbers) | ({
    type: "pong";
    id?: number;
} & Numbers) | ({
    type: "diagnosis";
    id?: number;
} & Numbers) | ({
    type: "goaway";
    deadline_s: number;
    url?: string;
} & Numbers) | ({
    type: "close";
    code: number;
    text: string;
} & Numbers);
/** Whether a frame is one about the room. */
export declare function isRoomFrame(frame: ServerFrame): frame is RoomFrame;
/** Whether a frame may stand in a `presence`. */
export declare function isPresence(frame: RoomFrame): boolean;
/** Reads a text frame; `null` if it is none. */
export declare function readFrame(text: string): ServerFrame | null;
export {};
