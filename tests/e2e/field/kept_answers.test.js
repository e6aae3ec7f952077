// Tests who may keep an answer: on every kind of route, with and without a secret. Where tokens are asked for, no shared cache
// keeps what a viewer got, unless the operator says that the cache checks viewers itself.

import assert from "node:assert/strict";
import { endToEnd } from "../../lib/end_to_end.js";
import { findPlaylists } from "../../lib/hls_rules.js";
import { request } from "../../lib/http.js";
import { offer } from "../../lib/offer.js";
import { parseMedia } from "../../lib/playlist.js";
import { SECRET, token } from "../../lib/token.js";
import { waitFor } from "../../lib/wait.js";

const PICTURE = { width: 320, height: 180, bitrateKbps: 400 };
const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const ADMIN = token({ room: "*", role: "admin" });

/** Says by what a viewer is known: a header, a parameter of the address, or nothing. */
const WAYS = {
  header: (url) => request(url, { headers: { Authorization: `Bearer ${ADMIN}` } }),
  parameter: (url) => request(`${url}${url.includes("?") ? "&" : "?"}token=${ADMIN}`),
};

/** Asks for the beginning of an answer without end. */
async function beginning(url, way) {
  const controller = new AbortController();
  const headers = way === "header" ? { Authorization: `Bearer ${ADMIN}` } : {};
  const query = way === "parameter" ? `?token=${ADMIN}` : "";
  const response = await fetch(url + query, { headers, signal: controller.signal });
  controller.abort();
  return { status: response.status, headers: Object.fromEntries(response.headers) };
}

for (const [what, options, isClosed, isShared] of [
  ["without_a_secret", {}, false, false],
  ["with_a_secret", { secret: SECRET }, true, false],
  ["with_a_secret_and_a_cache_that_checks_viewers", { secret: SECRET, set: { "hls.shared_cache": true } }, true, true],
]) {
  endToEnd(`answers_say_who_may_keep_them_${what}`, async (stage) => {
    const gateway = await stage.gateway(options);
    const bearer = { Authorization: `Bearer ${ADMIN}` };
    const publisher = stage.publisher(gateway.rtmpUrl("show", isClosed ? `?token=${ADMIN}` : ""), PICTURE);
    await waitFor("the room", () => gateway.room("show", { headers: bearer }), { giveUp: () => publisher.assertAlive() });
    const overlays = [{ id: "logo", kind: "image", place: { x: 0, y: 0, width: 0.2, height: 0.1 }, image: `data:image/png;base64,${PIXEL}` }];
    const set = () =>
      request(gateway.url("/api/v1/rooms/show/overlays"), {
        method: "PUT",
        headers: { ...bearer, "Content-Type": "application/json" },
        body: JSON.stringify({ overlays }),
      });
    const put = await waitFor("the room to take overlays", async () => {
      const answer = await set();
      return answer.status === 200 ? answer : null;
    });
    assert.equal(put.headers["cache-control"], "no-store", "the answer to a command");
    const script = (await request(gateway.url("/"))).text.match(/src="([^"]+\.js)"/)[1];

    const closed = (stated) => (isClosed ? new RegExp(`^private, ${stated}$`) : new RegExp(`^${stated}$`));
    const ofHls = isShared ? /^max-age=\d+$/ : closed("max-age=\\d+");
    const { masterUrl, videoUrl, audioUrl } = await findPlaylists({ url: gateway.url.bind(gateway) }, "show", { headers: bearer });
    const listed = async () => parseMedia((await request(videoUrl, { headers: bearer })).text);
    const playlist = await waitFor("a segment", async () => {
      const playlist = await listed();
      return playlist.segments.length > 0 ? playlist : null;
    });
    const segment = new URL(playlist.segments.at(-1).uri, videoUrl).href;
    const init = new URL(playlist.map.URI, videoUrl).href;
    const table = [
      [masterUrl, ofHls],
      [videoUrl, ofHls],
      [audioUrl, ofHls],
      [`${videoUrl}?_HLS_msn=${playlist.nextSequence}&_HLS_part=0`, ofHls],
      [segment, ofHls],
      [init, ofHls],
      [new URL("nothing.mp4", videoUrl).href, ofHls],
      [gateway.url("/hls/nobody/index.m3u8"), ofHls],
      [gateway.url("/api/v1/rooms"), /^no-store$/],
      [gateway.url("/api/v1/rooms/show"), /^no-store$/],
      [gateway.url("/api/v1/rooms/nobody"), /^no-store$/],
      [gateway.url("/api/v1/rooms/show/persons"), /^no-store$/],
      [gateway.url("/api/v1/rooms/show/overlays/logo/image"), closed("no-cache")],
      [gateway.url("/api/v1/server"), /^no-store$/],
      [gateway.url("/api/v1/openapi.json"), closed("no-cache")],
      // Pages and operation ask for no tokens.
      [gateway.url("/"), /^no-cache$/],
      [gateway.url("/watch/show"), /^no-cache$/],
      [gateway.url("/studio/show"), /^no-cache$/],
      [new URL(script, gateway.url("/")).href, /^public, max-age=31536000, immutable$/],
      [gateway.url("/metrics"), /^no-store$/],
      [gateway.url("/healthz"), /^no-store$/],
      [gateway.url("/readyz"), /^no-store$/],
    ];
    for (const [url, expected] of table) {
      for (const [way, ask] of Object.entries(WAYS)) {
        const { status, headers } = await ask(url);
        const label = `${url} with a token in its ${way}: ${status}`;
        assert.match(headers["cache-control"] ?? "", expected, label);
        const isPrivate = headers["cache-control"].startsWith("private");
        assert.equal((headers.vary ?? "").includes("Authorization"), isPrivate, `${label}, vary: ${headers.vary}`);
        assert.equal(headers["x-content-type-options"], "nosniff", label);
      }
      const without = await request(url);
      if (without.status === 401) assert.equal(without.headers["cache-control"], "no-store", `${url} refused`);
    }
    for (const way of Object.keys(WAYS)) {
      assert.equal((await beginning(gateway.url("/flv/show.flv"), way)).headers["cache-control"], "no-store", "HTTP-FLV");
    }
    const watched = await request(gateway.url("/whep/show"), {
      method: "POST",
      headers: { ...bearer, "Content-Type": "application/sdp" },
      body: offer(),
    });
    assert.deepEqual([watched.status, watched.headers["cache-control"]], [201, "no-store"]);
  });
}
