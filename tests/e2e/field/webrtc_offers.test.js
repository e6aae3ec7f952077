// Tests offers and endpoints of WHIP and WHEP as the field writes them: each row is what a real client sends, and the
// answer that lets it go on.

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { endToEnd, lasting } from "../../lib/end_to_end.js";
import { assertProblem } from "../../lib/expect.js";
import { Gateway } from "../../lib/gateway.js";
import { request } from "../../lib/http.js";
import { offer } from "../../lib/offer.js";
import { RtmpClient } from "../../lib/rtmp_client.js";
import { waitFor } from "../../lib/wait.js";

const H264 = ["102", "H264/90000", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"];

// One gateway and one live room serve all rows that change nothing.
const live = lasting(async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "field", { width: 320, height: 180, bitrateKbps: 400 });
  return gateway;
});

function post(gateway, path, body) {
  return request(gateway.url(path), { method: "POST", headers: { "Content-Type": "application/sdp" }, body });
}

/** Posts an offer, deletes the session of an answer, and returns the answer. */
async function ask(gateway, path, body) {
  const answer = await post(gateway, path, body);
  if (answer.status === 201) await request(gateway.url(answer.headers.location), { method: "DELETE" });
  return answer;
}

/** Returns the section of an answer that begins with `m=kind`. */
function section(answer, kind) {
  assert.equal(answer.status, 201, answer.text);
  return answer.text.split(/^m=/m).find((text) => text.startsWith(kind)) ?? "";
}

for (const opus of ["opus/48000/2", "OPUS/48000", "opus/48000", "opus/48000/1", "Opus/48000/2"]) {
  endToEnd(`a_viewer_that_writes_${opus.replaceAll("/", "_")}_gets_audio`, async (stage) => {
    const gateway = await live(stage);
    const audio = [["96", opus]];
    for (const video of [[["103", "H264/90000"]], null]) {
      const answer = await ask(gateway, "/whep/field", offer({ audio, video }));
      assert.match(section(answer, "audio"), /^audio 9 /, answer.text);
    }
  });
}

for (const [setup, answered] of [
  ["actpass", "passive"],
  ["active", "passive"],
  ["passive", "active"], // ffmpeg's WHIP muxer
]) {
  endToEnd(`an_offer_with_setup_${setup}_is_answered_with_${answered}`, async (stage) => {
    const gateway = await live(stage);
    for (const [path, direction] of [
      ["/whep/field", "recvonly"],
      ["/whip/field/setup", "sendonly"],
    ]) {
      const answer = await ask(gateway, path, offer({ setup, direction }));
      const lines = answer.text.match(/^a=setup:.*$/gm).map((line) => line.trim());
      assert.deepEqual([...new Set(lines)], [`a=setup:${answered}`], path);
    }
  });
}

for (const [what, videos, accepted] of [
  ["that_the_room_has_last", [[["98", "VP9/90000", "profile-id=0"]], [["45", "AV1/90000"]], [H264]], 2],
  ["that_the_room_has_first", [[H264], [["96", "VP8/90000"]]], 0],
  ["that_it_can_convert_to", [[["45", "AV1/90000"]], [["96", "VP8/90000"]]], 1],
]) {
  endToEnd(`a_viewer_with_a_section_for_each_codec_gets_the_one_${what}`, async (stage) => {
    const gateway = await live(stage);
    const answer = await ask(gateway, "/whep/field", offer({ videos }));
    assert.equal(answer.status, 201, answer.text);
    const sections = answer.text.split(/^m=/m).slice(1);
    const ports = sections.map((text) => text.split(" ")[1] !== "0");
    assert.deepEqual(ports, [...videos.map((_, at) => at === accepted), true], answer.text);
    for (const [at, text] of sections.entries()) assert.match(text, new RegExp(`^a=mid:${at}\r$`, "m"));
    assert.match(answer.text, new RegExp(`^a=group:BUNDLE ${accepted} ${videos.length}\r$`, "m"));
  });
}

endToEnd("all_video_codecs_that_a_publisher_offers_are_answered_ours_first", async (stage) => {
  const gateway = await live(stage);
  const video = [["96", "VP8/90000"], ["98", "VP9/90000", "profile-id=0"], H264, ["45", "AV1/90000"]];
  const answer = await ask(gateway, "/whip/field/codecs", offer({ direction: "sendonly", video }));
  assert.match(section(answer, "video"), /^video 9 UDP\/TLS\/RTP\/SAVPF 102 96 98 45\r\n/);
});

endToEnd("simulcast_layers_are_answered", async (stage) => {
  const gateway = await live(stage);
  const extra = ["a=rid:l send", "a=rid:m send", "a=rid:h send", "a=simulcast:send l;~m;h"];
  const answer = await ask(gateway, "/whip/field/layers", offer({ direction: "sendonly", audio: null, extra }));
  assert.match(section(answer, "video"), /^a=simulcast:recv l;m;h\r$/m);
  for (const rid of ["l", "m", "h"]) assert.match(answer.text, new RegExp(`^a=rid:${rid} recv\\r$`, "m"));
});

endToEnd("a_rejected_section_states_ice_and_dtls", async (stage) => {
  const gateway = await live(stage);
  const answer = await ask(gateway, "/whip/field/rejected", offer({ direction: "sendonly", video: [["97", "FOO/90000"]] }));
  const video = section(answer, "video");
  assert.match(video, /^video 0 /);
  for (const name of ["ice-ufrag", "ice-pwd", "fingerprint", "setup"]) assert.match(video, new RegExp(`^a=${name}:`, "m"));
});

endToEnd("a_viewer_without_h264_gets_vp8", async (stage) => {
  const gateway = await live(stage);
  const answer = await ask(gateway, "/whep/field", offer({ video: [["98", "VP9/90000"], ["96", "VP8/90000"]] }));
  assert.match(section(answer, "video"), /^video 9 UDP\/TLS\/RTP\/SAVPF 96\r\n/);
});

endToEnd("a_viewer_without_our_video_codecs_is_told_what_there_is", async (stage) => {
  const gateway = await live(stage);
  const refused = await post(gateway, "/whep/field", offer({ video: [["96", "VP9/90000"]] }));
  assert.deepEqual(assertProblem(refused, [406], "VP9 alone").have, ["h264", "vp8"]);
  assert.ok((await gateway.metric("onmic_whep_given_up_total", { reason: "no_codec" })) >= 1);
  const listener = await ask(gateway, "/whep/field", offer({ video: null }));
  assert.equal(listener.status, 201, "an offer without a video section asks for audio alone");
});

endToEnd("an_endpoint_tells_by_head_whether_an_offer_would_be_taken", async (stage) => {
  const gateway = await live(stage);
  for (const [path, status] of [
    ["/whep/field", 200],
    ["/whep/field/host", 200],
    ["/whip/field/head", 200],
    ["/whep/nobody", 409],
    ["/whep/nobody/host/return", 409],
    ["/whep/..%2f", 400],
  ]) {
    const answer = await request(gateway.url(path), { method: "HEAD" });
    assert.equal(answer.status, status, path);
    assert.equal(answer.text, "", path);
    if (status === 200) assert.equal(answer.headers["accept-post"], "application/sdp", path);
    if (status === 409) assert.match(answer.headers["retry-after"], /^\d+$/, path);
  }
  const names = (await gateway.room("field")).participants.map(({ name }) => name);
  assert.ok(names.includes("host") && !names.includes("head"), `HEAD publishes nothing: ${names}`);
});

endToEnd("whep_of_a_room_that_is_not_live_asks_to_come_back", async (stage) => {
  const gateway = await live(stage);
  const answer = await post(gateway, "/whep/nobody", offer());
  assertProblem(answer, [409], "WHEP of nobody");
  assert.match(answer.headers["retry-after"], /^\d+$/);
});

endToEnd("a_whip_session_that_never_connects_gives_its_name_away", async (stage) => {
  const gateway = await live(stage);
  const body = offer({ direction: "sendonly" });
  for (const room of ["given-rtmp", "given-whip"]) assert.equal((await post(gateway, `/whip/${room}`, body)).status, 201);
  const client = stage.keep(await RtmpClient.open(gateway.rtmpPort));
  await client.connect();
  assert.equal((await client.publish("given-rtmp")).code, "NetStream.Publish.Start");
  assert.equal((await post(gateway, "/whip/given-rtmp", body)).status, 409, "the RTMP publisher is there");
  // Another offer waits for as long as a connection may take.
  const statuses = [];
  await waitFor("the second offer to be taken", async () => {
    statuses.push((await post(gateway, "/whip/given-whip", body)).status);
    return statuses.at(-1) === 201;
  });
  assert.equal(statuses[0], 409, "at once the name is taken");
});

endToEnd("a_whip_offer_that_never_connects_makes_nothing_live", async (stage) => {
  const gateway = await live(stage);
  assert.equal((await post(gateway, "/whip/letter", offer({ direction: "sendonly" }))).status, 201);
  const { live: isLive, participants } = await gateway.room("letter");
  assert.deepEqual([isLive, participants.map(({ state }) => state)], [false, ["connecting"]]);
  const { rooms } = await gateway.json("/api/v1/rooms");
  assert.equal(rooms.find(({ name }) => name === "letter").live, false);
  assert.equal((await request(gateway.url("/whep/letter"), { method: "HEAD" })).status, 409);
  // Viewers wait for a publisher who may be about to connect, and are told that there is none.
  const [whep, hls, flv] = await Promise.all([
    post(gateway, "/whep/letter", offer()),
    request(gateway.url("/hls/letter/index.m3u8")),
    request(gateway.url("/flv/letter.flv")),
  ]);
  assert.deepEqual([whep.status, hls.status, flv.status], [409, 404, 404]);
});

endToEnd("a_udp_port_in_use_ends_the_start_with_one_sentence", async (stage) => {
  const socket = createSocket("udp4").bind(0, "127.0.0.1");
  stage.keep({ stop: async () => socket.close() });
  await once(socket, "listening");
  const { port } = socket.address();
  const gateway = await Gateway.start({ set: { "rtc.port": port }, ready: false });
  await waitFor("the gateway to end", () => gateway.exit);
  assert.notEqual(gateway.exit.code, 0);
  assert.doesNotMatch(gateway.log, /panicked/);
  assert.ok(gateway.log.includes(`:${port}`), gateway.log);
});

for (const [announce, candidate] of [
  ["203.0.113.7", /203\.0\.113\.7 (?!18189)\d+ typ host/],
  ["203.0.113.7:18189", /203\.0\.113\.7 18189 typ host/],
  ["[2001:db8::7]:18189", /2001:db8::7 18189 typ host/],
  ["localhost:18189", /127\.0\.0\.1 18189 typ host/],
]) {
  endToEnd(`the_announced_address_${announce.replaceAll(/\W+/g, "_")}_is_the_candidate`, async (stage) => {
    const gateway = await stage.gateway({ set: { "rtc.announce": announce } });
    const answer = await ask(gateway, "/whip/announced", offer({ direction: "sendonly" }));
    assert.equal(answer.status, 201, answer.text);
    assert.match(answer.text, candidate);
  });
}

for (const announce of ["media.invalid", "203.0.113", "http://example.org"]) {
  endToEnd(`the_announced_address_${announce.replaceAll(/\W+/g, "_")}_is_refused_at_the_start`, async () => {
    const gateway = await Gateway.start({ set: { "rtc.announce": announce }, ready: false });
    await waitFor("the gateway to end", () => gateway.exit, { timeoutMs: 20_000 });
    assert.notEqual(gateway.exit.code, 0);
    assert.match(gateway.log, /name/);
    assert.doesNotMatch(gateway.log, /panicked/);
  });
}
