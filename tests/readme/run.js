// Takes the pictures of the README from the running product: `node readme/run.js [folder]`.
//
// Writes `watch.webp`, a screenshot of the watch page with two people on mic, and `on_mic.webp`, an animation of a viewer
// who watches by LL-HLS, goes on mic, and goes back. The host is the real ffmpeg by RTMP. The viewer is a page of the
// real Chromium, whose camera plays a file. Nothing is drawn into the pictures.

import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Browser } from "../lib/browser.js";
import { Gateway } from "../lib/gateway.js";
import { RoomClient } from "../lib/room_client.js";
import { pause, waitFor } from "../lib/wait.js";
import { watchPage } from "../lib/watch_page.js";

const ROOM = "evening-show";
const VIEWPORT = { width: 1180, height: 690 };
const ANIMATION = { width: 720, framesPerSecond: 8, quality: 60 };
const CAMERA = "Camera.mjpeg"; // Chromium shows this as the camera's name.
const CAMERA_SECONDS = 12;

const folder = process.argv[2] ? resolve(process.argv[2]) : fileURLToPath(new URL("../../docs/pictures", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "onmic-readme-"));
const things = [];
const keep = (thing) => {
  things.push(thing);
  return thing;
};
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

const ffmpeg = (argv) => execFileSync("ffmpeg", ["-hide_banner", "-loglevel", "error", "-nostdin", "-y", ...argv]);

/** A slow, dark gradient with a name on it: a person without a face. */
function scene({ colours: [from, to], name, size, seconds = null }) {
  const gradient = `gradients=size=${size}:rate=30:c0=${from}:c1=${to}:nb_colors=2:speed=0.015:seed=7`;
  return [
    ["-f", "lavfi", "-i", seconds ? `${gradient}:duration=${seconds}` : gradient],
    [
      "-vf",
      [
        `drawtext=text='${name}':x=(w-tw)/2:y=(h-th)/2-h/24:fontsize=h/6:fontcolor=white`,
        `drawtext=text='%{localtime\\:%T}':x=(w-tw)/2:y=h*0.62:fontsize=h/14:fontcolor=white@0.75`,
        "format=yuv420p",
      ].join(","),
    ],
  ];
}

function writeCameraFile() {
  const path = join(scratch, CAMERA);
  const picture = scene({ colours: ["0x7a2d4b", "0xd4763b"], name: "Anna", size: "640x360", seconds: CAMERA_SECONDS });
  ffmpeg([...picture.flat(), "-c:v", "mjpeg", "-q:v", "4", path]);
}

/** The host of the room, until it is stopped. */
class Host {
  #child;

  constructor(url) {
    const [video, filter] = scene({ colours: ["0x14324f", "0x2a7f86"], name: "Mia", size: "640x360" });
    const argv = [
      ["-hide_banner", "-loglevel", "error", "-nostdin", "-re"],
      video,
      ["-f", "lavfi", "-i", "sine=frequency=300:sample_rate=48000"],
      filter,
      ["-c:v", "libx264", "-preset", "superfast", "-tune", "zerolatency", "-g", "30", "-b:v", "1500k", "-maxrate", "1500k", "-bufsize", "1500k"],
      ["-af", "volume=0.1,aformat=channel_layouts=stereo", "-c:a", "aac", "-b:a", "128k"],
      ["-f", "flv", url],
    ];
    this.#child = spawn("ffmpeg", argv.flat(), { stdio: ["ignore", "inherit", "inherit"] });
  }

  async stop() {
    this.#child.kill("SIGTERM");
    await waitFor("ffmpeg to end", () => this.#child.exitCode !== null || this.#child.signalCode !== null);
  }
}

/** Collects what the page shows, frame by frame as it changes. */
class Film {
  #session;
  #frames = [];

  static async start(page) {
    const film = new Film();
    film.#session = await page.context().newCDPSession(page);
    film.#session.on("Page.screencastFrame", ({ data, metadata, sessionId }) => {
      film.#frames.push({ at: metadata.timestamp, data });
      film.#session.send("Page.screencastFrameAck", { sessionId }).catch(() => {});
    });
    await film.#session.send("Page.startScreencast", { format: "jpeg", quality: 92, everyNthFrame: 4 });
    return film;
  }

  /** Ends the film and writes it as an animated WebP that repeats. */
  async write(path) {
    await this.#session.send("Page.stopScreencast");
    const entries = this.#frames.map(({ at, data }, index) => {
      const file = join(scratch, `${String(index).padStart(5, "0")}.jpg`);
      writeFileSync(file, Buffer.from(data, "base64"));
      const until = this.#frames[index + 1]?.at ?? at + 1 / ANIMATION.framesPerSecond;
      return `file '${file}'\nduration ${(until - at).toFixed(4)}`;
    });
    const list = join(scratch, "film.txt");
    writeFileSync(list, `ffconcat version 1.0\n${entries.join("\n")}\n`);
    const { framesPerSecond, width, quality } = ANIMATION;
    ffmpeg([
      ["-f", "concat", "-safe", "0", "-i", list],
      ["-vf", `fps=${framesPerSecond},scale=${width}:-2:flags=lanczos`],
      ["-c:v", "libwebp_anim", "-quality", String(quality), "-compression_level", "6", "-loop", "0", path],
    ].flat());
  }
}

mkdirSync(folder, { recursive: true });
const gateway = keep(await Gateway.start({ set: { "rooms.cool_down": "100ms" } }));
await gateway.json("/api/v1/rooms", {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ room: ROOM, title: "The evening show", seats: 4 }),
});
writeCameraFile();
process.chdir(scratch); // Chromium takes the camera's file from here.
const browser = keep(await Browser.start({ flags: [`--use-file-for-fake-video-capture=${CAMERA}`] }));
keep(new Host(gateway.rtmpUrl(ROOM)));
await waitFor("the room to be live", async () => (await gateway.room(ROOM))?.live);
const host = keep(await RoomClient.join(gateway, ROOM, { role: "host", name: "Mia" }));

const page = await watchPage(browser, gateway.url(`/watch/${ROOM}?transport=hls`), { viewport: VIEWPORT, locale: "en-GB" });
await page.plays("hls");
await page.waitForSelector(".micbar .primary");
await page.evaluate(() => window.onmicPlayer.unmute());
await host.ask({ kind: "chat", text: "Welcome! Anna, you are next." });
await pause(3000); // The page knows its latency then.

const film = await Film.start(page);
await pause(1800);
await page.click(".micbar .primary");
await page.waitForSelector("dialog .preview video:not([hidden])");
await page.fill("dialog input[maxlength]", "Anna");
await pause(1500);
await page.click("dialog .primary:not([disabled])");
await page.waitForSelector(".micbar .spinner");
await pause(900);
await host.ask({ kind: "grant", person: await page.evaluate(() => window.onmicRoom.you.person) });
await waitFor("the viewer to be on mic", () => page.evaluate(() => window.onmicPlayer.mic === "on"));
await pause(4000);
const still = join(scratch, "watch.png");
await page.screenshot({ path: still });
await page.click(".micbar .danger");
await page.plays("hls");
await pause(2500);
await film.write(join(folder, "on_mic.webp"));
ffmpeg(["-i", still, "-c:v", "libwebp", "-quality", "80", "-compression_level", "6", join(folder, "watch.webp")]);

for (const name of ["watch.webp", "on_mic.webp"]) {
  console.log(`${join(folder, name)}: ${Math.round(statSync(join(folder, name)).size / 1024)} kB`);
}
while (things.length > 0) await things.pop().stop();
process.exit(0);
