// Measures what a viewer sees whose network falls from 3 to 0.8 Mbit/s and comes back after 20 s: the real Chromium behind the relay, with
// another one beside it on a clean path.

import { rounded } from "../lib/numbers.js";
import { HD } from "../lib/picture.js";
import { UdpRelay } from "../lib/udp_relay.js";
import { pause } from "../lib/wait.js";

const GOOD = { rateKbps: 3000, delayMs: 25 };
const BAD = { rateKbps: 800, delayMs: 25 };
const SETTLING_MS = 15_000;
const BAD_MS = 20_000;
const AFTER_MS = 25_000;

/** Returns how long after `since` the picture first had a size for which `fits` is true. */
const firstSize = ({ sizes }, since, fits) => sizes.find(({ at, height }) => at >= since && fits(height))?.at - since;

export async function measureRateFall(stage, row) {
  await stage.publish("falling", { ...HD, bitrateKbps: 2200, gopFrames: 60 });
  const url = stage.gateway.url("/whep/falling");
  const relay = await UdpRelay.start(stage.gateway.rtcPort, { up: { ...GOOD }, down: { ...GOOD } });
  const beside = await stage.browser.play("whep", { url });
  const viewer = await stage.browser.play("whep", { url, relayPort: relay.port, concealment: true });
  await viewer.waitForFrames(30, 30_000);
  await pause(SETTLING_MS);
  for (const each of [viewer, beside]) await each.reset();
  const { height: before } = await viewer.report();
  const fell = Date.now();
  Object.assign(relay.down, BAD);
  Object.assign(relay.up, BAD);
  await pause(BAD_MS);
  const returned = Date.now();
  Object.assign(relay.down, GOOD);
  Object.assign(relay.up, GOOD);
  await pause(AFTER_MS);
  const [report, other] = [await viewer.report(), await beside.report()];
  const seconds = (ms) => (Number.isFinite(ms) ? `${rounded(ms / 1000, 1)} s` : "never");
  const longest = (freezes) => `${rounded(Math.max(0, ...freezes.map(({ ms }) => ms)))} ms`;
  const down = firstSize(report, fell, (height) => height < before);
  row("rate falls 3 → 0.8 Mbit/s: a lower level after", seconds(down), `aim 2 s; sizes ${report.sizes.map(({ at, height }) => `${height} at ${rounded((at - fell) / 1000, 1)} s`).join(", ")}`);
  row("rate falls: longest gap between frames", longest(report.freezes), `aim 500 ms; ${report.freezes.length} over 150 ms`);
  row("rate is back: the first level again after", seconds(firstSize(report, returned, (height) => height === before)), "aim 10 s");
  const concealed = report.concealment.reduce((sum, [part]) => sum + part, 0) / Math.max(1, report.concealment.reduce((sum, [, all]) => sum + all, 0));
  row("rate falls: audio made up", `${rounded(100 * concealed, 1)} %`);
  row("rate falls: a viewer beside it", longest(other.freezes), `longest gap; ${rounded(other.frames / other.seconds, 1)} fps`);
  await viewer.stop();
  await beside.stop();
  await relay.stop();
}
