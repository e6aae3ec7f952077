// Samples how much audio a browser invents (conceals) because packets did not come in time.

/** The windows in which stalls of audio are counted. */
const WINDOW_MS = 200;

export class Concealment {
  #timer;
  #last = null;
  #windows = [];

  constructor(pc) {
    this.#timer = setInterval(async () => {
      if (pc.connectionState === "closed") return;
      const reports = [...(await pc.getStats()).values()];
      const audio = reports.find(({ type, kind }) => type === "inbound-rtp" && kind === "audio");
      if (!audio) return;
      const { concealedSamples = 0, totalSamplesReceived = 0 } = audio;
      if (this.#last) {
        this.#windows.push([concealedSamples - this.#last.concealedSamples, totalSamplesReceived - this.#last.totalSamplesReceived]);
      }
      this.#last = { concealedSamples, totalSamplesReceived };
    }, WINDOW_MS);
  }

  reset() {
    this.#windows = [];
  }

  stop() {
    clearInterval(this.#timer);
  }

  report() {
    /** For each window of 200 ms, the samples that were concealed and all samples. */
    return { concealment: this.#windows };
  }
}
