// Tests that computing is a budget of the node: over it the one who comes last is refused or has less, is told so in a
// sentence, and nobody else notices.

import assert from "node:assert/strict";
import { endToEnd } from "../../lib/end_to_end.js";
import { assertProblem } from "../../lib/expect.js";
import { findPlaylists } from "../../lib/hls_rules.js";
import { request } from "../../lib/http.js";
import { programIs, programState, SMALL } from "../../lib/mixed_room.js";
import { offer } from "../../lib/offer.js";
import { LIKE_OBS } from "../../lib/picture.js";
import { waitFor } from "../../lib/wait.js";

/** A conversion of 640x360 at 30 fps: what is encoded, and two fifths of it for decoding. */
const CONVERSION = 640 * 360 * 30 * 1.4;

const asks = (gateway, room) =>
  request(gateway.url(`/whep/${room}`), { method: "POST", headers: { "content-type": "application/sdp" }, body: offer() });

const overload = (gateway, kind) => gateway.metric("onmic_overload", { kind });

endToEnd("a_conversion_over_the_budget_is_refused_in_a_sentence_and_the_one_before_goes_on", async (stage) => {
  // Conversions for viewers who have another way fill 70 % of the budget: one fits in, and two do not.
  const set = { "mixer.pixels_per_second": Math.round((CONVERSION * 1.5) / 0.7), "mixer.linger": "1s" };
  const gateway = await stage.gateway({ set });
  await stage.live(gateway, "first", LIKE_OBS);
  await stage.live(gateway, "second", LIKE_OBS);
  for (const room of ["first", "second"]) {
    await waitFor(`the B-frames of ${room}`, async () => (await gateway.room(room)).participants[0].video?.b_frames);
  }
  const first = await asks(gateway, "first");
  assert.equal(first.status, 201, first.text);
  assert.equal((await asks(gateway, "first")).status, 201, "a second viewer of the same conversion costs nothing");
  const problem = assertProblem(await asks(gateway, "second"), [503], "the second room");
  assert.match(problem.detail, /converts as much video as it can; watch by LL-HLS/);
  assert.equal(await overload(gateway, "spare_conversion"), 1);
  assert.equal(await gateway.metric("onmic_denied_total", { protocol: "whep", reason: "full" }), 1);
  assert.equal(await gateway.metric("onmic_derived_tracks", { recipe: "h264" }), 1);
  assert.ok((await gateway.metric("onmic_drops_total", { reason: "transcode_refused" })) >= 1);
  const { videoUrl } = await findPlaylists(gateway, "second");
  assert.equal((await request(videoUrl)).status, 200, "LL-HLS carries the video as it is");
  assert.equal((await gateway.room("first")).participants[0].video.transcoding, true);
  assert.equal(gateway.log.includes(" ERROR "), false, gateway.log);
});

endToEnd("a_mix_over_the_budget_has_less_and_a_later_one_waits_without_slowing_it", async (stage) => {
  // A mix of two at 640x360 needs 12.4 million pixels per second. With half of its frames it needs 9.0 million.
  const set = { ...SMALL, "mixer.pixels_per_second": 10_000_000, "ingest.grace": "2s", "rooms.away_timeout": "2s" };
  const gateway = await stage.gateway({ set });
  const publishers = [];
  for (const room of ["red", "blue"]) {
    publishers.push(await stage.live(gateway, room, { gopFrames: 30 }));
    publishers.push(stage.publisher(gateway.rtmpUrl(`${room}/anna`), { gopFrames: 30, beeps: false }));
    if (room === "red") await programIs(gateway, room, "mixed");
  }
  const advice = async (room) => {
    const { participants } = await gateway.room(room);
    return participants.flatMap((participant) => participant.advice).find(({ code }) => code === "overloaded")?.message ?? "";
  };
  await waitFor("the host of red to be told", async () => /has 15 frames per second at 640x360\./.test(await advice("red")));
  await waitFor("the host of blue to be told", async () => /is not mixed, and shows what it showed before\./.test(await advice("blue")));
  assert.equal(await programState(gateway, "blue"), "pass-through");
  assert.equal(await overload(gateway, "mix"), 2);
  assert.match(await advice("red"), /has 15 frames per second at 640x360\./, "the later mix took nothing from it");
  // When red ends, blue is mixed.
  for (const publisher of publishers.slice(0, 2)) await publisher.stop();
  await programIs(gateway, "blue", "mixed", { timeoutMs: 20_000 });
  const isSlow = async () => /has 15 frames per second at 640x360\./.test(await advice("blue"));
  await waitFor("the mix of blue to be as that of red was", isSlow, { timeoutMs: 20_000 });
  assert.equal(await overload(gateway, "mix"), 1);
});
