// Measures the figures of docs/PERFORMANCE.md with real clients: `node measure/run.js [name…]`. Prints a table on
// standard output.
//
// A figure includes the generator and encoder of the test picture (their share is also measured alone and printed), the
// gateway, the network (loopback), and the browser down to its compositor. The "loop-back" row is the browser's own
// share.

import { Browser, figures } from "../lib/browser.js";
import { Gateway } from "../lib/gateway.js";
import { median, percentile, rounded } from "../lib/numbers.js";
import { PageServer } from "../lib/page_server.js";
import { HD, LIKE_OBS, ownLatency, Publisher, recordFile } from "../lib/picture.js";
import { run } from "../lib/run.js";
import { pause, waitFor } from "../lib/wait.js";
import { measureLoss } from "./loss.js";
import { measureRateFall } from "./rate_fall.js";
import { cpus, tmpdir } from "node:os";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";

const JOINS = 5;
const MINUTE = 60;

const rows = [];
function row(what, value, note = "") {
  rows.push([what, value, note]);
  process.stderr.write(`${what}: ${value} ${note}\n`);
}

const ms = (value) => `${rounded(value)} ms`;
const latencies = (report) => report.samples.map(([, latency]) => latency);

function glassToGlass(what, report) {
  const { fps, p50, p95, freezes, longestFreeze, missing } = figures(report);
  const repeated = longestFreeze ? `, longest ${longestFreeze} ms` : "";
  row(`${what}: glass to glass`, `p50 ${ms(p50)}, p95 ${ms(p95)}`, `${rounded(fps, 1)} fps, ${missing} frames missing`);
  row(`${what}: freezes in ${rounded(report.seconds)} s`, `${freezes}`, `longer than 150 ms${repeated}`);
}

/** Measures the baselines with which all other figures are compared. */
async function baselines({ browser, pages, folder }) {
  for (const [what, picture] of [
    ["bf=0, 360p", {}],
    ["bf=0, 720p", HD],
    ["bf=2, look-ahead 20, 720p", { ...HD, ...LIKE_OBS }],
  ]) {
    const own = await ownLatency(picture, 6);
    row(`generator and encoder alone, ${what}`, `p50 ${ms(own.p50)}, p95 ${ms(own.p95)}`);
  }
  // The offset between audio and video differs a little from one connection to the next, so the median of three is
  // taken.
  const syncs = [];
  for (let round = 0; round < 3; round += 1) {
    const loop = await browser.play("loopback", HD);
    await loop.waitForFrames(60);
    const report = await loop.watch(round === 0 ? 15 : 6);
    if (round === 0) glassToGlass("browser loop-back (WebRTC in one page, 720p)", report);
    syncs.push(median(report.lipSync));
    await loop.stop();
  }
  const sync = median(syncs);
  row("browser loop-back: audio after video", ms(sync), `of three: ${syncs.map((value) => rounded(value)).join(", ")} ms`);

  await recordFile(join(folder, "clip.mp4"), 12);
  const fileSyncs = [];
  for (let round = 0; round < 3; round += 1) {
    const file = await browser.play("file", { url: `${pages.url}/clip.mp4` });
    await file.waitForFrames(30);
    fileSyncs.push(median((await file.watch(6)).lipSync));
    await file.stop();
  }
  const fileSync = median(fileSyncs);
  row("browser playing a file: audio after video", ms(fileSync), `of three: ${fileSyncs.map((value) => rounded(value)).join(", ")} ms`);
  return { sync, fileSync };
}

let baseline = null;
async function lipSyncAgainst(stage, kind) {
  baseline ??= await baselines(stage);
  return baseline[kind];
}

async function joinTimes(stage, what, url, seconds) {
  const first = [];
  const connected = [];
  const answered = [];
  const extra = [];
  for (let round = 0; round < JOINS; round += 1) {
    await pause(700 + round * 613); // Each round begins at another point between two keyframes.
    const viewer = await stage.browser.play("whep", { url });
    const start = await viewer.waitForFrames(1, 20_000);
    first.push(start.firstPictureMs);
    answered.push(start.times.answered);
    connected.push(start.times.connected - start.times.answered);
    await pause(2000);
    const settling = latencies(await viewer.watch(1));
    await pause(3000);
    const settled = latencies(await viewer.watch(2));
    extra.push(median(settling) - median(settled));
    await viewer.stop();
  }
  row(`${what}: first frame (keyframe every ${seconds} s)`, `median ${ms(median(first))}, worst ${ms(percentile(first, 100))}`, "counted from before the offer is made");
  row(`${what}: connected, counted from the answer`, `median ${ms(median(connected))}, worst ${ms(percentile(connected, 100))}`, `answer after ${ms(median(answered))}`);
  row(`${what}: latency 2 s after joining`, `${extra.map((value) => rounded(value)).join(", ")} ms`, "above the same viewer's later latency");
}

const measurements = {
  baselines: (stage) => lipSyncAgainst(stage, "sync"),

  async rtmp_to_whep(stage) {
    const sync = await lipSyncAgainst(stage, "sync");
    await stage.publish("low", { ...HD, gopFrames: 120 });
    const url = stage.gateway.url("/whep/low");
    await joinTimes(stage, "RTMP → WHEP", url, 4);
    for (const way of ["lip-sync", "picture-first"]) {
      const viewer = await stage.browser.play("whep", { url: `${url}?sync=${way}` });
      await viewer.waitForFrames(60);
      const report = await viewer.watch(MINUTE);
      glassToGlass(`RTMP (bf=0) → WHEP, ${way}`, report);
      row(`RTMP → WHEP, ${way}: audio after video, compared with the loop-back`, ms(median(report.lipSync) - sync), `${report.beeps} beeps, ${report.discontinuities} gaps`);
      await viewer.stop();
    }
  },

  async rtmp_bframes_to_whep(stage) {
    const sync = await lipSyncAgainst(stage, "sync");
    await stage.publish("obs", { ...HD, ...LIKE_OBS });
    const url = stage.gateway.url("/whep/obs");
    await joinTimes(stage, "RTMP (bf=2) → WHEP", url, 2);
    const viewer = await stage.browser.play("whep", { url });
    await viewer.waitForFrames(60);
    const report = await viewer.watch(MINUTE);
    glassToGlass("RTMP (bf=2, like OBS) → WHEP", report);
    row("RTMP (bf=2) → WHEP: audio after video, compared with the loop-back", ms(median(report.lipSync) - sync));
    await viewer.stop();
  },

  async whip_to_whep(stage) {
    const sync = await lipSyncAgainst(stage, "sync");
    const publisher = await stage.browser.play("whip", { url: stage.gateway.url("/whip/cam"), width: 1280, height: 720, kbps: 2500 });
    await publisher.waitFor("the publisher", ({ state }) => state === "connected");
    await stage.isLive("cam");
    const viewer = await stage.browser.play("whep", { url: stage.gateway.url("/whep/cam") });
    await viewer.waitForFrames(60);
    const report = await viewer.watch(MINUTE);
    glassToGlass("WHIP → WHEP (both in one browser)", report);
    row("WHIP → WHEP: audio after video, compared with the loop-back", ms(median(report.lipSync) - sync));
    await viewer.stop();
    await publisher.stop();
  },

  async rtmp_to_hls(stage) {
    const fileSync = await lipSyncAgainst(stage, "fileSync");
    await stage.publish("far", { ...HD, gopFrames: 60 });
    await watchHls(stage, "RTMP → LL-HLS (hls.js)", "far", fileSync);
  },

  async whip_to_hls(stage) {
    const fileSync = await lipSyncAgainst(stage, "fileSync");
    const publisher = await stage.browser.play("whip", { url: stage.gateway.url("/whip/farcam"), width: 1280, height: 720, kbps: 2500 });
    await publisher.waitFor("the publisher", ({ state }) => state === "connected");
    await stage.isLive("farcam");
    await watchHls(stage, "WHIP → LL-HLS (hls.js)", "farcam", fileSync);
    await publisher.stop();
  },

  loss: measureLoss,
  rate_fall: (stage) => measureRateFall(stage, row),

  async reconnect(stage) {
    const picture = { ...HD, gopFrames: 30 };
    const first = await stage.publish("again", picture);
    const near = await stage.browser.play("whep", { url: stage.gateway.url("/whep/again") });
    const far = await stage.browser.play("hls", { url: stage.gateway.url("/hls/again/index.m3u8") });
    await near.waitForFrames(30);
    await far.waitForFrames(30, 20_000);
    await first.kill();
    await pause(2000);
    const since = Date.now();
    await stage.publish("again", picture);
    for (const [what, viewer] of [["WHEP", near], ["LL-HLS", far]]) {
      const isNew = ([at, latency]) => at - latency > since;
      const report = await viewer.waitFor(`new frames by ${what}`, ({ samples }) => samples.some(isNew), 30_000);
      row(`publisher gone for 2 s: ${what} shows the first new frame`, ms(report.samples.find(isNew)[0] - since), "counted from the restart of ffmpeg");
      await viewer.stop();
    }
  },
};

async function watchHls(stage, what, room, fileSync) {
  await pause(6000); // A viewer who joins a stream that has just begun sees it from its beginning.
  const viewer = await stage.browser.play("hls", { url: stage.gateway.url(`/hls/${room}/index.m3u8`) });
  await viewer.waitForFrames(60, 30_000);
  await pause(5000);
  const report = await viewer.watch(2 * MINUTE);
  glassToGlass(what, report);
  row(`${what}: stalls in two minutes`, `${report.stalls.length}`, `${report.errors.length} errors reported by hls.js`);
  row(`${what}: first frame`, ms(report.firstPictureMs));
  row(`${what}: audio after video, compared with a file`, ms(median(report.lipSync) - fileSync));
  await viewer.stop();
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !measurements[name]);
if (unknown.length > 0) {
  process.stderr.write(`no such measurement: ${unknown.join(", ")}; there are ${Object.keys(measurements).join(", ")}\n`);
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), "onmic-measure-"));
const pages = await PageServer.start({ folder });
const browser = await Browser.start({ pages });
try {
  const version = (await run("ffmpeg", ["-version"])).stdout.split(" ")[2];
  row("machine", `${cpus().length} × ${cpus()[0].model}`, `Chromium ${browser.version}, ffmpeg ${version}, Node ${process.version}`);
  for (const [name, measure] of Object.entries(measurements)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    // Each measurement gets a new gateway, and no other measurement runs beside it.
    const gateway = await Gateway.start();
    const publishers = [];
    const stage = {
      gateway,
      browser,
      pages,
      folder,
      isLive: (room) => waitFor(`${room} to be live`, async () => (await gateway.room(room))?.live),
      async publish(room, picture) {
        const publisher = new Publisher(gateway.rtmpUrl(room), picture);
        publishers.push(publisher);
        await waitFor(`${room} to be live`, async () => (await gateway.room(room))?.live, { giveUp: () => publisher.assertAlive() });
        return publisher;
      },
    };
    try {
      await measure(stage);
    } finally {
      for (const publisher of publishers) await publisher.stop();
      await gateway.stop();
    }
  }
} finally {
  await browser.stop();
  await pages.stop();
  rmSync(folder, { recursive: true, force: true });
}

process.stdout.write("| what | measured | |\n| --- | --- | --- |\n");
for (const cells of rows) process.stdout.write(`| ${cells.join(" | ")} |\n`);
