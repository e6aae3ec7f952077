// Asks a gateway for /readyz all the time, as an orchestrator does that would take it out of service.

import { request } from "./http.js";
import { pause } from "./wait.js";

const EVERY_MS = 200;

export class Readiness {
  #stopped = false;
  #asking;
  /** How often it was asked, how long the slowest answer took, and every answer that was not 200. */
  asked = 0;
  slowestMs = 0;
  unready = [];

  constructor(gateway) {
    this.#asking = this.#ask(gateway.url("/readyz"));
  }

  async #ask(url) {
    while (!this.#stopped) {
      const started = performance.now();
      const answer = await request(url).catch((error) => ({ status: 0, text: error.message }));
      this.asked += 1;
      this.slowestMs = Math.max(this.slowestMs, performance.now() - started);
      if (answer.status !== 200) this.unready.push(`${answer.status}: ${answer.text}`);
      await pause(EVERY_MS);
    }
  }

  async stop() {
    this.#stopped = true;
    await this.#asking;
  }
}
