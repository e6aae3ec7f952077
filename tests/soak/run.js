// Lets publishers and viewers come and go for N minutes: `node soak/run.js [minutes]`. Prints at intervals what the
// process holds.
//
// Fails if memory, descriptors or threads in the last fifth of the samples are more than 15 % above those of the first
// fifth, if more than 40 descriptors or a viewer remain after all clients have left, or if more than 2 % of the
// attempts failed.

import { Browser } from "../lib/browser.js";
import { Gateway } from "../lib/gateway.js";
import { request } from "../lib/http.js";
import { offer } from "../lib/offer.js";
import { Publisher } from "../lib/picture.js";
import { parseMaster } from "../lib/playlist.js";
import { makeNoise } from "../lib/udp_abuse.js";
import { pause, waitFor } from "../lib/wait.js";

const minutes = Number(process.argv[2] ?? 30);
const SMALL = { width: 320, height: 180, bitrateKbps: 300 };
const WARM_UP_SHARE = 0.2;
const GROWTH_ALLOWED = 1.15;

const gateway = await Gateway.start({ set: { "ingest.grace": "2s", "rtc.consent_timeout": "10s" } });
const browser = await Browser.start();
const started = Date.now();
const endsAt = started + minutes * 60_000;
const counts = { publishers: 0, whip: 0, whep: 0, hls: 0, flv: 0, abandoned: 0, noise: 0, failures: 0 };
const samples = [];
const running = () => Date.now() < endsAt;

async function attempt(what, action) {
  try {
    await action();
  } catch (error) {
    gateway.assertAlive();
    counts.failures += 1;
    process.stderr.write(`${what}: ${error.message.split("\n")[0]}\n`);
  }
}

/** This publisher stays for the whole time, so that there is always a room to watch. */
const steady = new Publisher(gateway.rtmpUrl("steady"), SMALL);
await waitFor("the steady room", async () => (await gateway.room("steady"))?.live, { giveUp: () => steady.assertAlive() });

async function publishersComeAndGo() {
  for (let round = 0; running(); round += 1) {
    await attempt("publisher", async () => {
      const publisher = new Publisher(gateway.rtmpUrl(`guest-${round % 3}`), { ...SMALL, bframes: round % 2 ? 2 : 0, profile: "main" });
      counts.publishers += 1;
      await pause(6000);
      if (round % 2) await publisher.kill();
      else await publisher.stop();
    });
  }
}

async function browsersComeAndGo() {
  for (let round = 0; running(); round += 1) {
    await attempt("browser", async () => {
      const kind = ["whep", "hls", "whip"][round % 3];
      const url = kind === "hls" ? "/hls/steady/index.m3u8" : kind === "whip" ? `/whip/cam-${round % 2}` : "/whep/steady";
      counts[kind] += 1;
      const client = await browser.play(kind, { url: gateway.url(url), ...SMALL });
      if (kind === "whip") await client.waitFor("the publisher", ({ state }) => state === "connected");
      else await client.waitForFrames(60, 20_000);
      if (round % 4 === 3) await client.close();
      else await client.stop();
    });
  }
}

/** Runs cheap clients: sessions that are deleted or abandoned, playlist requests, and FLV requests that are aborted. */
async function crowdComesAndGoes() {
  for (let round = 0; running(); round += 1) {
    await attempt("crowd", async () => {
      const made = await request(gateway.url("/whep/steady"), {
        method: "POST",
        headers: { "Content-Type": "application/sdp" },
        body: offer(),
      });
      counts.abandoned += 1;
      if (made.status === 201 && round % 2) await request(new URL(made.headers.location, gateway.url("/whep/")), { method: "DELETE" });
      const masterUrl = gateway.url("/hls/steady/index.m3u8");
      const master = parseMaster((await request(masterUrl)).text);
      await request(new URL(master.variants[0].uri, masterUrl));
      const cut = new AbortController();
      const flv = await fetch(gateway.url("/flv/steady.flv"), { signal: cut.signal });
      counts.flv += 1;
      await flv.body.getReader().read();
      cut.abort();
      await pause(100);
    });
  }
}

async function noiseComesAndGoes() {
  while (running()) {
    await attempt("noise", () => makeNoise(gateway.rtcPort, { rounds: 10 }));
    counts.noise += 1;
    await pause(10_000);
  }
}

async function takeSamples() {
  const every = Math.max(5000, Math.min(60_000, (minutes * 60_000) / 30));
  process.stdout.write("| minute | RSS MB | descriptors | threads | CPU % | sources | viewers | drops |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n");
  let lastCpu = 0;
  let lastAt = started;
  while (running()) {
    await pause(every);
    gateway.assertAlive();
    const held = gateway.resources();
    const metrics = await gateway.metrics();
    const sum = (name) => [...metrics].filter(([key]) => key.startsWith(name)).reduce((total, [, value]) => total + value, 0);
    const now = Date.now();
    const cpu = (100 * (held.cpuMs - lastCpu)) / (now - lastAt);
    [lastCpu, lastAt] = [held.cpuMs, now];
    samples.push({ at: now, ...held });
    const cells = [
      ((now - started) / 60_000).toFixed(1),
      (held.rssKb / 1024).toFixed(1),
      ...[held.descriptors, held.threads, cpu.toFixed(0), sum("onmic_sources"), sum("onmic_viewers"), sum("onmic_drops_total")],
    ];
    process.stdout.write(`| ${cells.join(" | ")} |\n`);
  }
}

let failed = false;
function verdict(fine, sentence) {
  process.stdout.write(`${fine ? "ok" : "FAILED"}: ${sentence}\n`);
  if (!fine) failed = true;
}

try {
  await Promise.all([takeSamples(), publishersComeAndGo(), browsersComeAndGo(), crowdComesAndGoes(), noiseComesAndGoes()]);
  await steady.stop();
  await waitFor("all participants to be gone", async () => (await gateway.json("/api/v1/rooms")).rooms.every(({ participants }) => participants.length === 0), { timeoutMs: 60_000 });
  await pause(12_000); // Abandoned sessions end by their consent timeout of 10 s.
  const left = gateway.resources();
  process.stdout.write(`${JSON.stringify(counts)}\nat the end: ${JSON.stringify(left)}\n`);
  const warm = samples.slice(0, Math.max(1, Math.ceil(samples.length * WARM_UP_SHARE)));
  const tail = samples.slice(-warm.length);
  for (const field of ["rssKb", "descriptors", "threads"]) {
    const early = Math.max(...warm.map((sample) => sample[field]));
    const late = Math.max(...tail.map((sample) => sample[field]));
    verdict(late <= early * GROWTH_ALLOWED + 4, `${field}: at most ${early} in the first fifth of the samples, ${late} in the last fifth`);
  }
  verdict(left.descriptors <= 40, `${left.descriptors} descriptors after all clients have left`);
  verdict((await gateway.metric("onmic_viewers")) === 0, "onmic_viewers is 0 after all clients have left");
  verdict(counts.failures <= (counts.publishers + counts.whep + counts.hls + counts.whip) * 0.02, `${counts.failures} failed attempts`);
  await gateway.stop();
} finally {
  await browser.stop();
}
process.exit(failed ? 1 : 0);
