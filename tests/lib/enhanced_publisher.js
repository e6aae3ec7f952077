// Publishes HEVC or AV1 by enhanced RTMP (version 1), which ffmpeg supports only from version 6.1 on.
//
// It encodes a clip of 4 s in advance, without frame reordering, and sends it repeatedly in real time.

import { readFileSync } from "node:fs";
import { readMatroska } from "./matroska.js";
import { RtmpClient } from "./rtmp_client.js";
import { run } from "./run.js";
import { pause } from "./wait.js";

const SEQUENCE_START = 0;
const CODED_FRAMES_X = 3;
const CLIP_SECONDS = 4;

const ENCODERS = {
  hvc1: [
    ...["-c:v", "libx265", "-preset", "ultrafast", "-x265-params"],
    "bframes=0:keyint=30:min-keyint=30:scenecut=0:repeat-headers=1:log-level=error",
  ],
  av01: ["-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-lag-in-frames", "0", "-g", "30"],
};

export class EnhancedPublisher {
  #client;
  #stopped = false;

  /** Encodes the clip into `folder`, connects and starts to send, with `header: false` without the sequence header. */
  static async start(port, key, fourCc, folder, { header = true } = {}) {
    const file = `${folder}/clip.mkv`;
    const source = ["-f", "lavfi", "-i", `testsrc2=size=320x180:rate=30:duration=${CLIP_SECONDS}`];
    const encoded = await run("ffmpeg", ["-v", "error", "-y", ...source, "-pix_fmt", "yuv420p", ...ENCODERS[fourCc], file]);
    if (encoded.code !== 0) throw new Error(encoded.stderr);
    const publisher = new EnhancedPublisher();
    publisher.#client = await RtmpClient.open(port);
    const [, , , information] = await publisher.#client.connect({ fourCcList: ["hvc1", "av01"] });
    publisher.announced = information.fourCcList ?? null;
    publisher.status = await publisher.#client.publish(key);
    publisher.#client.setChunkSize(4096);
    publisher.#send(fourCc, header, readMatroska(readFileSync(file)));
    return publisher;
  }

  async #send(fourCc, header, { codecPrivate, frames }) {
    const head = (kind, isKeyframe) => Buffer.concat([Buffer.from([0x80 | ((isKeyframe ? 1 : 2) << 4) | kind]), Buffer.from(fourCc)]);
    if (header) this.#client.video(0, Buffer.concat([head(SEQUENCE_START, true), codecPrivate]));
    const start = performance.now();
    for (let index = 0; ; index += 1) {
      const { timeMs, isKeyframe, data } = frames[index % frames.length];
      const timestamp = timeMs + Math.floor(index / frames.length) * CLIP_SECONDS * 1000;
      await pause(Math.max(0, start + timestamp - performance.now()));
      if (this.#stopped || this.#client.closed) return;
      this.#client.video(timestamp, Buffer.concat([head(CODED_FRAMES_X, isKeyframe), data]));
    }
  }

  get closed() {
    return this.#client.closed;
  }

  async stop() {
    this.#stopped = true;
    await this.#client.stop();
  }
}
