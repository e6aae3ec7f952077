// Finds where a 2 kHz beep begins, to one millisecond. Also reports the overall level, the level of each requested
// tone, and the length of each silence.

const BEEP_HERTZ = 2000;
const BLOCK_SECONDS = 0.001; // 1 ms is two periods of the beep.
const LOUD = 0.12;
// A beep counts as new after this many blocks without one (300 ms), so that echoes of the codec do not count.
const QUIET_BLOCKS = 300;
const LEVEL_SECONDS = 0.25;

class BeepDetector extends AudioWorkletProcessor {
  constructor({ processorOptions }) {
    super();
    this.levelSamples = Math.round(sampleRate * LEVEL_SECONDS);
    this.tones = (processorOptions?.tones ?? []).map((hertz) => ({ hertz, cosine: 0, sine: 0 }));
    this.window = 0;
    this.blockSamples = Math.round(sampleRate * BLOCK_SECONDS);
    this.phase = (2 * Math.PI * BEEP_HERTZ) / sampleRate;
    this.cosine = 0;
    this.sine = 0;
    this.filled = 0;
    this.quiet = QUIET_BLOCKS;
    this.energy = 0;
    this.measured = 0;
    this.blockStart = 0;
    this.silentRun = 0;
    this.heard = false;
  }

  process([input], [output]) {
    const samples = input[0];
    if (!samples) return true;
    for (let channel = 0; channel < output.length; channel += 1) output[channel].set(input[channel] ?? samples);
    for (let index = 0; index < samples.length; index += 1) {
      if (this.filled === 0) this.blockStart = currentTime + index / sampleRate;
      this.cosine += samples[index] * Math.cos(this.phase * this.filled);
      this.sine += samples[index] * Math.sin(this.phase * this.filled);
      this.filled += 1;
      if (this.filled === this.blockSamples) this.endBlock();
      this.energy += samples[index] ** 2;
      this.measureTones(samples[index]);
      this.measured += 1;
      this.countSilence(samples[index]);
      if (this.measured === this.levelSamples) this.endLevel();
    }
    return true;
  }

  // Applies a Hann window, so that one tone does not leak into the measurement of another.
  measureTones(sample) {
    const weight = 0.5 - 0.5 * Math.cos((2 * Math.PI * this.measured) / this.levelSamples);
    this.window += weight;
    for (const tone of this.tones) {
      const phase = (2 * Math.PI * tone.hertz * this.measured) / sampleRate;
      tone.cosine += weight * sample * Math.cos(phase);
      tone.sine += weight * sample * Math.sin(phase);
    }
  }

  endLevel() {
    const tones = {};
    for (const tone of this.tones) {
      tones[tone.hertz] = (2 * Math.hypot(tone.cosine, tone.sine)) / this.window;
      tone.cosine = 0;
      tone.sine = 0;
    }
    this.port.postMessage({ kind: "level", rms: Math.sqrt(this.energy / this.measured), tones });
    this.energy = 0;
    this.measured = 0;
    this.window = 0;
  }

  // The hum of the test picture never stops, so 5 ms of silence are a gap in the audio.
  countSilence(sample) {
    if (Math.abs(sample) > 1e-4) {
      if (this.heard && this.silentRun >= sampleRate * 0.005) {
        this.port.postMessage({ kind: "silence", ms: (this.silentRun * 1000) / sampleRate });
      }
      this.heard = true;
      this.silentRun = 0;
      return;
    }
    this.silentRun += 1;
    if (this.heard && this.silentRun === Math.round(sampleRate * 0.005)) {
      this.port.postMessage({ kind: "discontinuity" });
    }
  }

  endBlock() {
    const amplitude = (2 * Math.hypot(this.cosine, this.sine)) / this.blockSamples;
    if (amplitude > LOUD) {
      if (this.quiet >= QUIET_BLOCKS) this.port.postMessage({ kind: "beep", contextTime: this.blockStart });
      this.quiet = 0;
    } else {
      this.quiet += 1;
    }
    this.cosine = 0;
    this.sine = 0;
    this.filled = 0;
  }
}

registerProcessor("beep-detector", BeepDetector);
