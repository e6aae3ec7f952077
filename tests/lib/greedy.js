// Starts a neighbour of the streams under test that takes as much as it is allowed, in a process of its own with a low priority:
// what a test measures is what the gateway does with it.

import { fork } from "node:child_process";
import { once } from "node:events";
import { constants, setPriority } from "node:os";
import { fileURLToPath } from "node:url";
import { waitFor } from "./wait.js";

const PROCESS = fileURLToPath(new URL("./greedy_process.js", import.meta.url));

/** Limits that one neighbour reaches within seconds and without much of the processor. Nobody else needs more. */
export const LIMITS = { "ingest.bitrate": 4_000_000, "rtc.sessions": 200 };

export class GreedyNeighbour {
  #child;
  #got = {};
  #exited;

  /** Starts it at once. It publishes to `room`, and does everything else there too. */
  constructor({ httpPort, rtmpPort }, room = "greedy") {
    const description = { httpPort, rtmpPort, room, bitrate: LIMITS["ingest.bitrate"] };
    this.#child = fork(PROCESS, [JSON.stringify(description)], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    setPriority(this.#child.pid, constants.priority.PRIORITY_LOW);
    this.#exited = once(this.#child, "exit");
    this.#child.on("message", (got) => {
      Object.assign(this.#got, got);
    });
  }

  /** What it got so far. greedy_process.js has the fields. */
  get got() {
    return this.#got;
  }

  assertAlive() {
    if (this.#got.error) throw new Error(`the greedy neighbour failed: ${this.#got.error}`);
    if (this.#child.exitCode !== null) throw new Error(`the greedy neighbour ended: ${this.#child.exitCode}`);
    if (this.#got.publisherClosed) throw new Error("the greedy neighbour's publisher was closed below the limit of its bitrate");
  }

  /** Waits until it has taken some of everything, and was refused what is too much. */
  isBusy() {
    const busy = ({ answers, chats, refused, sessions, sentKb }) => [answers, chats, refused, sessions, sentKb].every((count) => count > 0);
    return waitFor("the greedy neighbour to be busy", () => busy(this.#got), { timeoutMs: 20_000, giveUp: () => this.assertAlive() });
  }

  async stop() {
    if (this.#child.connected) this.#child.send("stop");
    await this.#exited;
  }
}
