// Measures how WebRTC plays over bad networks: the real Chromium behind the relay, with the same faults in both directions.
//
// Each network is watched for a minute. A freeze is a time of more than 200 ms without a new frame. Audio counts by the samples that the
// browser invented in place of lost ones, and by windows of 200 ms: a window is a stall if half of it was invented, and a minute is bad
// if more than 3 % of its windows are stalls.

import { percentile, rounded } from "../lib/numbers.js";
import { HD } from "../lib/picture.js";
import { UdpRelay } from "../lib/udp_relay.js";
import { pause } from "../lib/wait.js";
import { plot } from "./plot.js";
import { writeFileSync } from "node:fs";

const SECONDS = Number(process.env.SECONDS ?? 60);
const SETTLING_MS = Number(process.env.SETTLING_MS ?? 5000);
const FREEZE_MS = 200;
const STALL_SHARE = 0.5;
const BAD_MINUTE_PERCENT = 3;

/** Where the loss curve is drawn. */
const PICTURE = new URL("../../docs/pictures/loss.svg", import.meta.url);

const lossy = (lossPercent, rttMs, { jitterMs = 0, burstPackets = 1 } = {}) => ({
  rules: { lossPercent, burstPackets, delayMs: (rttMs - jitterMs) / 2, jitterMs },
});

/** The networks, each with what the viewer should see there. */
const NETWORKS = {
  clean: { rules: {}, aim: "" },
  "10 %, RTT 50 ms": { ...lossy(10, 50), aim: "≥ 29.5 fps, no freeze, p95 < 250 ms, audio < 1 %" },
  "10 % in bursts of 5, RTT 100 ± 15 ms": { ...lossy(10, 100, { jitterMs: 15, burstPackets: 5 }), aim: "≥ 29 fps, frozen < 0.5 %, p95 < 500 ms" },
  "30 %, RTT 100 ms": { ...lossy(30, 100), aim: "≥ 28 fps, frozen < 2 %, p95 < 800 ms, audio < 3 %" },
  "50 %, RTT 100 ms": { ...lossy(50, 100), aim: "≥ 15 fps, audio < 5 %" },
  "70 %, RTT 100 ms": { ...lossy(70, 100), aim: "≥ 10 fps, audio < 10 %" },
  "0.3 Mbit/s": { rules: { rateKbps: 300, delayMs: 25 }, aim: "audio clean, no storm of freezes" },
};

/** The loss curve: percent of packets lost in each direction, at a round trip of 100 ms. */
const CURVE = [0, 2, 5, 10, 15, 20, 30, 40, 50, 60, 70];

const difference = (after, before, kind, name) =>
  (after.statistics[kind]?.[name] ?? 0) - (before.statistics[kind]?.[name] ?? 0);

/** Returns the figures of one viewer between two reports. `report` is that of the time between them. */
export function figuresOf(report, before) {
  // A freeze that still lasts has no frame behind it that ends it.
  const open = { ms: Math.min(report.lastFrameAgeMs ?? Infinity, report.seconds * 1000) };
  const frozen = [...report.freezes, open].filter(({ ms }) => ms > FREEZE_MS);
  const latencies = report.samples.map(([, latency]) => latency);
  const samples = (index) => report.concealment.reduce((sum, window) => sum + window[index], 0);
  const stalls = report.concealment.filter(([concealed, total]) => total > 0 && concealed >= total * STALL_SHARE);
  const of = (kind, name) => difference(report, before, kind, name);
  return {
    fps: report.frames / report.seconds,
    freezes: frozen.length,
    longestMs: Math.max(0, ...frozen.map(({ ms }) => ms)),
    frozenPercent: (frozen.reduce((sum, { ms }) => sum + ms, 0) / report.seconds) / 10,
    p50: percentile(latencies, 50),
    p95: percentile(latencies, 95),
    concealedPercent: (100 * samples(0)) / Math.max(1, samples(1)),
    stallPercent: (100 * stalls.length) / Math.max(1, report.concealment.length),
    isBadMinute: 100 * stalls.length > BAD_MINUTE_PERCENT * report.concealment.length,
    kbps: (of("inbound-rtp-video", "bytesReceived") + of("inbound-rtp-audio", "bytesReceived")) / report.seconds / 125,
    nacks: of("inbound-rtp-video", "nackCount"),
    keyframesAsked: of("inbound-rtp-video", "pliCount"),
  };
}

export const COLUMNS = ["network", "fps", "freezes > 200 ms", "longest", "frozen", "p50", "p95", "audio concealed", "audio stalls", "received", "NACKs", "PLIs"];

export function cells(name, figures) {
  const { fps, freezes, longestMs, frozenPercent, p50, p95, concealedPercent, stallPercent, kbps, nacks, keyframesAsked } = figures;
  return [
    ...[name, rounded(fps, 1), freezes, `${rounded(longestMs)} ms`, `${rounded(frozenPercent, 1)} %`, `${rounded(p50)} ms`, `${rounded(p95)} ms`],
    ...[`${rounded(concealedPercent, 1)} %`, `${rounded(stallPercent, 1)} %`, `${rounded(kbps)} kbit/s`, nacks, keyframesAsked],
  ];
}

/** Watches a room from behind a network. `down` and `up` default to the same rules. */
export async function watchBehind({ browser, gateway }, room, { rules, up = rules, down = rules, seed = 1 }, seconds = SECONDS) {
  const relay = await UdpRelay.start(gateway.rtcPort, { up, down, seed });
  const viewer = await browser.play("whep", { url: gateway.url(`/whep/${room}`), relayPort: relay.port, concealment: true });
  try {
    await viewer.waitForFrames(1, 30_000).catch(() => {}); // Then the figures show it.
    await pause(SETTLING_MS);
    await viewer.reset();
    const before = await viewer.report();
    await pause(seconds * 1000);
    return figuresOf(await viewer.report(), before);
  } finally {
    await viewer.stop().catch(() => viewer.close().catch(() => {}));
    await relay.stop();
  }
}

/** Watches, over a clean path, the room of a browser that publishes from behind a network. */
async function watchPublisherBehind(stage, rules) {
  const relay = await UdpRelay.start(stage.gateway.rtcPort, { up: rules, down: rules });
  const picture = { width: HD.width, height: HD.height, kbps: 2200 };
  const publisher = await stage.browser.play("whip", { url: stage.gateway.url("/whip/sender"), relayPort: relay.port, ...picture });
  try {
    await publisher.waitFor("the publisher", ({ state }) => state === "connected", 30_000);
    await stage.isLive("sender");
    return await watchBehind(stage, "sender", { rules: {} });
  } finally {
    await publisher.stop().catch(() => publisher.close().catch(() => {}));
    await relay.stop();
  }
}

const PUBLISHER = "publisher at 10 %, RTT 100 ms";
const CLEAN_PUBLISHER = "clean publisher by WHIP";

const HEAD = (columns) => `| ${columns.join(" | ")} |\n|${" --- |".repeat(columns.length)}\n`;

/** Measures all networks, or those whose names hold one of the words in NETWORKS, and the loss curve. */
export async function measureLoss(stage) {
  await stage.publish("lossy", { ...HD, bitrateKbps: 2200, gopFrames: 60 });
  const words = process.env.NETWORKS?.split(",");
  const isWanted = (name) => !words || words.some((word) => name.includes(word));
  const lines = [];
  for (const [name, network] of Object.entries(NETWORKS).filter(([name]) => isWanted(name))) {
    const line = [...cells(name, await watchBehind(stage, "lossy", network)), network.aim];
    process.stderr.write(`${line.join(" | ")}\n`);
    lines.push(`| ${line.join(" | ")} |\n`);
  }
  for (const [name, rules, aim] of [
    [CLEAN_PUBLISHER, {}, ""],
    [PUBLISHER, lossy(10, 100).rules, "≥ 29 fps, no freeze"],
  ].filter(([name]) => isWanted(name))) {
    const line = [...cells(name, await watchPublisherBehind(stage, rules)), aim];
    process.stderr.write(`${line.join(" | ")}\n`);
    lines.push(`| ${line.join(" | ")} |\n`);
  }
  process.stdout.write(`${HEAD([...COLUMNS, "aim"])}${lines.join("")}\n`);
  if (words) return;
  const curve = [];
  for (const percent of CURVE) {
    const figures = await watchBehind(stage, "lossy", lossy(percent, 100));
    process.stderr.write(`${cells(`${percent} %`, figures).join(" | ")}${figures.isBadMinute ? " bad minute" : ""}\n`);
    curve.push([percent, figures]);
  }
  const along = (name, unit, value) => ({ name, unit, points: curve.map(([percent, figures]) => [percent, value(figures)]) });
  writeFileSync(PICTURE, plot({
    title: "A WebRTC viewer over a network that loses packets both ways, round trip 100 ms",
    x: "lost packets, %",
    curves: [
      along("frames shown per second", "fps", ({ fps }) => fps),
      along("latency, p95", "ms", ({ p95 }) => p95),
      along("audio made up", "%", ({ concealedPercent }) => concealedPercent),
    ],
  }));
  const bad = curve.filter(([, { isBadMinute }]) => isBadMinute).map(([percent]) => `${percent} %`);
  process.stdout.write(`${HEAD(COLUMNS)}${curve.map(([percent, figures]) => `| ${cells(`${percent} %`, figures).join(" | ")} |\n`).join("")}`);
  process.stdout.write(`\nMinutes with more than ${BAD_MINUTE_PERCENT} % of stalls of audio: ${bad.length} of ${curve.length} (${bad.join(", ") || "none"})\n\n`);
}
