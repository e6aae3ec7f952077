// Measures how far audio and video of RTMP → WHEP are in step, and what that costs: `node measure/sync.js [rounds [seconds]]`.
//
// Each round measures the browser's own loop-back, and then a viewer of each way. One connection differs from the next by
// tens of milliseconds, so viewers are compared with the median of all loop-backs, and the last lines count the rounds
// that met both aims.
//
// The offset of audio is measured twice: by the beeps and flashes of the test picture, and by the times that the browser
// itself estimates for what it plays. The latter includes no error of the picture, of its capture and of Web Audio.

import { Browser, figures } from "../lib/browser.js";
import { Gateway } from "../lib/gateway.js";
import { median, rounded } from "../lib/numbers.js";
import { PageServer } from "../lib/page_server.js";
import { HD, Publisher } from "../lib/picture.js";
import { pause, waitFor } from "../lib/wait.js";

const [rounds = 10, seconds = 15] = process.argv.slice(2).map(Number);
const SETTLING_MS = 3000;
const SKEW_MAX_MS = 20;
const WAYS = [
  { sync: "lip-sync", p95: 100, skew: SKEW_MAX_MS },
  { sync: "picture-first", p95: 60, skew: Infinity },
];

async function observe(client) {
  await client.waitForFrames(60);
  await pause(SETTLING_MS);
  await client.reset();
  const estimates = [];
  for (let second = 0; second < seconds; second += 1) {
    await pause(1000);
    const { statistics } = await client.report();
    const [video, audio] = ["video", "audio"].map((kind) => statistics[`inbound-rtp-${kind}`].estimatedPlayoutTimestamp);
    if (video && audio) estimates.push(video - audio);
  }
  const report = await client.report();
  await client.stop();
  const { p50, p95, fps } = figures(report);
  return { p50, p95, fps, skew: median(report.lipSync), estimate: median(estimates) };
}

function say(what, { p50, p95, fps, skew, estimate }) {
  const offset = `audio after video ${rounded(skew)} ms (the browser's estimate ${rounded(estimate)})`;
  console.log(`${what}: p50 ${rounded(p50)}, p95 ${rounded(p95)} ms, ${rounded(fps)} fps, ${offset}`);
}

const pages = await PageServer.start({});
const browser = await Browser.start({ pages });
const loops = [];
const seen = WAYS.map(() => []);
try {
  for (let round = 1; round <= rounds; round += 1) {
    loops.push(await observe(await browser.play("loopback", { width: HD.width, height: HD.height })));
    say(`${round} loop-back`, loops.at(-1));
    const gateway = await Gateway.start();
    const publisher = new Publisher(gateway.rtmpUrl("step"), { ...HD, gopFrames: 120 });
    try {
      await waitFor("the publisher", async () => (await gateway.room("step"))?.live, { giveUp: () => publisher.assertAlive() });
      for (const [index, { sync }] of WAYS.entries()) {
        const viewer = await browser.play("whep", { url: gateway.url(`/whep/step?sync=${sync}`) });
        seen[index].push(await observe(viewer));
        say(`${round} ${sync}`, seen[index].at(-1));
      }
    } finally {
      await publisher.stop();
      await gateway.stop();
    }
  }
} finally {
  await browser.stop();
  await pages.stop();
}
const own = median(loops.map(({ skew }) => skew));
const estimate = median(loops.map((loop) => loop.estimate));
console.log(`loop-backs: audio after video ${rounded(own)} ms (${rounded(estimate)})`);
for (const [index, { sync, p95, skew }] of WAYS.entries()) {
  const beyond = seen[index].map((one) => `${rounded(one.skew - own)} (${rounded(one.estimate - estimate)})`);
  const met = seen[index].filter((one) => one.p95 <= p95 && Math.abs(one.skew - own) <= skew);
  const aims = [`p95 ≤ ${p95} ms`, ...(skew < Infinity ? [`within ${skew} ms`] : [])];
  console.log(`${sync}: audio beyond the loop-backs ${beyond.join(", ")} ms; ${aims.join(" and ")} in ${met.length} of ${rounds} rounds`);
}
