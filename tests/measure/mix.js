// Measures the mixer with real clients: `node measure/mix.js [seconds] [detail]`. Prints a table on standard output.
// `detail` is the strength of the noise added to the video. 8 makes the encoders use their 2.5 Mbit/s, and four of them
// need more than two cores.
//
// Latency is the time from the drawing of a participant's frame to the page that shows it in the program by WHEP. It
// includes generator, encoder, gateway and browser. The latency that the mixer adds is the host's latency when mixed
// minus the same host's latency when passed through.

import { cpus, loadavg } from "node:os";
import { Browser } from "../lib/browser.js";
import { Gateway } from "../lib/gateway.js";
import { command, latencyOf, programIs, seatOf, TILES, tilesAreReadable } from "../lib/mixed_room.js";
import { rounded } from "../lib/numbers.js";
import { Publisher } from "../lib/picture.js";
import { Tap } from "../lib/tap.js";
import { pause, waitFor } from "../lib/wait.js";

const SECONDS = Number(process.argv[2] ?? 20);
const HD = { width: 1280, height: 720, bitrateKbps: 2500, detail: Number(process.argv[3] ?? 0), gopFrames: 60 };
const GUESTS = ["anna", "ben", "cleo"];

const rows = [];
function row(what, value) {
  const load = loadavg()[0].toFixed(1);
  rows.push([what, value, `load ${load}`]);
  process.stderr.write(`${what}: ${value} (load ${load})\n`);
}

const ms = (value) => `${rounded(value)} ms`;

/** Measures for SECONDS the latency of each tile (or of the whole frame) and the CPU use of the gateway. */
async function watch(gateway, viewer, what, tiles) {
  await viewer.call("setTiles", tiles);
  await pause(3000);
  await viewer.reset();
  const [cpu, began] = [gateway.resources().cpuMs, performance.now()];
  await pause(SECONDS * 1000);
  const busy = (100 * (gateway.resources().cpuMs - cpu)) / (performance.now() - began);
  const report = await viewer.report();
  const samples = tiles.length > 0 ? report.tiles.map((tile) => tile.samples) : [report.samples];
  const latencies = samples.map(latencyOf);
  latencies.forEach(({ p50, p95 }, index) => {
    const who = index === 0 ? "the host" : GUESTS[index - 1];
    row(`${what}: ${who} → program by WHEP`, `p50 ${ms(p50)}, p95 ${ms(p95)}`);
  });
  row(`${what}: frames per second, CPU use of the gateway`, `${rounded(report.delivered / report.seconds, 1)}, ${rounded(busy)} % of a core`);
  return latencies[0];
}

async function splice(viewer, tap, what, change) {
  await viewer.reset();
  tap.reset();
  await change();
  await pause(2500);
  const [report, times] = [await viewer.report(), tap.continuity()];
  row(
    `${what}: longest time without a new frame`,
    `${ms(report.longestGapMs)} shown, ${ms(report.longestReceiveGapMs)} received, ${ms(times.pictureMs)} by timestamps; ` +
      `audio silent for ${ms(report.longestSilenceMs)}, ${ms(times.soundMs)} by timestamps; the machine did not schedule the measuring process for ${ms(times.machineMs)}`,
  );
}

const gateway = await Gateway.start({ set: { "ingest.grace": "2s", "rooms.away_timeout": "2s" } });
const browser = await Browser.start();
const publishers = new Map();
const publish = (name, key) => publishers.set(name, new Publisher(gateway.rtmpUrl(key), { ...HD, beeps: name === "host" }));
try {
  row("machine", `${cpus().length} × ${cpus()[0].model}, Chromium ${browser.version}`);
  publish("host", "show");
  await waitFor("the room to be live", async () => (await gateway.room("show"))?.live);
  const viewer = await browser.play("whep", { url: gateway.url("/whep/show"), tiles: TILES.two });
  const tap = await Tap.start(gateway.url("/flv/show.flv"));
  await viewer.waitForFrames(60);
  const passed = await watch(gateway, viewer, "passed through", []);

  await viewer.call("setTiles", TILES.two);
  await splice(viewer, tap, "one → two", async () => {
    publish("anna", "show/anna");
    await seatOf(gateway, "show", "anna");
    await tilesAreReadable(viewer, 2);
  });
  const two = await watch(gateway, viewer, "two mixed", TILES.two);
  row("two mixed: added for the host", `p50 ${ms(two.p50 - passed.p50)}, p95 ${ms(two.p95 - passed.p95)}`);

  await splice(viewer, tap, "two → one", async () => {
    await publishers.get("anna").stop();
    await programIs(gateway, "show", "pass-through");
  });
  for (const name of GUESTS) publish(name, `show/${name}`);
  for (const name of GUESTS) await seatOf(gateway, "show", name);
  await command(gateway, "show", "PUT", "/layout", { kind: "grid" });
  await viewer.call("setTiles", TILES.four);
  await tilesAreReadable(viewer, 4);
  const four = await watch(gateway, viewer, "four mixed", TILES.four);
  row("four mixed: added for the host", `p50 ${ms(four.p50 - passed.p50)}, p95 ${ms(four.p95 - passed.p95)}`);
  await tap.stop();
} finally {
  for (const publisher of publishers.values()) if (!publisher.exit) await publisher.stop();
  await browser.stop();
  await gateway.stop();
}

process.stdout.write("| what | measured | |\n| --- | --- | --- |\n");
for (const cells of rows) process.stdout.write(`| ${cells.join(" | ")} |\n`);
