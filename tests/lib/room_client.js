// A client of a room's events: what it was told, in order, and answers to what it asked.

import WebSocket from "ws";
import { waitFor } from "./wait.js";

export class RoomClient {
  #socket;
  #ids = 0;
  /** Every message, oldest first. */
  messages = [];
  /** `{ code, reason }` once closed. */
  closed = null;
  /** The HTTP status, if it was refused. */
  refused = null;

  /** Answers when the first message is there, or when it was refused. `query` is of docs/ROOMS.md. */
  static async join(gateway, room, query = {}) {
    const client = new RoomClient();
    const url = `${gateway.httpUrl.replace("http", "ws")}/api/v1/rooms/${room}/events?${new URLSearchParams(query)}`;
    client.#socket = new WebSocket(url);
    client.#socket.on("message", (text) => client.messages.push({ heardAt: performance.now(), ...JSON.parse(text) }));
    client.#socket.on("close", (code, reason) => {
      client.closed ??= { code, reason: String(reason) };
    });
    client.#socket.on("unexpected-response", (_, response) => {
      client.refused = response.statusCode;
      response.destroy();
    });
    client.#socket.on("error", () => {});
    await waitFor(`the first message of ${room}`, () => client.messages.length > 0 || client.refused || client.closed);
    return client;
  }

  get hello() {
    return this.messages[0];
  }

  get person() {
    return this.hello.you.person;
  }

  /** Events in order. */
  get events() {
    return this.messages.filter(({ type }) => type === "event");
  }

  get lastNumber() {
    return this.events.at(-1)?.number ?? this.hello.number;
  }

  /** What it says of itself to come back, after the last event it has seen. */
  get asTheSame() {
    const { you, epoch } = this.hello;
    return { person: you.person, key: you.key, epoch, after: this.lastNumber };
  }

  send(text) {
    this.#socket.send(text);
  }

  /** The answer to a command. */
  async ask(command) {
    const id = ++this.#ids;
    this.send(JSON.stringify({ type: "command", id, command }));
    return waitFor(`the answer to ${command.kind}`, () => this.messages.find((message) => message.type === "answer" && message.id === id), {
      everyMs: 5,
    });
  }

  /** The first event of `kind` that fits, said already or still to come. */
  async event(kind, fits = () => true, options = {}) {
    const found = () => this.events.find(({ event }) => event.kind === kind && fits(event))?.event;
    return waitFor(`${kind} (heard: ${this.events.map(({ event }) => event.kind)})`, found, { everyMs: 10, ...options });
  }

  /** The latest ticket, once there are `count`. */
  async ticket(count = 1) {
    const tickets = () => this.messages.filter(({ type }) => type === "ticket");
    await waitFor(`ticket ${count}`, () => tickets().length >= count, { everyMs: 5 });
    return tickets().at(-1).ticket;
  }

  async stop() {
    this.#socket.close();
    await waitFor("the connection to close", () => this.#socket.readyState === WebSocket.CLOSED);
  }
}
