// Measures how players that nobody here wrote take streams of several ages. Prints a table on standard output.
//
//   node measure/players.js [--ages 5,60] [--seconds 60] [--streams plain,like-obs] [--players shaka,mpv] [--modules DIR]
//
// `--players` takes parts of the names in the table. The hls.js of the tests is always there. `--modules` names a
// folder as npm makes it (node_modules) with others: hls.js in another version, shaka-player, video.js, mpegts.js.
// ffplay, mpv and VLC are measured if they are installed. `--server URL --rtmp URL --rooms NAMES` measures rooms of a server
// that runs already, at the age that they have; they must show the test picture. `--set hls.segment=1s --gop 30` measures other
// settings, and a keyframe every 30 frames.
//
// A latency is from the drawing of a frame to its display, so it includes the encoder. A stall is half a second
// without a new frame.

import { existsSync, readFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join, resolve } from "node:path";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import { Browser } from "../lib/browser.js";
import { Gateway } from "../lib/gateway.js";
import { NativePlayer } from "../lib/native_player.js";
import { median, percentile, rounded } from "../lib/numbers.js";
import { PageServer } from "../lib/page_server.js";
import { DEFAULT_PICTURE, LIKE_OBS, Publisher } from "../lib/picture.js";
import { pause, waitFor } from "../lib/wait.js";

const { values: wanted } = parseArgs({
  options: {
    ages: { type: "string", default: "5,60" },
    seconds: { type: "string", default: "60" },
    streams: { type: "string", default: "plain,like-obs" },
    players: { type: "string", default: "" },
    modules: { type: "string" },
    server: { type: "string" },
    rtmp: { type: "string" },
    rooms: { type: "string", default: "" },
    set: { type: "string", default: "" },
    gop: { type: "string" },
  },
});
const list = (text) => text.split(",").filter((word) => word !== "");
const seconds = Number(wanted.seconds);
const ages = list(wanted.ages).map(Number);
const group = wanted.gop ? { gopFrames: Number(wanted.gop) } : {};
const pictures = { plain: group, "like-obs": { ...LIKE_OBS, gopFrames: 120, ...group } };
const set = Object.fromEntries(list(wanted.set).map((option) => option.split("=")));

/** Rooms of this age are shared by all players, instead of one for each. */
const OLD_SECONDS = 300;
const STALL_MS = 500;
const SETTLED_MS = 10_000; // Latency is measured over this time at the end.

const LIBRARIES = {
  "hls.js": { script: "dist/hls.min.js", path: hls },
  "shaka-player": { script: "dist/shaka-player.compiled.js", path: hls },
  "video.js": { script: "dist/video.min.js", path: hls },
  "mpegts.js": { script: "dist/mpegts.js", path: flv },
};

function hls(gateway, room) {
  return gateway.url(`/hls/${room}/index.m3u8`);
}
function flv(gateway, room) {
  return gateway.url(`/flv/${room}.flv`);
}
function rtmp(gateway, room) {
  return gateway.rtmpUrl(room);
}

const packageVersion = (file) => JSON.parse(readFileSync(file)).version;

/** Returns name and `start(url)` of each player there is. */
function players(browser) {
  const found = [];
  const inBrowser = (library, version, script) =>
    found.push({
      name: `${library} ${version}`,
      path: LIBRARIES[library].path,
      start: (url) => browser.play("library", { library, script, url }),
    });
  const own = createRequire(import.meta.url).resolve("hls.js/package.json");
  inBrowser("hls.js", packageVersion(own), "/hls.js");
  for (const [library, { script }] of Object.entries(LIBRARIES)) {
    const folder = wanted.modules && join(resolve(wanted.modules), library);
    if (folder && existsSync(folder)) inBrowser(library, packageVersion(join(folder, "package.json")), `/${library}/${script}`);
  }
  for (const [program, paths] of Object.entries({ ffplay: { hls, flv, rtmp }, mpv: { hls, flv, rtmp }, vlc: { hls, flv } })) {
    const version = NativePlayer.version(program);
    if (version === null) continue;
    for (const [protocol, path] of Object.entries(paths)) {
      const start = (url) => new NativePlayer(program, url, DEFAULT_PICTURE);
      found.push({ name: `${program} ${version} ${protocol}`, path, start });
    }
  }
  const parts = list(wanted.players);
  return found.filter(({ name }) => parts.length === 0 || parts.some((part) => name.includes(part)));
}

const things = [];
const keep = (thing) => {
  things.push(thing);
  return thing;
};

// `exit` runs the handlers that end the started processes with this one.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

const elsewhere = { url: (path) => new URL(path, wanted.server).href, rtmpUrl: (key) => `${wanted.rtmp}/${key}` };
const gateway = wanted.server ? elsewhere : keep(await Gateway.start({ set }));
const pages = keep(await PageServer.start({ folder: wanted.modules ? resolve(wanted.modules) : null }));
const browser = keep(await Browser.start({ pages }));

let rooms = 0;
async function publish(stream) {
  const room = `room${(rooms += 1)}`;
  const publisher = keep(new Publisher(gateway.rtmpUrl(room), pictures[stream]));
  await waitFor("the room to be live", async () => (await gateway.room(room))?.live, { giveUp: () => publisher.assertAlive() });
  return { stream, room, publisher, since: Date.now() };
}

/** Yields a room of each age and stream for each player. */
async function* sources() {
  for (const room of list(wanted.rooms)) {
    const { started_at: startedAt } = await (await fetch(gateway.url(`/api/v1/rooms/${room}`))).json();
    for (const player of all) yield { player, stream: room, room, since: Date.parse(startedAt) };
  }
  if (wanted.server) return;
  const isOld = (age) => age >= OLD_SECONDS;
  const old = new Map();
  if (ages.some(isOld)) for (const stream of list(wanted.streams)) old.set(stream, await publish(stream));
  for (const age of ages.toSorted((a, b) => a - b)) {
    for (const stream of list(wanted.streams)) {
      for (const player of all) {
        const source = isOld(age) ? old.get(stream) : await publish(stream);
        await pause(Math.max(0, source.since + age * 1000 - Date.now()));
        yield { player, ...source };
        if (!isOld(age)) await source.publisher.stop();
      }
    }
  }
}

function row({ name }, stream, ageSeconds, report) {
  const last = report.samples.at(-1)?.[0];
  const latencies = report.samples.filter(([at]) => at > last - SETTLED_MS).map(([, latency]) => latency);
  const stalls = report.freezes.map(({ ms }) => ms).filter((ms) => ms > STALL_MS);
  if (report.lastFrameAgeMs === null || report.lastFrameAgeMs > STALL_MS) stalls.push(report.lastFrameAgeMs ?? seconds * 1000);
  const longest = stalls.length > 0 ? `, longest ${rounded(Math.max(...stalls) / 1000, 1)} s` : "";
  const cells = [
    name,
    stream,
    ageSeconds < 120 ? `${rounded(ageSeconds)} s` : `${rounded(ageSeconds / 60)} min`,
    `${rounded(report.firstPictureMs)} ms`,
    `${stalls.length}${longest}`,
    `${rounded(median(latencies) / 1000, 2)}, ${rounded(percentile(latencies, 95) / 1000, 2)} s`,
    report.loudness === null ? "-" : report.loudness > 0.01 ? "yes" : "no",
    report.errors.length > 0 ? `${report.errors.length}: ${String(report.errors[0]).trim().slice(0, 60)}` : "0",
    loadavg()[0].toFixed(1),
  ];
  return `| ${cells.join(" | ")} |`;
}

const rows = [];
const all = players(browser);
for await (const { player, stream, room, since } of sources()) {
  const age = (Date.now() - since) / 1000;
  const client = await player.start(player.path(gateway, room));
  await pause(seconds * 1000);
  const report = await client.report();
  await client.stop();
  rows.push(row(player, stream, age, report));
  process.stderr.write(`${rows.at(-1)}\n`);
}
const head = ["player", "stream", "age", "first frame", `stalls in ${seconds} s`, "latency p50, p95", "audio", "errors", "load"];
console.log(`| ${head.join(" | ")} |\n|${" --- |".repeat(head.length)}\n${rows.join("\n")}`);
while (things.length > 0) {
  const thing = things.pop();
  if (!thing.exit) await thing.stop(); // A publisher of a young room has stopped.
}
process.exit(0);
