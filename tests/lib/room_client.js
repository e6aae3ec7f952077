// Connects to the events of a room. Keeps every message in order, and finds the answers to its commands.

import WebSocket from "ws";
import { waitFor } from "./wait.js";

export class RoomClient {
  #socket;
  #ids = 0;
  /** Holds every message, oldest first. */
  messages = [];
  /** Holds `{ code, reason }` once the connection is closed. */
  closed = null;
  /** Holds the HTTP status if the connection was refused. */
  refused = null;

  /**
   * Connects and waits for the first message or the refusal. docs/ROOMS.md lists the fields of `query`, and `ws` has the
   * `options` of a socket.
   */
  static async join(gateway, room, query = {}, options = {}) {
    const client = new RoomClient();
    const url = `${gateway.httpUrl.replace("http", "ws")}/api/v1/rooms/${room}/events?${new URLSearchParams(query)}`;
    client.#socket = new WebSocket(url, options);
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

  /** Returns the events in order. */
  get events() {
    return this.messages.filter(({ type }) => type === "event");
  }

  get lastNumber() {
    return this.events.at(-1)?.number ?? this.hello.number;
  }

  /** Returns the query with which this person comes back after the last event that this client has seen. */
  get asTheSame() {
    const { you, epoch } = this.hello;
    return { person: you.person, key: you.key, epoch, after: this.lastNumber };
  }

  send(text) {
    this.#socket.send(text);
  }

  /** Sends a command and returns its answer. */
  async ask(command) {
    const id = ++this.#ids;
    this.send(JSON.stringify({ type: "command", id, command }));
    return waitFor(`the answer to ${command.kind}`, () => this.messages.find((message) => message.type === "answer" && message.id === id), {
      everyMs: 5,
    });
  }

  /** Returns the first event of `kind` that fits. Waits for it if it has not come yet. */
  async event(kind, fits = () => true, options = {}) {
    const found = () => this.events.find(({ event }) => event.kind === kind && fits(event))?.event;
    return waitFor(`${kind} (heard: ${this.events.map(({ event }) => event.kind)})`, found, { everyMs: 10, ...options });
  }

  /** Waits until `count` tickets have come, and returns the latest. */
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
