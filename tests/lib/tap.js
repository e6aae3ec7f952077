// Watches a program by HTTP-FLV and records only times: the timestamps of each frame and when it arrived. No busy page
// is involved, so a frame that is missing here is missing in the program.

import { get } from "node:http";
import { FlvReader } from "./flv.js";
import { Turns } from "./turns.js";
import { waitFor } from "./wait.js";

export class Tap {
  #request;
  #frames = [];
  #ended = false;
  #turns = new Turns();

  static async start(url) {
    const tap = new Tap();
    const reader = new FlvReader((tag) => {
      if (tag.isHeader || tag.kind === "script") return;
      const { kind, timestampMs, compositionMs = timestampMs, isKeyframe } = tag;
      tap.#frames.push({ kind, dts: timestampMs, pts: compositionMs, isKeyframe, at: performance.now() });
    });
    tap.#request = get(url, (response) => {
      response.on("data", (chunk) => reader.push(chunk));
      response.on("close", () => (tap.#ended = true));
    });
    tap.#request.on("error", () => (tap.#ended = true));
    await waitFor(`frames of ${url}`, () => tap.#frames.length > 10);
    return tap;
  }

  get ended() {
    return this.#ended;
  }

  get frames() {
    return this.#frames;
  }

  reset() {
    this.#frames = this.#frames.slice(-60);
    this.#turns.reset();
  }

  /**
   * Returns the longest gaps between neighbouring frames, by timestamp and by arrival, for video in display order and
   * for audio.
   */
  continuity() {
    const of = (wanted) => this.#frames.filter(({ kind }) => kind === wanted);
    const [pictures, sound] = [of("video"), of("audio")];
    const steps = (frames, key) => frames.slice(1).map((frame, index) => frame[key] - frames[index][key]);
    const longest = (values) => Math.max(0, ...values);
    const shown = pictures.toSorted((a, b) => a.pts - b.pts);
    return {
      pictureMs: longest(steps(shown, "pts")),
      pictureArrivalMs: longest(steps(pictures, "at")),
      soundMs: longest(steps(sound, "pts")),
      soundArrivalMs: longest(steps(sound, "at")),
      machineMs: this.#turns.longestMs,
      backwards: [...steps(pictures, "dts"), ...steps(sound, "dts")].filter((step) => step < 0).length,
      repeated: steps(shown, "pts").filter((step) => step <= 0).length,
    };
  }

  async stop() {
    await this.#turns.stop();
    this.#request.destroy();
    await waitFor("the tap to close", () => this.#ended);
  }
}
