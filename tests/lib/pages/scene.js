// Draws the test picture in the page: a canvas that follows the page's clock, and an oscillator. The beeps are
// scheduled by the offset of the audio clock from the page's clock.
//
// The offset is that of the samples which are being rendered, because a stream takes samples as they are rendered. The
// samples that are being heard (`getOutputTimestamp`) are some 50 ms older: a beep scheduled by them would be in the
// stream that much before its flash.

import { BEEP_AGE_MAX, CODE_HEIGHT, encodeCode, GRID_HEIGHT, GRID_WIDTH, paintCode } from "./barcode.js";

const BEEP_SECONDS = 0.1;
const OFFSET_READINGS = 100; // 0.4 s of readings every 4 ms.

export async function drawScene({ width = 640, height = 360, fps = 30, humHertz = 300, beeps = true } = {}) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  document.body.append(canvas);
  const paint = canvas.getContext("2d", { alpha: false });
  const square = width / GRID_WIDTH;

  const audio = new AudioContext({ latencyHint: "interactive" });
  await audio.resume();
  const destination = audio.createMediaStreamDestination();
  const hum = tone(audio, humHertz, 0.05, destination);
  const beep = tone(audio, 2000, 0, destination);
  const start = performance.now() + 200;
  let beepsScheduled = 0;
  let counter = -1;
  // In seconds. Samples are rendered in blocks, so the mean over many readings counts.
  let clockOffset = null;

  function scheduleBeeps() {
    const offset = audio.currentTime - performance.now() / 1000;
    clockOffset = clockOffset === null ? offset : clockOffset + (offset - clockOffset) / OFFSET_READINGS;
    while (start + beepsScheduled * 1000 < performance.now() + 500) {
      const begin = clockOffset + (start + beepsScheduled * 1000) / 1000;
      if (beeps && begin > audio.currentTime) {
        beep.gain.setValueAtTime(0.6, begin);
        beep.gain.setValueAtTime(0, begin + BEEP_SECONDS);
      }
      beepsScheduled += 1;
    }
  }

  const stream = canvas.captureStream(0);
  const [track] = stream.getVideoTracks();
  stream.addTrack(destination.stream.getAudioTracks()[0]);

  function draw() {
    scheduleBeeps();
    const time = (performance.now() - start) / 1000;
    const due = Math.floor(time * fps);
    if (due <= counter || due < 0) return;
    counter = due;
    const fill = (x, y, w, h, style) => {
      paint.fillStyle = style;
      paint.fillRect(x * square, y * square, w * square, h * square);
    };
    fill(0, CODE_HEIGHT, GRID_WIDTH, GRID_HEIGHT - CODE_HEIGHT, `hsl(${(counter * 2) % 360} 40% 45%)`);
    fill(Math.abs(((counter + 40) % 80) - 40), 22, 10, 10, "#ddd");
    const beepAge = Math.min(counter % fps, BEEP_AGE_MAX);
    fill(44, 14, 18, 20, beepAge / fps < BEEP_SECONDS ? "#fff" : "#000");
    const code = encodeCode({ timeMs: Date.now(), counter: counter & 0xffff, beepAge });
    paintCode(code, (x, y, w, h, white) => fill(x, y, w, h, white ? "#fff" : "#000"));
    // At a fixed capture rate the browser would drop each frame that comes a little early.
    track.requestFrame();
  }
  // A timer and not requestAnimationFrame, because a page that is not visible must publish too.
  const timer = setInterval(draw, 4);

  return {
    stream,
    framesDrawn: () => counter + 1,
    stop() {
      clearInterval(timer);
      for (const track of stream.getTracks()) track.stop();
      hum.stop();
      beep.stop();
      audio.close();
      canvas.remove();
    },
  };
}

function tone(audio, hertz, level, destination) {
  const oscillator = new OscillatorNode(audio, { frequency: hertz });
  const volume = new GainNode(audio, { gain: level });
  oscillator.connect(volume).connect(destination);
  oscillator.start();
  return { gain: volume.gain, stop: () => oscillator.stop() };
}
