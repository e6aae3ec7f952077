// Tests that the control API describes the live rooms as its OpenAPI document says, and that /metrics counts them.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { request } from "../lib/http.js";
import { assertMatchesSchema } from "../lib/openapi.js";
import { waitFor } from "../lib/wait.js";

endToEnd("the_api_describes_a_live_room_and_its_host", async (stage) => {
  const gateway = await stage.gateway();
  assert.deepEqual(await gateway.json("/api/v1/rooms"), { rooms: [] });
  await stage.live(gateway, "show", { width: 1280, height: 720, gopFrames: 60, bitrateKbps: 1500, detail: 12 });
  const participant = await waitFor(
    "the measured frame rate and keyframe interval",
    async () => {
      const [host] = (await gateway.room("show")).participants;
      return host.video?.keyframe_interval_ms && host.video.fps > 25 ? host : null;
    },
    { timeoutMs: 20_000 },
  );
  stage.say(JSON.stringify(participant));
  assert.equal(participant.name, "host");
  assert.equal(participant.protocol, "rtmp");
  assert.equal(participant.state, "live");
  assert.ok(Math.abs(Date.now() - Date.parse(participant.started_at)) < 60_000, participant.started_at);
  assert.equal(participant.video.codec, "h264");
  assert.match(participant.video.profile, /baseline/i);
  assert.deepEqual([participant.video.width, participant.video.height], [1280, 720]);
  assert.ok(Math.abs(participant.video.fps - 30) < 3, `${participant.video.fps} fps`);
  assert.ok(Math.abs(participant.video.keyframe_interval_ms - 2000) < 300);
  assert.ok(participant.video.bitrate_bps > 300_000 && participant.video.bitrate_bps < 3_000_000);
  assert.equal(participant.video.b_frames, false);
  assert.equal(participant.audio.codec, "aac");
  assert.equal(participant.audio.sample_rate, 48_000);
  assert.equal(participant.audio.channels, 2);
  assert.deepEqual(participant.advice, []);

  const { rooms } = await gateway.json("/api/v1/rooms");
  assert.deepEqual(
    rooms.map(({ name, live }) => [name, live]),
    [["show", true]],
  );
  const server = await gateway.json("/api/v1/server");
  assert.equal(server.rtmp_port, gateway.rtmpPort);
  assert.equal(server.auth, false);
  assert.ok(Math.abs(Date.parse(server.now) - Date.now()) < 1000, server.now);
});

endToEnd("the_api_lists_each_participant_in_its_own_room", async (stage) => {
  const gateway = await stage.gateway();
  const small = { width: 320, height: 180, bitrateKbps: 200 };
  await stage.live(gateway, "one", small);
  await stage.live(gateway, "two", { ...small, channels: 0 });
  stage.publisher(gateway.rtmpUrl("two/anna"), small);
  await waitFor("anna to be in the room", async () => (await gateway.room("two")).participants.length === 2);
  const { rooms } = await gateway.json("/api/v1/rooms");
  const seen = Object.fromEntries(rooms.map((room) => [room.name, room.participants.map(({ name }) => name).sort()]));
  assert.deepEqual(seen, { one: ["host"], two: ["anna", "host"] });
  const [host] = (await gateway.room("two")).participants.filter(({ name }) => name === "host");
  assert.equal(host.audio, null);
  await waitFor("the advice that there is no audio", async () => {
    const room = await gateway.room("two");
    return room.participants.find(({ name }) => name === "host").advice.some(({ code }) => code === "no_audio");
  });
});

endToEnd("every_get_answer_matches_the_openapi_document", async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "show", { width: 320, height: 180 });
  await waitFor("the room to know its source", async () => (await gateway.room("show")).state?.sources.length === 1);
  const document = await gateway.json("/api/v1/openapi.json");
  assert.match(document.openapi, /^3\./);
  const paths = Object.keys(document.paths);
  assert.ok(paths.includes("/api/v1/rooms") && paths.includes("/api/v1/rooms/{room}"), paths.join());
  for (const [path, item] of Object.entries(document.paths)) {
    const schema = item.get?.responses["200"]?.content["application/json"]?.schema;
    if (!schema) continue; // /events is a WebSocket, and the image of an overlay is not JSON.
    const answer = await request(gateway.url(path.replace("{room}", "show")));
    assert.equal(answer.status, 200, path);
    assertMatchesSchema(JSON.parse(answer.text), schema, document, path);
  }
  const missing = await request(gateway.url("/api/v1/rooms/nobody"));
  assert.ok(document.paths["/api/v1/rooms/{room}"].get.responses[String(missing.status)], `${missing.status} is documented`);
});

endToEnd("metrics_count_frames_viewers_and_sources", async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "show", { width: 320, height: 180 });
  const browser = await stage.browser();
  const viewer = await browser.play("whep", { url: gateway.url("/whep/show") });
  await viewer.waitForFrames(60);
  const answer = await request(gateway.url("/metrics"));
  assert.equal(answer.status, 200);
  assert.match(answer.headers["content-type"], /^text\/plain/);
  for (const line of answer.text.split("\n")) {
    assert.match(line, /^(#.*|[a-z_:][\w:]*(\{[^}]*\})? (-?[\d.e+-]+|NaN|[+-]Inf)|)$/i, "the line is in the Prometheus text format");
  }
  assert.equal(await gateway.metric("onmic_sources", { protocol: "rtmp" }), 1);
  assert.equal(await gateway.metric("onmic_viewers", { kind: "whep" }), 1);
  const frames = await gateway.metric("onmic_frames_total");
  assert.ok(frames > 60, `${frames} frames`);
  assert.ok((await gateway.metric("onmic_bytes_total")) > 10_000);
  assert.match(answer.text, /onmic_stage_seconds_bucket/, "the latencies of the stages are there");
  await viewer.stop();
  await waitFor("the viewer to be gone", async () => (await gateway.metric("onmic_viewers", { kind: "whep" })) === 0);
});

endToEnd("healthz_and_readyz_answer_200", async (stage) => {
  const gateway = await stage.gateway();
  for (const path of ["/healthz", "/readyz"]) assert.equal((await request(gateway.url(path))).status, 200, path);
});
