// Reads the test picture and the beeps off one <video> element: latency, frames, freezes, sound, lip sync.
//
// Latency is Date.now() at the frame's presentation less the time painted into the frame, so it holds everything from
// the drawing of the picture to the compositor. The figures are samples; percentiles are the asker's business.

import { GRID_HEIGHT, GRID_WIDTH, readCode } from "./barcode.js";

const FREEZE_FLOOR_MS = 150;
const PAIRING_MS = 450; // A beep belongs to the flash nearest to it; beeps are a second apart.

export class Meter {
  #video;
  #fps;
  #canvas;
  #audio = null;
  #stopped = false;
  #lastPresentation = null;
  #firstFrame = null;

  constructor(video, { fps = 30 } = {}) {
    this.#video = video;
    this.#fps = fps;
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
    this.discontinuities = 0;
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
      if (gap > Math.max(FREEZE_FLOOR_MS, 3000 / this.#fps)) this.freezes.push({ at: nowMs, ms: Math.round(gap) });
    }
    this.#lastPresentation = metadata.presentationTime;
    this.#canvas.drawImage(this.#video, 0, 0, GRID_WIDTH, GRID_HEIGHT);
    const pixels = this.#canvas.getImageData(0, 0, GRID_WIDTH, GRID_HEIGHT).data;
    const code = readCode((x, y) => pixels[(Math.floor(y) * GRID_WIDTH + Math.floor(x)) * 4 + 1], nowMs);
    if (!code) {
      this.unreadable += 1;
      return;
    }
    const previous = this.frames.at(-1);
    if (previous && code.counter === previous.counter) return;
    this.frames.push({ at: nowMs, latency: nowMs - code.timeMs, counter: code.counter });
    // Any of the first frames of a flash will do: where it began follows from the age it states.
    if (code.beepAge <= 2 && (!previous || code.counter - code.beepAge !== this.flashes.at(-1)?.frame)) {
      const began = metadata.expectedDisplayTime - (code.beepAge * 1000) / this.#fps;
      this.flashes.push({ at: began, frame: code.counter - code.beepAge });
    }
  }

  /** Listens to a stream (WebRTC) or to the element itself (media source). Ask once. */
  async listen(stream) {
    const audio = new AudioContext({ latencyHint: "interactive" });
    this.#audio = audio;
    await audio.audioWorklet.addModule(new URL("./beep_worklet.js", import.meta.url));
    const source = stream ? audio.createMediaStreamSource(stream) : audio.createMediaElementSource(this.#video);
    const detector = new AudioWorkletNode(audio, "beep-detector");
    detector.port.onmessage = ({ data }) => {
      if (data.kind === "level") this.loudness.push(data.rms);
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
    let backwards = 0;
    for (let index = 1; index < this.frames.length; index += 1) {
      const step = (this.frames[index].counter - this.frames[index - 1].counter + 65536) % 65536;
      if (step > 32768) backwards += 1;
    }
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
      backwards,
      unreadable: this.unreadable,
      lastFrameAgeMs: last ? Date.now() - last.at : null,
      firstFrameAt: this.#firstFrame,
      samples: this.frames.map(({ at, latency }) => [at, latency]),
      freezes: this.freezes,
      /** Sound less picture: positive when the sound is late. */
      lipSync: this.#lipSync(),
      beeps: this.beeps.length,
      flashes: this.flashes.length,
      discontinuities: this.discontinuities,
      loudness: this.loudness.length ? Math.max(...this.loudness) : 0,
      loudnessNow: this.loudness.at(-1) ?? 0,
    };
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
