// A session's frames over a WebSocket.

import { type Carried, type Frame, GIVEN_UP, LEFT, type Transport } from "../transport.js";

const SUBPROTOCOL = "heliograph.v1";
const OPEN = 1;

/** A connection by WebSocket. */
export class SocketTransport implements Transport {
  readonly name = "websocket";
  readonly quietMs = 0;
  readonly acknowledges = false;
  #socket: WebSocket;

  constructor(carried: Carried) {
    const socket = new WebSocket(carried.endpoint.socket, SUBPROTOCOL);
    socket.onopen = () => carried.opened();
    socket.onmessage = ({ data }) => carried.received(String(data));
    socket.onclose = ({ code, reason }) => carried.closed(code, reason);
    this.#socket = socket;
  }

  send(frame: Frame): void {
    if (this.#socket.readyState === OPEN) this.#socket.send(JSON.stringify(frame));
  }

  close(code: number = GIVEN_UP): void {
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(code);
  }

  leave(frames: Frame[]): void {
    for (const frame of frames) this.send(frame);
    this.close(LEFT);
  }
}
