// Reads the test picture and the beeps off one <video> element: latency, frames, freezes, sound, lip sync.
//
// `tiles` says where in a picture of several the test pictures of each are: a rectangle in fractions. Each is read for
// itself. The figures of the element as a whole are of the first picture found: the whole one, else that of the first tile.
//
// Latency is Date.now() at the frame's presentation less the time painted into the frame, so it holds everything from
// the drawing of the picture to the compositor. The figures are samples; percentiles are the asker's business.

import { GRID_HEIGHT, GRID_WIDTH, readCode } from "./barcode.js";

const FREEZE_FLOOR_MS = 150;
const LATENCY_MAX_MS = 60_000; // A code that says more is not one: the check of a whole picture taken from parts of several.
const MISREAD_MS = 500; // So far apart are the time and the number of a code only when it was read off parts of two.
const PAIRING_MS = 450; // A beep belongs to the flash nearest to it; beeps are a second apart.

export class Meter {
  #video;
  #fps;
  #canvas;
  #audio = null;
  #stopped = false;
  #lastPresentation = null;
  #lastReceive = null;
  #firstFrame = null;
  #tiles;
  #tones;

  constructor(video, { fps = 30, tiles = [], tones = [] } = {}) {
    this.#video = video;
    this.#fps = fps;
    this.#tiles = tiles;
    this.#tones = tones;
    const canvas = document.createElement("canvas");
    canvas.width = GRID_WIDTH;
    canvas.height = GRID_HEIGHT;
    this.#canvas = canvas.getContext("2d", { willReadFrequently: true });
    this.reset();
    this.#watch();
  }

  /** The wall-clock time of the first frame shown, or null. */
  get firstFrameAt() {
    return this.#firstFrame;
  }

  reset() {
    this.since = Date.now();
    this.deliveredBefore = this.#delivered();
    this.frames = [];
    this.unreadable = 0;
    this.freezes = [];
    this.flashes = [];
    this.beeps = [];
    this.loudness = [];
    this.tones = [];
    this.discontinuities = 0;
    this.longestSilence = 0;
    this.longestGap = 0;
    this.longestReceiveGap = 0;
    this.tiles = this.#tiles.map(() => []);
  }

  /** From here on the test pictures are looked for there. */
  setTiles(tiles) {
    this.#tiles = tiles;
    this.tiles = tiles.map(() => []);
  }

  stop() {
    this.#stopped = true;
    this.#audio?.close();
  }

  #watch() {
    this.#video.requestVideoFrameCallback((now, metadata) => {
      if (this.#stopped) return;
      this.#read(metadata);
      this.#watch();
    });
  }

  #read(metadata) {
    const nowMs = Date.now();
    this.#firstFrame ??= nowMs;
    if (this.#lastPresentation !== null) {
      const gap = metadata.presentationTime - this.#lastPresentation;
      this.longestGap = Math.max(this.longestGap, gap);
      if (gap > Math.max(FREEZE_FLOOR_MS, 3000 / this.#fps)) this.freezes.push({ at: nowMs, ms: Math.round(gap) });
    }
    this.#lastPresentation = metadata.presentationTime;
    // When its last packet came, which no busy page delays. Only WebRTC knows.
    if (metadata.receiveTime !== undefined) {
      if (this.#lastReceive !== null) {
        this.longestReceiveGap = Math.max(this.longestReceiveGap, metadata.receiveTime - this.#lastReceive);
      }
      this.#lastReceive = metadata.receiveTime;
    }
    const whole = this.#readAt({ x: 0, y: 0, width: 1, height: 1 }, nowMs);
    const codes = this.#tiles.map((tile) => this.#readAt(tile, nowMs));
    codes.forEach((found, index) => {
      if (!found || found.counter === this.tiles[index].at(-1)?.counter) return;
      this.tiles[index].push({ at: nowMs, latency: nowMs - found.timeMs, counter: found.counter });
    });
    const code = whole ?? codes[0];
    if (!code) {
      this.unreadable += 1;
      return;
    }
    const previous = this.frames.at(-1);
    if (previous && code.counter === previous.counter) return;
    this.frames.push({ at: nowMs, latency: nowMs - code.timeMs, counter: code.counter, timeMs: code.timeMs });
    // Any of the first frames of a flash will do: where it began follows from the age it states.
    if (code.beepAge <= 2 && (!previous || code.counter - code.beepAge !== this.flashes.at(-1)?.frame)) {
      const began = metadata.expectedDisplayTime - (code.beepAge * 1000) / this.#fps;
      this.flashes.push({ at: began, frame: code.counter - code.beepAge });
    }
  }

  #readAt({ x, y, width, height }, nowMs) {
    const { videoWidth, videoHeight } = this.#video;
    const from = [x * videoWidth, y * videoHeight, width * videoWidth, height * videoHeight];
    this.#canvas.drawImage(this.#video, ...from, 0, 0, GRID_WIDTH, GRID_HEIGHT);
    const pixels = this.#canvas.getImageData(0, 0, GRID_WIDTH, GRID_HEIGHT).data;
    const code = readCode((x, y) => pixels[(Math.floor(y) * GRID_WIDTH + Math.floor(x)) * 4 + 1], nowMs);
    return code && Math.abs(nowMs - code.timeMs) < LATENCY_MAX_MS ? code : null;
  }

  /** Listens to a stream (WebRTC) or to the element itself (media source). Ask once. */
  async listen(stream) {
    const audio = new AudioContext({ latencyHint: "interactive" });
    this.#audio = audio;
    await audio.audioWorklet.addModule(new URL("./beep_worklet.js", import.meta.url));
    const source = stream ? audio.createMediaStreamSource(stream) : audio.createMediaElementSource(this.#video);
    const detector = new AudioWorkletNode(audio, "beep-detector", { processorOptions: { tones: this.#tones } });
    detector.port.onmessage = ({ data }) => {
      if (data.kind === "level") {
        this.loudness.push(data.rms);
        this.tones.push(data.tones);
      }
      if (data.kind === "silence") this.longestSilence = Math.max(this.longestSilence, data.ms);
      if (data.kind === "discontinuity") this.discontinuities += 1;
      if (data.kind === "beep") {
        const { contextTime, performanceTime } = audio.getOutputTimestamp();
        this.beeps.push(performanceTime + (data.contextTime - contextTime) * 1000);
      }
    };
    source.connect(detector);
    detector.connect(audio.destination);
    await audio.resume();
  }

  report() {
    const seconds = (Date.now() - this.since) / 1000;
    const counters = new Set(this.frames.map((frame) => frame.counter));
    const backwards = this.#backwards();
    const first = this.frames.at(0);
    const last = this.frames.at(-1);
    const spanned = first ? ((last.counter - first.counter + 65536) % 65536) + 1 : 0;
    return {
      seconds,
      width: this.#video.videoWidth,
      height: this.#video.videoHeight,
      currentTime: this.#video.currentTime,
      frames: this.frames.length,
      uniqueFrames: counters.size,
      /** How many the decoder handed over, whether or not a busy page found the time to show them. */
      delivered: this.#delivered() - this.deliveredBefore,
      /** How many the source drew between the first and the last one seen here. */
      spannedFrames: spanned,
      backwards: backwards.length,
      backwardsAt: backwards,
      unreadable: this.unreadable,
      lastFrameAgeMs: last ? Date.now() - last.at : null,
      firstFrameAt: this.#firstFrame,
      samples: this.frames.map(({ at, latency }) => [at, latency]),
      freezes: this.freezes,
      /** Sound less picture: positive when the sound is late. */
      lipSync: this.#lipSync(),
      beeps: this.beeps.length,
      /** Amplitude of each tone, four times a second. */
      tones: this.tones,
      /** For each tile: how many pictures of it were read, and the latency of each with its time. */
      tiles: this.tiles.map((frames) => ({
        frames: frames.length,
        lastAgeMs: frames.length > 0 ? Date.now() - frames.at(-1).at : null,
        samples: frames.map(({ at, latency }) => [at, latency]),
      })),
      longestGapMs: this.longestGap,
      longestReceiveGapMs: this.longestReceiveGap,
      longestSilenceMs: this.longestSilence,
      flashes: this.flashes.length,
      discontinuities: this.discontinuities,
      loudness: this.loudness.length ? Math.max(...this.loudness) : 0,
      loudnessNow: this.loudness.at(-1) ?? 0,
    };
  }

  /** Pictures that were drawn before the one shown before them. */
  #backwards() {
    const steps = this.frames.slice(1).map((frame, index) => {
      const before = this.frames[index];
      const pictures = ((frame.counter - before.counter + 98304) % 65536) - 32768;
      return { at: frame.at, from: before.counter, pictures, ms: frame.timeMs - before.timeMs };
    });
    const sameClock = ({ pictures, ms }) => Math.abs(ms - (pictures * 1000) / this.#fps) < MISREAD_MS;
    return steps.filter((step) => step.pictures < 0 && sameClock(step));
  }

  #delivered() {
    return this.#video.getVideoPlaybackQuality().totalVideoFrames;
  }

  #lipSync() {
    const offsets = [];
    for (const flash of this.flashes) {
      const near = this.beeps.map((beep) => beep - flash.at).sort((a, b) => Math.abs(a) - Math.abs(b))[0];
      if (near !== undefined && Math.abs(near) < PAIRING_MS) offsets.push(near);
    }
    return offsets;
  }
}
