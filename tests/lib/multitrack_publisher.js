// Publishes several qualities of one picture by Enhanced RTMP, as OBS and ffmpeg do with multitrack video: the largest as classic
// tags, each other one as a track of its own, all with keyframes at the same times.
//
// It encodes a clip of 4 s in advance, and sends it repeatedly in real time.

import { readFileSync } from "node:fs";
import { FlvReader } from "./flv.js";
import { RtmpClient } from "./rtmp_client.js";
import { run } from "./run.js";
import { pause } from "./wait.js";

const CLIP_MS = 4000;
const SEQUENCE_END = 2;

/** Returns a legacy tag as one of a track of Enhanced RTMP. */
export function asTrack(tag, track) {
  const [first, kind] = tag.body;
  const [codec, head, rest] = tag.kind === "video" ? ["avc1", 0x80 | (first & 0x70) | 6, kind === 0 ? 5 : 2] : ["mp4a", 0x95, 2];
  const body = [Buffer.from([head, kind]), Buffer.from(codec), Buffer.from([track]), tag.body.subarray(rest)];
  return { kind: tag.kind, body: Buffer.concat(body) };
}

export class MultitrackPublisher {
  #client;
  #stopped = false;
  /** The numbers of tracks that are left out. */
  silent = new Set();

  /** Encodes `qualities` ({ height, kbps }) of a picture into `folder`, connects and starts to send. */
  static async start(port, key, folder, qualities, { size = "640x360", rate = 30, keyframeEvery = 30 } = {}) {
    const input = ["-f", "lavfi", "-i", `testsrc2=size=${size}:rate=${rate}:duration=${CLIP_MS / 1000}`];
    const sine = ["-f", "lavfi", "-i", `sine=sample_rate=48000:duration=${CLIP_MS / 1000}`];
    const tracks = [];
    const isEnd = ({ kind, body }) => kind === "video" && body[1] === SEQUENCE_END;
    const add = async (track, input, settings, file) => {
      const encoded = await run("ffmpeg", ["-v", "error", "-y", ...input, ...settings, file]);
      if (encoded.code !== 0) throw new Error(encoded.stderr);
      new FlvReader((tag) => tag.kind !== "script" && !isEnd(tag) && tracks.push({ track, tag })).push(readFileSync(file));
    };
    // The audio is in a file of its own, because the muxer would move the video beside it by the encoder's delay.
    await add(0, sine, ["-c:a", "aac", "-b:a", "64k"], `${folder}/audio.flv`);
    for (const [track, { height, kbps }] of qualities.entries()) {
      const scaled = ["-vf", `scale=-2:${height}`, "-b:v", `${kbps}k`, "-maxrate", `${kbps}k`, "-bufsize", `${kbps / 2}k`];
      const video = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", `${keyframeEvery}`, ...scaled];
      await add(track, input, video, `${folder}/${height}.flv`);
    }
    const order = ({ tag }) => (tag.isHeader ? -1 : tag.timestampMs);
    tracks.sort((a, b) => order(a) - order(b));
    const publisher = new MultitrackPublisher();
    publisher.#client = await RtmpClient.open(port);
    await publisher.#client.connect({ fourCcList: ["avc1", "mp4a"], capsEx: 2 });
    publisher.status = await publisher.#client.publish(key);
    publisher.#client.setChunkSize(65_536);
    publisher.#send(tracks);
    return publisher;
  }

  async #send(tracks) {
    const start = performance.now();
    for (let round = 0; ; round += 1) {
      for (const { track, tag } of tracks) {
        if (round > 0 && tag.isHeader) continue; // The headers come once.
        const timestamp = tag.timestampMs + round * CLIP_MS;
        await pause(Math.max(0, start + timestamp - performance.now()));
        if (this.#stopped || this.#client.closed) return;
        if (this.silent.has(track) && tag.kind === "video") continue;
        const { kind, body } = track === 0 ? tag : asTrack(tag, track);
        this.#client[kind](timestamp, body);
      }
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
