// Draws the test picture in real time and feeds it to the real ffmpeg.
//
// This is a separate process, so that a busy test cannot delay a frame. Frame n is drawn at start + n / fps and carries
// the time at which it was drawn. Its timestamp is exactly n / fps. A frame leaves this process as 64 x 36 gray
// squares, which ffmpeg enlarges: 2 KB a frame instead of 1.4 MB keeps the pipe out of the measurement. Audio is
// written ahead of the video, because ffmpeg's FLV writer holds each frame until it has audio of the same time.
//
// picture.js starts this process with a JSON description as its argument. It ends with ffmpeg, with its parent, or on
// "stop" and "kill".

import { spawn } from "node:child_process";
import { BEEP_AGE_MAX, CODE_HEIGHT, encodeCode, GRID_HEIGHT, GRID_WIDTH, paintCode } from "./barcode.js";
import { matroskaBlock, matroskaHeader } from "./matroska.js";

const AUDIO_LEAD_MS = 160; // Covers three AAC frames and the priming of the audio encoder.
const BEEP_MS = 100;
const BEEP_HERTZ = 2000;
const BLACK = 16;
const WHITE = 235;

const options = JSON.parse(process.argv[2]);
const { fps, sampleRate, channels, humHertz, beeps, ffmpegArguments, reportTimes } = options;
const frameMicroseconds = 1e6 / fps;

// To measure the encoder alone, ffmpeg writes FLV to its stdout, and this process reads it below.
const ffmpeg = spawn("ffmpeg", ffmpegArguments, { stdio: ["pipe", reportTimes ? "pipe" : "ignore", "pipe"] });
process.send({ kind: "ffmpeg", pid: ffmpeg.pid });

let stderrTail = "";
ffmpeg.stderr.on("data", (chunk) => {
  stderrTail = (stderrTail + chunk).slice(-4000);
});
ffmpeg.stdin.on("error", () => {}); // ffmpeg's exit is reported, and says more than EPIPE.
ffmpeg.on("exit", (code, signal) => {
  process.send({ kind: "exit", code, signal, stderr: stderrTail }, () => process.exit(0));
});

const written = []; // The wall-clock time of each frame, kept when the parent measures the encoder.
if (reportTimes) {
  const { FlvReader } = await import("./flv.js");
  let firstMs = null;
  const reader = new FlvReader((tag) => {
    if (tag.kind !== "video" || tag.isHeader) return;
    firstMs ??= tag.compositionMs; // The FLV writer shifts all timestamps by the priming of the audio encoder.
    const frame = Math.round(((tag.compositionMs - firstMs) * fps) / 1000);
    if (written[frame] !== undefined) process.send({ kind: "latency", frame, ms: Date.now() - written[frame] });
  });
  ffmpeg.stdout.on("data", (chunk) => reader.push(chunk));
}

function drawFrame(counter) {
  const picture = Buffer.alloc(GRID_WIDTH * GRID_HEIGHT, 110);
  const fill = (x, y, width, height, luma) => {
    for (let row = y; row < y + height; row += 1) {
      picture.fill(luma, row * GRID_WIDTH + x, row * GRID_WIDTH + x + width);
    }
  };
  // A moving gradient and a bouncing square give the encoder work in every frame.
  for (let y = CODE_HEIGHT; y < GRID_HEIGHT; y += 1) {
    for (let x = 0; x < GRID_WIDTH; x += 1) {
      picture[y * GRID_WIDTH + x] = 60 + ((x * 3 + y * 5 + counter * 2) % 120);
    }
  }
  const bounce = Math.abs(((counter + 40) % 80) - 40);
  fill(bounce, 22, 10, 10, 200);
  const beepAge = Math.min(counter % fps, BEEP_AGE_MAX);
  fill(44, 14, 18, 20, (beepAge * 1000) / fps < BEEP_MS ? WHITE : BLACK);
  const timeMs = Date.now();
  const code = encodeCode({ timeMs, counter: counter & 0xffff, beepAge });
  paintCode(code, (x, y, width, height, white) => fill(x, y, width, height, white ? WHITE : BLACK));
  if (reportTimes) written[counter] = timeMs;
  return picture;
}

let samplesWritten = 0;
function drawSound(untilSample) {
  const count = untilSample - samplesWritten;
  const pcm = Buffer.alloc(count * channels * 2);
  for (let index = 0; index < count; index += 1) {
    const sample = samplesWritten + index;
    const time = sample / sampleRate;
    const intoSecond = sample % sampleRate;
    const beeping = beeps && intoSecond < (sampleRate * BEEP_MS) / 1000;
    const value =
      0.05 * Math.sin(2 * Math.PI * humHertz * time) +
      (beeping ? 0.6 * Math.sin((2 * Math.PI * BEEP_HERTZ * intoSecond) / sampleRate) : 0);
    for (let channel = 0; channel < channels; channel += 1) {
      pcm.writeInt16LE(Math.round(value * 32767), (index * channels + channel) * 2);
    }
  }
  const block = matroskaBlock(2, (samplesWritten * 1e6) / sampleRate, pcm);
  samplesWritten = untilSample;
  return block;
}

ffmpeg.stdin.write(matroskaHeader({ width: GRID_WIDTH, height: GRID_HEIGHT, fps, sampleRate, channels }));
const start = performance.now();
let counter = 0;
let timer = null;

function tick() {
  const due = Math.floor(((performance.now() - start) * fps) / 1000);
  // After a stall the missed frames are drawn too, late, and they carry that late time. Skipping them would leave a gap
  // in the timestamps.
  while (counter <= due) {
    if (channels > 0) {
      ffmpeg.stdin.write(drawSound(Math.round(((counter + 1) / fps + AUDIO_LEAD_MS / 1000) * sampleRate)));
    }
    ffmpeg.stdin.write(matroskaBlock(1, counter * frameMicroseconds, drawFrame(counter)));
    counter += 1;
  }
  timer = setTimeout(tick, Math.max(0, start + (counter * 1000) / fps - performance.now()));
}
tick();

function stop() {
  clearTimeout(timer);
  ffmpeg.stdin.end();
  ffmpeg.kill("SIGTERM");
}
process.on("message", (message) => {
  if (message === "stop") stop();
  if (message === "stall") clearTimeout(timer); // The connection stays open, but no frames follow.
  if (message === "resume") tick();
  if (message === "kill") {
    clearTimeout(timer);
    ffmpeg.kill("SIGKILL");
  }
});
process.on("SIGINT", () => {}); // Ctrl-C reaches the whole process group. The parent decides when to stop.
process.on("disconnect", () => {
  ffmpeg.kill("SIGKILL");
  process.exit(1);
});
