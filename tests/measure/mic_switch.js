// Measures the switch from the host's grant to the mic and back, repeatedly:
// `node measure/mic_switch.js [rounds] [hls|whep|both] [default|close]`, where the last is the LL-HLS profile. Prints a table
// on standard output. It measures from outside the player, as e2e/mic_switch.test.js does.

import { loadavg } from "node:os";
import { Browser } from "../lib/browser.js";
import { Gateway } from "../lib/gateway.js";
import { colourWatch, micPage } from "../lib/mic_page.js";
import { percentile, rounded } from "../lib/numbers.js";
import { Publisher } from "../lib/picture.js";
import { RoomClient } from "../lib/room_client.js";
import { pause, waitFor } from "../lib/wait.js";

const rounds = Number(process.argv[2] ?? 20);
const transports = ["hls", "whep"].filter((transport) => [undefined, "both", transport].includes(process.argv[3]));
const profile = process.argv[4] ?? "default";
const things = [];
const keep = (thing) => {
  things.push(thing);
  return thing;
};

// `exit` runs the handlers that end the started processes with this one.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

const gateway = keep(await Gateway.start({ set: { "rooms.cool_down": "100ms", "hls.profile": profile } }));
const browser = keep(await Browser.start());
const publisher = keep(new Publisher(gateway.rtmpUrl("show"), {}));
await waitFor("the room to be live", async () => (await gateway.room("show"))?.live, { giveUp: () => publisher.assertAlive() });
const host = keep(await RoomClient.join(gateway, "show", { role: "host", name: "Mia" }));
const other = await colourWatch(browser, gateway, "show");

const rows = [];
const row = (what, values) => {
  const [p50, p95, most] = [50, 95, 100].map((percent) => rounded(percentile(values, percent)));
  rows.push(`| ${what} | ${p50} | ${p95} | ${most} |`);
};

for (const transport of transports) {
  const [on, off] = [[], []];
  const page = await micPage(browser, gateway, "show", { transport });
  for (let round = 0; round < rounds; round += 1) {
    await page.raiseHand("Anna");
    await pause(700 + ((round * 613) % 2000)); // Each round begins at another point between two keyframes.
    await page.resetMeter();
    const granted = Date.now();
    await host.ask({ kind: "grant", person: await page.person() });
    const going = await page.change("on");
    const visible = (await other.sees(true, granted)) - granted;
    on.push({ ...going, first: going.onAt - granted, visible, bystanderGapMs: await other.longestGap(granted, Date.now()) });
    await pause(1500);
    await page.resetMeter();
    const leftAt = Date.now();
    await page.click(".micbar .danger");
    const back = await page.change("off");
    const gone = (await other.sees(false, leftAt)) - leftAt;
    const bystanderGapMs = await other.longestGap(leftAt, Date.now());
    off.push({ ...back, first: back.own.grantToFirstFrameMs, visible: gone, bystanderGapMs });
    await page.waitForSelector('.micbar .primary:has-text("Ask for the mic")');
    process.stderr.write(`${transport} ${round + 1}: ${JSON.stringify([on.at(-1), off.at(-1)])}\n`);
  }
  for (const [way, all] of [[`${transport} to mic`, on], [`mic to ${transport}`, off]]) {
    row(`${way}: first frame`, all.map(({ first }) => first));
    row(`${way}: co-host ${all === on ? "in" : "out of"} another's program`, all.map(({ visible }) => visible));
    row(`${way}: longest time without a new frame`, all.map(({ longestPictureGapMs }) => longestPictureGapMs));
    row(`${way}: the same of another viewer meanwhile`, all.map(({ bystanderGapMs }) => bystanderGapMs));
    row(`${way}: longest time without audio`, all.map(({ soundGapMs }) => soundGapMs));
    row(`${way}: longest time with both audios`, all.map(({ soundOverlapMs }) => soundOverlapMs));
    row(`${way}: jump on the program's timeline`, all.map(({ own }) => Math.abs(own.programStepMs ?? 0)));
  }
  await page.context().close();
}
console.log(`${rounds} rounds each, a 360p30 host by RTMP mixed to 720p, LL-HLS profile ${profile}, times in ms; load at the end ${loadavg().map((load) => load.toFixed(1)).join(" ")}\n`);
console.log(["| what | p50 | p95 | maximum |", "| --- | --- | --- | --- |", ...rows].join("\n"));
while (things.length > 0) await things.pop().stop();
process.exit(0);
