// Runs ffplay, mpv or VLC without a display, and reads the barcode of the test picture from the frames that it shows.
//
// ffplay and mpv pass each frame through a filter that prints the time in its code. They filter up to three frames
// ahead of the display. VLC has no such filter, and writes the frames that it displays to a named pipe.

import { execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GRID_HEIGHT, GRID_WIDTH, readCode } from "./barcode.js";

const COLUMNS = 16; // Cells of the code in a row.
const ROWS = 12; // As high as the whole picture. The code has the first four.
const TIME_MODULUS = 2 ** 24; // The filter prints three bytes of the time.
const LATENCY_MAX_MS = 60_000; // A code with a higher latency was misread.
const FROZEN_MS = 500;
const NOBODY = 65534; // VLC refuses to run as root.

/** Shrinks each cell to a pixel, and fills the planes Y, U and V with bytes 4, 3 and 2 of the code. */
function printsTime() {
  const byte = (number) =>
    Array.from({ length: 8 }, (_, bit) => {
      const cell = number * 8 + bit;
      return `gte(lum(${cell % COLUMNS},${Math.floor(cell / COLUMNS)}),128)*${128 >> bit}`;
    }).join("+");
  const planes = `lum='${byte(4)}':cb='${byte(3)}':cr='${byte(2)}'`;
  return `scale=${COLUMNS}:${ROWS}:flags=area,format=yuv444p,geq=${planes},signalstats,metadata=print:file=-:direct=1`;
}

const commands = {
  ffplay: (url) => ["-loglevel", "error", "-vf", printsTime(), url],
  mpv: (url) => ["--no-config", "--msg-level=all=error", "--vo=null", "--ao=null", `--vf=lavfi=[${printsTime()}]`, url],
  vlc: (url, pipe) => ["-I", "dummy", "--quiet", "--aout=adummy", "--vout=yuv", `--yuv-file=${pipe}`, url],
};

export class NativePlayer {
  #children = [];
  #folder = null;
  #startedAt = Date.now();
  #frames = [];
  #errors = "";

  /** Returns the version of a program, or null if it is not installed. */
  static version(program) {
    try {
      const options = { stdio: ["ignore", "pipe", "ignore"], ...unprivileged() };
      const text = execFileSync(program, [program === "ffplay" ? "-version" : "--version"], options).toString();
      return text.match(/\d+\.\d+(\.\d+)?/)?.[0] ?? "";
    } catch {
      return null;
    }
  }

  /** Plays `url` at once. `width` and `height` are those of the test picture. */
  constructor(program, url, { width, height }) {
    const environment = { ...process.env, SDL_VIDEODRIVER: "dummy", SDL_AUDIODRIVER: "dummy" };
    if (program === "vlc") {
      this.#folder = mkdtempSync(join(tmpdir(), "onmic-player-"));
      chmodSync(this.#folder, 0o777);
      environment.HOME = this.#folder;
      this.#readFrames(width, height);
    }
    const player = this.#spawn(program, commands[program](url, this.#pipe), {
      env: environment,
      ...(program === "vlc" && unprivileged()),
    });
    if (program === "vlc") player.stdout.resume();
    else this.#readTimes(player.stdout);
  }

  get #pipe() {
    return this.#folder && join(this.#folder, "frames.yuv");
  }

  #spawn(program, argv, options = {}) {
    const child = spawn(program, argv, { stdio: ["ignore", "pipe", "pipe"], ...options });
    child.stderr.on("data", (text) => (this.#errors = (this.#errors + text).slice(-1000)));
    child.on("error", (error) => (this.#errors += error.message));
    child.ended = new Promise((resolve) => child.on("close", resolve));
    this.#children.push(child);
    return child;
  }

  #readTimes(stream) {
    const means = {};
    let rest = "";
    stream.setEncoding("latin1").on("data", (text) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        const [, plane, mean] = line.match(/signalstats\.([YUV])AVG=(\d+)/) ?? [];
        if (!plane) continue;
        means[plane] = Number(mean);
        if (plane !== "V") continue;
        const now = Date.now();
        const time = means.Y + means.U * 2 ** 8 + means.V * 2 ** 16;
        this.#shown(now, (((now - time) % TIME_MODULUS) + TIME_MODULUS) % TIME_MODULUS);
      }
    });
  }

  /** Reads I420 from the pipe. `cat` opens it for writing too, so that it does not end when VLC opens it again. */
  #readFrames(width, height) {
    execFileSync("mkfifo", ["-m", "666", this.#pipe]);
    const size = width * height * 1.5;
    let chunks = [];
    let held = 0;
    this.#spawn("sh", ["-c", 'exec cat <> "$0"', this.#pipe]).stdout.on("data", (chunk) => {
      chunks.push(chunk);
      held += chunk.length;
      if (held < size) return;
      const bytes = Buffer.concat(chunks);
      let at = 0;
      for (; at + size <= held; at += size) {
        const now = Date.now();
        const pixel = (x, y) => Math.floor((y * height) / GRID_HEIGHT) * width + Math.floor((x * width) / GRID_WIDTH);
        const code = readCode((x, y) => bytes[at + pixel(x, y)], now);
        this.#shown(now, code ? now - code.timeMs : Infinity);
      }
      chunks = [bytes.subarray(at)];
      held -= at;
    });
  }

  #shown(at, latency) {
    this.#frames.push({ at, latency: latency < LATENCY_MAX_MS ? latency : null });
  }

  /** Returns what `Client.report` of a browser has under the same names. */
  report() {
    const gaps = this.#frames.slice(1).map(({ at }, index) => ({ at, ms: at - this.#frames[index].at }));
    const last = this.#frames.at(-1);
    return {
      frames: this.#frames.length,
      firstPictureMs: last ? this.#frames[0].at - this.#startedAt : null,
      lastFrameAgeMs: last ? Date.now() - last.at : null,
      freezes: gaps.filter(({ ms }) => ms > FROZEN_MS),
      samples: this.#frames.filter(({ latency }) => latency !== null).map(({ at, latency }) => [at, latency]),
      loudness: null,
      errors: this.#errors === "" ? [] : [this.#errors],
    };
  }

  async stop() {
    for (const child of this.#children) child.kill("SIGKILL");
    await Promise.all(this.#children.map(({ ended }) => ended));
    if (this.#folder) rmSync(this.#folder, { recursive: true, force: true });
  }
}

function unprivileged() {
  return process.getuid() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
}
