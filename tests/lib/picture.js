// Publishes the test picture through the real ffmpeg to an RTMP URL, or writes it to a pipe to time the encoder alone.

import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { percentile } from "./numbers.js";
import { pause, waitFor } from "./wait.js";

const PROCESS = fileURLToPath(new URL("./picture_process.js", import.meta.url));

export const DEFAULT_PICTURE = {
  width: 640,
  height: 360,
  fps: 30,
  gopFrames: 60,
  bframes: 0,
  lookaheadFrames: 0,
  preset: "ultrafast",
  profile: "baseline",
  pixelFormat: "yuv420p",
  bitrateKbps: 1000,
  detail: 0, // The strength of added noise. Noise makes an encoder use the bitrate that it was given.
  channels: 2,
  sampleRate: 48000,
  audioCodec: "aac",
  humHertz: 300, // A test gives each participant another tone, to tell them apart.
  beeps: true, // One loud beep per second.
  brokenByteIn: 0, // If not 0, one byte in this many of the encoded video is corrupted.
};

/** A picture in 720p that uses all of its bitrate, as measurements publish it. */
export const HD = { width: 1280, height: 720, bitrateKbps: 2500, detail: 8 };

/** The default settings of OBS: B-frames, look-ahead, High profile, a keyframe every 2 s. */
export const LIKE_OBS = {
  bframes: 2,
  lookaheadFrames: 20,
  preset: "veryfast",
  profile: "high",
  sampleRate: 44100,
};

/** The default settings of x264enc of GStreamer, which takes the best format that its source has. */
export const LIKE_X264ENC = {
  ...{ bframes: 2, lookaheadFrames: 40, preset: "medium", profile: "high444", pixelFormat: "yuv444p10le" },
  ...{ gopFrames: 250, bitrateKbps: 2048 },
};

function ffmpegArguments(picture, output) {
  const filters = [`scale=${picture.width}:${picture.height}:flags=neighbor`];
  if (picture.detail > 0) filters.push(`noise=alls=${picture.detail}:allf=t`);
  filters.push(`format=${picture.pixelFormat}`);
  const zeroLatency = picture.bframes === 0 && picture.lookaheadFrames === 0;
  const rate = `${picture.bitrateKbps}k`;
  return [
    ["-hide_banner", "-loglevel", "warning", "-nostdin"],
    ["-probesize", "32", "-analyzeduration", "0", "-f", "matroska", "-i", "pipe:0"],
    ["-vf", filters.join(","), "-fps_mode", "passthrough"],
    ["-c:v", "libx264", "-preset", picture.preset, "-profile:v", picture.profile],
    zeroLatency ? ["-tune", "zerolatency"] : [],
    ["-bf", String(picture.bframes), "-g", String(picture.gopFrames), "-keyint_min", String(picture.gopFrames)],
    zeroLatency ? [] : ["-rc-lookahead", String(picture.lookaheadFrames)],
    picture.brokenByteIn > 0 ? ["-bsf:v", `noise=amount=${picture.brokenByteIn}`] : [],
    ["-sc_threshold", "0", "-b:v", rate, "-maxrate", rate, "-bufsize", rate],
    picture.channels > 0 ? ["-c:a", picture.audioCodec, "-b:a", "96k"] : ["-an"],
    /\.mp4$/.test(output)
      ? ["-movflags", "+faststart", output]
      : ["-flush_packets", "1", "-flvflags", "no_duration_filesize", "-f", "flv", output],
  ].flat();
}

export class Publisher {
  #child;
  #exit = null;
  #latencies = [];
  #ffmpegPid = null;

  /** Starts at once. With a `url` of null it measures the encoder, for `ownLatency`. */
  constructor(url, picture = {}) {
    this.picture = { ...DEFAULT_PICTURE, ...picture };
    const description = {
      fps: this.picture.fps,
      sampleRate: this.picture.sampleRate,
      channels: this.picture.channels,
      humHertz: this.picture.humHertz,
      beeps: this.picture.beeps,
      reportTimes: url === null,
      ffmpegArguments: ffmpegArguments(this.picture, url ?? "pipe:1"),
    };
    this.#child = fork(PROCESS, [JSON.stringify(description)], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    this.#child.on("message", (message) => {
      if (message.kind === "ffmpeg") this.#ffmpegPid = message.pid;
      if (message.kind === "exit") this.#exit = message;
      if (message.kind === "latency") this.#latencies.push(message.ms);
    });
    this.#child.on("exit", () => {
      this.#exit ??= { code: null, signal: null, stderr: "the picture process ended" };
    });
  }

  get ffmpegPid() {
    return this.#ffmpegPid;
  }

  /** Is null while ffmpeg runs. Then it holds the exit code, the signal and the end of stderr. */
  get exit() {
    return this.#exit;
  }

  get encoderLatenciesMs() {
    return this.#latencies;
  }

  /** Throws with the end of ffmpeg's stderr if ffmpeg has ended. */
  assertAlive() {
    if (this.#exit) throw new Error(`ffmpeg ended (${this.#exit.code ?? this.#exit.signal}): ${this.#exit.stderr}`);
  }

  waitForExit(timeoutMs = 10_000) {
    return waitFor("ffmpeg's exit", () => this.#exit, { timeoutMs });
  }

  /** Ends the stream properly: ffmpeg flushes it and says goodbye. */
  async stop() {
    if (!this.#exit && this.#child.connected) this.#child.send("stop");
    await this.waitForExit();
  }

  /** Kills ffmpeg, as in a power failure: it says no goodbye, and the kernel closes the socket. */
  async kill() {
    if (!this.#exit && this.#child.connected) this.#child.send("kill");
    await this.waitForExit();
  }

  /** Stops sending frames and keeps the connection open. */
  stall() {
    this.#child.send("stall");
  }

  /** Resumes after a stall: sends the missed frames at once, then goes on in real time. */
  resume() {
    this.#child.send("resume");
  }
}

/** Measures how long generator, encoder and FLV writer take. Every glass-to-glass figure contains this latency. */
export async function ownLatency(picture = {}, seconds = 5) {
  const publisher = new Publisher(null, picture);
  const frames = seconds * publisher.picture.fps;
  try {
    await waitFor("encoded frames", () => publisher.encoderLatenciesMs.length >= frames, {
      timeoutMs: seconds * 1000 + 10_000,
      giveUp: () => publisher.assertAlive(),
    });
  } finally {
    await publisher.kill();
  }
  const steady = publisher.encoderLatenciesMs.slice(publisher.picture.fps);
  return { p50: percentile(steady, 50), p95: percentile(steady, 95), frames: steady.length };
}

/** Records the test picture as an MP4 file, for the baseline of players that are fed from files. */
export async function recordFile(path, seconds, picture = {}) {
  const publisher = new Publisher(path, picture);
  await pause(seconds * 1000);
  await publisher.stop();
}
