// Runs the real ffmpeg as an encoder that publishes test sources by RTMP, with whatever settings a test is about.

import { spawn } from "node:child_process";

const VIDEO = ["-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30"];
const AUDIO = ["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"];
const X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-b:v", "400k"];
const AAC = ["-c:a", "aac", "-ac", "2"];

export class Encoder {
  #child;
  #messages = [];
  #exited;

  /** Publishes to `url` at once. `settings` are arguments of ffmpeg for the video. */
  constructor(url, settings, { video = true, audio = true } = {}) {
    const inputs = [video ? VIDEO : [], audio ? AUDIO : []].flat();
    const codecs = [video ? [...X264, "-sc_threshold", "0", ...settings] : [], audio ? AAC : []].flat();
    const quiet = ["-hide_banner", "-loglevel", "warning", "-nostdin"];
    this.#child = spawn("ffmpeg", [...quiet, ...inputs, ...codecs, "-f", "flv", url], { stdio: ["ignore", "ignore", "pipe"] });
    this.#child.stderr.setEncoding("utf8").on("data", (text) => this.#messages.push(text));
    this.#exited = new Promise((resolve) => this.#child.on("exit", resolve));
  }

  assertAlive() {
    if (this.#child.exitCode !== null) throw new Error(`ffmpeg ended: ${this.#messages.join("")}`);
  }

  async stop() {
    this.#child.kill("SIGKILL");
    await this.#exited;
  }
}
