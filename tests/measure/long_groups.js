// Measures how soon the first viewer of a room starts whose encoder sends a keyframe every 8.3 s, as OBS does by default:
// `node measure/long_groups.js [joins] [protocol…]`. Prints a table on standard output.
//
// Nobody watches the room before, so the conversion of its video begins with this viewer. Each join has a room of its own, and comes at
// another point between two keyframes.

import { loadavg } from "node:os";
import { Browser } from "../lib/browser.js";
import { Gateway } from "../lib/gateway.js";
import { median, percentile, rounded } from "../lib/numbers.js";
import { HD, Publisher } from "../lib/picture.js";
import { pause, waitFor } from "../lib/wait.js";

const [joins = 12, ...wanted] = process.argv.slice(2);
const GROUP_FRAMES = 250;
const GROUP_MS = (GROUP_FRAMES * 1000) / 30;
const WATCHED_MS = 4000;
const PICTURES = { "360p": {}, "720p": HD };
const ADDRESSES = {
  hls: (gateway, room) => gateway.url(`/hls/${room}/index.m3u8`),
  whep: (gateway, room) => gateway.url(`/whep/${room}`),
};
const protocols = wanted.length > 0 ? wanted : Object.keys(ADDRESSES);

// `exit` runs the handlers that end the started processes with this one.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

const browser = await Browser.start();
const gateway = await Gateway.start();
const rows = [];
let rooms = 0;
try {
  for (const [size, picture] of Object.entries(PICTURES)) {
    for (const protocol of protocols) {
      const [firsts, latencies] = [[], []];
      let stalls = 0;
      for (let join = 0; join < Number(joins); join += 1) {
        const room = `room${(rooms += 1)}`;
        const publisher = new Publisher(gateway.rtmpUrl(room), { ...picture, gopFrames: GROUP_FRAMES });
        await waitFor("the room to be live", async () => (await gateway.room(room))?.live, { giveUp: () => publisher.assertAlive() });
        const age = (join * GROUP_MS) / Number(joins);
        await pause(GROUP_MS + age); // The second keyframe shows how long the groups are.
        const viewer = await browser.play(protocol, { url: ADDRESSES[protocol](gateway, room) });
        const { firstPictureMs } = await viewer.waitForFrames(1, 20_000);
        await pause(WATCHED_MS);
        const report = await viewer.report();
        firsts.push(firstPictureMs);
        latencies.push(median(report.samples.slice(-30).map(([, ms]) => ms)));
        stalls += report.stalls?.length ?? 0;
        process.stderr.write(
          `${size} ${protocol}, ${rounded(age)} ms after a keyframe: ${rounded(firstPictureMs)} ms, latency ${rounded(latencies.at(-1))} ms\n`,
        );
        await viewer.stop();
        await publisher.stop();
      }
      const of = (values) => `${rounded(median(values))} | ${rounded(percentile(values, 100))}`;
      rows.push(`| ${size} | ${protocol} | ${of(firsts)} | ${of(latencies)} | ${stalls} |`);
    }
  }
} finally {
  await browser.stop();
  await gateway.stop();
}
const head = "| video | by | first frame, median | worst | latency, median | worst | stalls |";
console.log(`${joins} joins each, load ${rounded(loadavg()[0], 1)}; ms\n\n${head}\n|${" --- |".repeat(7)}\n${rows.join("\n")}`);
