// Simulates a bad network in user space. The relay stands between clients and one UDP port, and loses, delays, reorders
// and throttles packets.
//
// A test puts the relay in front of the server by pointing the candidates of an SDP answer to it
// (`redirectCandidates`). Each client address gets its own socket towards the server, so the server sees different
// peers. All random decisions come from one seed.

import { createSocket } from "node:dgram";

export const PERFECT = {
  lossPercent: 0,
  /** The mean length of a run of lost packets. 1 means independent losses. */
  burstPackets: 1,
  delayMs: 0,
  /** A uniformly distributed extra delay. Packets overtake each other. */
  jitterMs: 0,
  /** 0 means unlimited. */
  rateKbps: 0,
  queueMs: 200,
  blackhole: false,
  /** Returns whether this packet is lost. */
  loses: () => false,
};

export class UdpRelay {
  #front = createSocket("udp4");
  #target;
  #peers = new Map();
  #random;
  /** The rules towards the server (`up`) and towards the clients (`down`). A test may change a field at any time. */
  up = { ...PERFECT };
  down = { ...PERFECT };
  counts = { up: { passed: 0, lost: 0, full: 0 }, down: { passed: 0, lost: 0, full: 0 } };
  #ways = { up: { bad: false, freeAt: 0 }, down: { bad: false, freeAt: 0 } };

  /** `address` is where clients reach the relay. Firefox does not connect to a loopback address. */
  static async start(targetPort, { up = {}, down = {}, seed = 1, address = "127.0.0.1" } = {}) {
    const relay = new UdpRelay();
    relay.#target = targetPort;
    relay.#random = mulberry32(seed);
    Object.assign(relay.up, up);
    Object.assign(relay.down, down);
    relay.#front.on("message", (packet, from) => relay.#fromClient(packet, from));
    await new Promise((resolve) => relay.#front.bind(0, address, resolve));
    return relay;
  }

  get address() {
    return this.#front.address().address;
  }

  get port() {
    return this.#front.address().port;
  }

  #fromClient(packet, from) {
    const key = `${from.address}:${from.port}`;
    let socket = this.#peers.get(key);
    if (!socket) {
      socket = createSocket("udp4");
      socket.on("message", (answer) => {
        this.#carry("down", answer, () => this.#front.send(answer, from.port, from.address));
      });
      socket.on("error", () => {}); // A test may have stopped the server on purpose.
      socket.bind(0, this.address); // The server tells the client this address, and Firefox takes none of loopback.
      this.#peers.set(key, socket);
    }
    this.#carry("up", packet, () => socket.send(packet, this.#target, this.address));
  }

  #carry(direction, packet, send) {
    const rules = this[direction];
    const way = this.#ways[direction];
    const counts = this.counts[direction];
    if (rules.blackhole || rules.loses(packet) || this.#isLost(rules, way)) {
      counts.lost += 1;
      return;
    }
    const now = performance.now();
    let at = now + rules.delayMs + this.#random() * rules.jitterMs;
    if (rules.rateKbps > 0) {
      const start = Math.max(now, way.freeAt);
      if (start - now > rules.queueMs) {
        counts.full += 1;
        return;
      }
      way.freeAt = start + (packet.length * 8) / rules.rateKbps;
      at += way.freeAt - now;
    }
    counts.passed += 1;
    const wait = at - now;
    if (wait < 0.5) send();
    else setTimeout(() => this.#peers.size > 0 && send(), wait);
  }

  // This is Gilbert's model: a bad state loses every packet and lasts `burstPackets` packets on average.
  #isLost(rules, way) {
    if (rules.lossPercent <= 0) return false;
    const leaveBad = 1 / Math.max(1, rules.burstPackets);
    const loss = rules.lossPercent / 100;
    const enterBad = Math.min(1, (leaveBad * loss) / Math.max(1e-9, 1 - loss));
    if (rules.burstPackets <= 1) return this.#random() < loss;
    way.bad = way.bad ? this.#random() >= leaveBad : this.#random() < enterBad;
    return way.bad;
  }

  /** Gives each client another port towards the server, as a router does that has forgotten it. */
  rebind() {
    for (const socket of this.#peers.values()) socket.close();
    this.#peers.clear();
  }

  async stop() {
    for (const socket of this.#peers.values()) socket.close();
    this.#peers.clear();
    await new Promise((resolve) => this.#front.close(resolve));
  }
}

function mulberry32(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
