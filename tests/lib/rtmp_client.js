// Is an RTMP client of our own. It sends what ffmpeg cannot send (FFmpeg 5.1 has no enhanced RTMP) or would not send
// (abuse).

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { amf0, readAmf0 } from "./amf0.js";
import { waitFor } from "./wait.js";

const DEFAULT_CHUNK = 128;

/** Cuts a message into chunks of one chunk stream. The first chunk has a full header. */
export function chunks(chunkStream, { timestamp = 0, type, stream = 0, body }, chunkSize = DEFAULT_CHUNK) {
  const head = Buffer.alloc(12);
  head[0] = chunkStream;
  head.writeUIntBE(Math.min(timestamp, 0xffffff), 1, 3);
  head.writeUIntBE(body.length, 4, 3);
  head[7] = type;
  head.writeUInt32LE(stream, 8);
  const extended = Buffer.alloc(timestamp >= 0xffffff ? 4 : 0);
  if (extended.length) extended.writeUInt32BE(timestamp);
  const out = [Buffer.concat([head, extended, body.subarray(0, chunkSize)])];
  for (let at = chunkSize; at < body.length; at += chunkSize) {
    out.push(Buffer.concat([Buffer.from([0xc0 | chunkStream]), extended, body.subarray(at, at + chunkSize)]));
  }
  return out;
}

export class RtmpClient {
  #input = Buffer.alloc(0);
  #partial = new Map();
  #chunkIn = DEFAULT_CHUNK;
  #chunkOut = DEFAULT_CHUNK;
  #handshaken = false;
  /** Holds every message from the server: { type, timestamp, stream, body }. */
  messages = [];
  /** Holds the commands and data messages among them, decoded. */
  commands = [];
  closed = false;

  /** Opens the TCP connection. Sends nothing yet. */
  static async open(port) {
    const client = new RtmpClient();
    client.socket = connect(port, "127.0.0.1");
    client.socket.setNoDelay(true);
    client.socket.on("error", () => {});
    client.socket.on("close", () => {
      client.closed = true;
    });
    client.socket.on("data", (chunk) => client.#receive(chunk));
    await once(client.socket, "connect");
    return client;
  }

  async handshake() {
    this.socket.write(Buffer.concat([Buffer.from([3]), Buffer.alloc(8), randomBytes(1528)]));
    await waitFor("S0, S1 and S2", () => this.closed || this.#input.length >= 3073, { everyMs: 5 });
    if (this.closed) throw new Error("closed during the handshake");
    this.socket.write(this.#input.subarray(1, 1537));
    this.#input = this.#input.subarray(3073);
    this.#handshaken = true;
    this.#receive(Buffer.alloc(0));
  }

  write(...buffers) {
    if (!this.closed) this.socket.write(Buffer.concat(buffers));
  }

  send(chunkStream, message) {
    this.write(...chunks(chunkStream, message, this.#chunkOut));
  }

  setChunkSize(size) {
    const body = Buffer.alloc(4);
    body.writeUInt32BE(size);
    this.send(2, { type: 1, body });
    this.#chunkOut = size;
  }

  command(stream, ...values) {
    this.send(3, { type: 20, stream, body: Buffer.concat(values.map(amf0.value)) });
  }

  waitForCommand(what, matches, timeoutMs = 5000) {
    return waitFor(what, () => this.commands.find(matches), {
      timeoutMs,
      everyMs: 5,
      giveUp: () => {
        if (this.closed && !this.commands.some(matches)) throw new Error(`closed before ${what}`);
      },
    });
  }

  /** Sends the handshake, connect and createStream. `fourCcList` announces enhanced RTMP, `more` has further properties. */
  async connect({ fourCcList = null, query = "", app = "live", more = {} } = {}) {
    await this.handshake();
    this.command(0, "connect", 1, {
      app,
      type: "nonprivate",
      flashVer: "FMLE/3.0 (compatible; onmic tests)",
      tcUrl: `rtmp://127.0.0.1:${this.socket.remotePort}/${app}${query}`,
      ...(fourCcList ? { fourCcList } : {}),
      ...more,
    });
    const result = await this.waitForCommand("connect's answer", (c) => /^_(result|error)$/.test(c[0]) && c[1] === 1);
    if (result[0] === "_error") return result;
    this.command(0, "createStream", 2, null);
    const created = await this.waitForCommand("createStream's answer", (c) => c[0] === "_result" && c[1] === 2);
    this.stream = created[3];
    return result;
  }

  /** Publishes and returns the server's onStatus: { level, code, description }. */
  async publish(key) {
    this.command(0, "releaseStream", 3, null, key);
    this.command(0, "FCPublish", 4, null, key);
    this.command(this.stream, "publish", 5, null, key, "live");
    const status = await this.waitForCommand("publish's onStatus", (command) => command[0] === "onStatus");
    return status[3];
  }

  async play(key) {
    this.command(this.stream, "play", 6, null, key);
    const status = await this.waitForCommand("play's onStatus", (command) => command[0] === "onStatus");
    return status[3];
  }

  video(timestamp, body) {
    this.send(6, { type: 9, timestamp, stream: this.stream, body });
  }

  audio(timestamp, body) {
    this.send(4, { type: 8, timestamp, stream: this.stream, body });
  }

  waitForClose(timeoutMs) {
    return waitFor("the server to close the connection", () => this.closed, { timeoutMs });
  }

  async stop() {
    this.socket.destroy();
  }

  #receive(chunk) {
    this.#input = Buffer.concat([this.#input, chunk]);
    if (!this.#handshaken) return;
    while (this.#readChunk());
  }

  #readChunk() {
    const input = this.#input;
    if (input.length < 1) return false;
    const format = input[0] >> 6;
    let chunkStream = input[0] & 63;
    let at = 1;
    if (chunkStream === 0) {
      if (input.length < 2) return false;
      chunkStream = 64 + input[1];
      at = 2;
    }
    const state = this.#partial.get(chunkStream) ?? { parts: [], have: 0 };
    const headLength = [11, 7, 3, 0][format];
    if (input.length < at + headLength) return false;
    const next = { ...state };
    if (format < 3) next.delta = input.readUIntBE(at, 3);
    if (format < 2) {
      next.length = input.readUIntBE(at + 3, 3);
      next.type = input[at + 6];
    }
    if (format === 0) next.stream = input.readUInt32LE(at + 7);
    at += headLength;
    let timestamp = next.delta;
    if (next.delta === 0xffffff) {
      if (input.length < at + 4) return false;
      timestamp = input.readUInt32BE(at);
      at += 4;
    }
    const take = Math.min(next.length - state.have, this.#chunkIn);
    if (input.length < at + take) return false;
    if (state.have === 0) next.timestamp = format === 0 ? timestamp : (state.timestamp ?? 0) + timestamp;
    next.parts = [...state.parts, input.subarray(at, at + take)];
    next.have = state.have + take;
    this.#input = input.subarray(at + take);
    if (next.have === next.length) {
      this.#deliver({ ...next, body: Buffer.concat(next.parts) });
      next.parts = [];
      next.have = 0;
    }
    this.#partial.set(chunkStream, next);
    return true;
  }

  #deliver({ type, timestamp, stream, body }) {
    if (type === 1) this.#chunkIn = body.readUInt32BE(0);
    if (type === 20 || type === 18) this.commands.push(readAmf0(body));
    this.messages.push({ type, timestamp, stream, body });
    if (this.messages.length > 5000) this.messages.splice(0, 2500);
  }
}
