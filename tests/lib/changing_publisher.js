// Publishes H.264 by RTMP whose size changes in mid-stream, as an encoder does whose user turns a phone or whose uplink gets
// worse: a new sequence header, and a keyframe of the other size.

import { readFileSync } from "node:fs";
import { readMatroska } from "./matroska.js";
import { RtmpClient } from "./rtmp_client.js";
import { run } from "./run.js";
import { pause } from "./wait.js";

const CLIP_SECONDS = 2;
const X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "60"];
const AVC = 7;
const [SEQUENCE_HEADER, NALUS] = [0, 1];

export class ChangingPublisher {
  #client;
  #clips;
  #size = 0;
  #stopped = false;

  /** Encodes a clip of each size ("1280x720") into `folder`, connects, and sends the first one again and again. */
  static async start(port, key, sizes, folder) {
    const publisher = new ChangingPublisher();
    publisher.#clips = [];
    for (const size of sizes) {
      const file = `${folder}/${size}.mkv`;
      const source = ["-f", "lavfi", "-i", `testsrc2=size=${size}:rate=30:duration=${CLIP_SECONDS}`];
      const encoded = await run("ffmpeg", ["-v", "error", "-y", ...source, ...X264, file]);
      if (encoded.code !== 0) throw new Error(encoded.stderr);
      publisher.#clips.push(readMatroska(readFileSync(file)));
    }
    publisher.#client = await RtmpClient.open(port);
    await publisher.#client.connect();
    publisher.status = await publisher.#client.publish(key);
    publisher.#client.setChunkSize(4096);
    publisher.#send();
    return publisher;
  }

  /** Sends the next size from the end of the clip on. */
  change() {
    this.#size += 1;
  }

  async #send() {
    const start = performance.now();
    let sent = null;
    for (let begins = 0; ; begins += CLIP_SECONDS * 1000) {
      const { codecPrivate, frames } = this.#clips[this.#size];
      if (sent !== this.#size) this.#tag(begins, true, SEQUENCE_HEADER, codecPrivate);
      sent = this.#size;
      for (const { timeMs, isKeyframe, data } of frames) {
        await pause(Math.max(0, start + begins + timeMs - performance.now()));
        if (this.#stopped || this.#client.closed) return;
        this.#tag(begins + timeMs, isKeyframe, NALUS, data);
      }
    }
  }

  #tag(timestamp, isKeyframe, type, data) {
    this.#client.video(timestamp, Buffer.concat([Buffer.from([((isKeyframe ? 1 : 2) << 4) | AVC, type, 0, 0, 0]), data]));
  }

  async stop() {
    this.#stopped = true;
    await this.#client.stop();
  }
}
