// Measures how near to the present hls.js settles, over many joins: `node measure/hls_joins.js [joins] [profile]`. Prints a
// table on standard output. Each join is a page of its own, at another point between two keyframes.

import { loadavg } from "node:os";
import { Browser } from "../lib/browser.js";
import { Gateway } from "../lib/gateway.js";
import { median, percentile, rounded } from "../lib/numbers.js";
import { Publisher } from "../lib/picture.js";
import { pause, waitFor } from "../lib/wait.js";

const joins = Number(process.argv[2] ?? 200);
const profiles = process.argv[3] ? [process.argv[3]] : ["default", "close"];
/** How long each player is watched. hls.js does not speed up, so the latency that it starts with stays. */
const WATCHED_MS = 4000;
const things = [];
const keep = (thing) => {
  things.push(thing);
  return thing;
};

// `exit` runs the handlers that end the started processes with this one.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

const browser = keep(await Browser.start());
const rows = [];
for (const profile of profiles) {
  const gateway = keep(await Gateway.start({ set: { "hls.profile": profile } }));
  const publisher = keep(new Publisher(gateway.rtmpUrl("show"), {}));
  await waitFor("the room to be live", async () => (await gateway.room("show"))?.live, { giveUp: () => publisher.assertAlive() });
  await pause(10_000);
  const [latencies, firsts] = [[], []];
  let stalls = 0;
  for (let join = 0; join < joins; join += 1) {
    await pause((join * 613) % 2000);
    const player = await browser.play("hls", { url: gateway.url("/hls/show/index.m3u8") });
    await player.waitForFrames(1, 20_000);
    await pause(WATCHED_MS);
    const report = await player.report();
    const latency = median(report.samples.slice(-30).map(([, ms]) => ms));
    latencies.push(latency);
    firsts.push(report.firstPictureMs);
    stalls += report.stalls.length + Number(report.waiting);
    process.stderr.write(`${profile} ${join + 1}: ${rounded(latency)} ms, first frame ${rounded(report.firstPictureMs)} ms, ${report.stalls.length} stalls\n`);
    await player.stop();
  }
  const of = (values) => [50, 95, 100].map((percent) => rounded(percentile(values, percent))).join(" | ");
  rows.push(`| ${profile}: latency | ${of(latencies)} | ${rounded(percentile(latencies, 95) / percentile(latencies, 50), 2)} |`);
  rows.push(`| ${profile}: first frame | ${of(firsts)} | |`);
  rows.push(`| ${profile}: players that stalled | ${stalls} of ${joins} | | | |`);
}
console.log(`| ms, ${joins} joins, load ${rounded(loadavg()[0], 1)} | p50 | p95 | most | p95 / p50 |\n| --- | --- | --- | --- | --- |\n${rows.join("\n")}`);
while (things.length > 0) await things.pop().stop();
