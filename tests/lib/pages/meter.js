// Reads the test picture and the beeps from one <video> element: latency, frames, freezes, audio, lip sync.
//
// `tiles` says where each participant's test picture is in a mixed frame: a rectangle in fractions of the frame. Each
// tile is read separately. The figures of the element as a whole come from the whole frame if it holds a code, else
// from the first tile.
//
// Latency is Date.now() at the frame's presentation minus the time painted into the frame. So it includes everything
// from the drawing of the frame to the compositor. The report holds samples, and the caller computes percentiles.

import { GRID_HEIGHT, GRID_WIDTH, readCode } from "./barcode.js";
import { gapPercentile } from "./numbers.js";

const FREEZE_FLOOR_MS = 150;
// A code with a higher latency was misread: a code taken from parts of several frames can pass the CRC.
const LATENCY_MAX_MS = 60_000;
// The time and the number of a code differ by more than this only if it was read from parts of two frames.
const MISREAD_MS = 500;
const PAIRING_MS = 450; // A beep belongs to the nearest flash. Beeps are 1 s apart.

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

  /** Returns the wall-clock time of the first frame shown, or null. */
  get firstFrameAt() {
    return this.#firstFrame;
  }

  reset() {
    this.since = Date.now();
    this.deliveredBefore = this.#delivered();
    this.frames = [];
    this.unreadable = 0;
    this.sizes = [];
    this.freezes = [];
    this.flashes = [];
    this.beeps = [];
    this.loudness = [];
    this.tones = [];
    this.discontinuities = 0;
    this.longestSilence = 0;
    this.longestGap = 0;
    this.receiveGaps = [];
    this.longestReceiveGap = 0;
    this.tiles = this.#tiles.map(() => []);
  }

  /** Looks for the test pictures in these tiles from now on. */
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
    // The arrival time of the frame's last packet, which a busy page does not delay. Only WebRTC provides it.
    if (metadata.receiveTime !== undefined) {
      if (this.#lastReceive !== null) {
        const gap = metadata.receiveTime - this.#lastReceive;
        this.receiveGaps.push(gap);
        this.longestReceiveGap = Math.max(this.longestReceiveGap, gap);
      }
      this.#lastReceive = metadata.receiveTime;
    }
    if (metadata.height !== this.sizes.at(-1)?.height) this.sizes.push({ at: nowMs, width: metadata.width, height: metadata.height });
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
    // Any of the first three frames of a flash is good enough, because the code states how long ago the beep began.
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

  /** Listens to a stream (WebRTC) or to the element itself (media source). Call it only once. */
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
    const open = this.#lastReceive === null ? [] : [performance.now() - this.#lastReceive];
    const receiveGaps = [...this.receiveGaps, ...open];
    const spanned = first ? ((last.counter - first.counter + 65536) % 65536) + 1 : 0;
    return {
      seconds,
      width: this.#video.videoWidth,
      height: this.#video.videoHeight,
      currentTime: this.#video.currentTime,
      frames: this.frames.length,
      uniqueFrames: counters.size,
      /** The number of frames that the decoder delivered, whether or not a busy page had time to show them. */
      delivered: this.#delivered() - this.deliveredBefore,
      /** The number of frames that the source drew between the first and the last one seen here. */
      spannedFrames: spanned,
      backwards: backwards.length,
      backwardsAt: backwards,
      unreadable: this.unreadable,
      lastFrameAgeMs: last ? Date.now() - last.at : null,
      firstFrameAt: this.#firstFrame,
      samples: this.frames.map(({ at, latency }) => [at, latency]),
      freezes: this.freezes,
      /** The sizes of the frames, each with the time of the first frame that has it. */
      sizes: this.sizes,
      /** The offsets of audio from video in milliseconds. They are positive when the audio is late. */
      lipSync: this.#lipSync(),
      beeps: this.beeps.length,
      /** The amplitude of each tone, four times a second. */
      tones: this.tones,
      /** For each tile, the number of frames read, and the latency of each frame with its time. */
      tiles: this.tiles.map((frames) => ({
        frames: frames.length,
        lastAgeMs: frames.length > 0 ? Date.now() - frames.at(-1).at : null,
        samples: frames.map(({ at, latency }) => [at, latency]),
      })),
      longestGapMs: this.longestGap,
      longestReceiveGapMs: this.longestReceiveGap,
      /** One moment in twenty lies in a gap of this length between two frames, or in a longer one. The present one counts. */
      receiveGapP95Ms: gapPercentile(receiveGaps, 95),
      longestSilenceMs: this.longestSilence,
      flashes: this.flashes.length,
      discontinuities: this.discontinuities,
      loudness: this.loudness.reduce((loudest, rms) => Math.max(loudest, rms), 0),
      loudnessNow: this.loudness.at(-1) ?? 0,
    };
  }

  /** Returns the frames that were drawn earlier than the frame shown before them. */
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
