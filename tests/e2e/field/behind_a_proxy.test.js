// Tests the gateway behind the programs that operators put before it, with the configurations of docs/DEPLOY.md: under a
// path, with TLS, with a cache. What an answer states leads back through the proxy.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { endToEnd } from "../../lib/end_to_end.js";
import { assertProblem } from "../../lib/expect.js";
import { findPlaylists } from "../../lib/hls_rules.js";
import { request, requestHttp2 } from "../../lib/http.js";
import { offer } from "../../lib/offer.js";
import { parseMedia } from "../../lib/playlist.js";
import { caddy, deployFile, nginx } from "../../lib/proxies.js";
import { RoomClient } from "../../lib/room_client.js";
import { run } from "../../lib/run.js";
import { STRANGER } from "../../lib/strangers.js";
import { SECRET, token } from "../../lib/token.js";
import { waitFor } from "../../lib/wait.js";
import { watchPage } from "../../lib/watch_page.js";

const PICTURE = { width: 320, height: 180, bitrateKbps: 400 };
const SDP = { "Content-Type": "application/sdp" };
const JSON_TYPE = { "Content-Type": "application/json" };

/** Starts a gateway with a live room `show`. `set` has options of the configuration. It knows its own pages alone. */
async function live(stage, set = {}) {
  const gateway = await stage.gateway({ set: { "http.origins": "", ...set } });
  await stage.live(gateway, "show", PICTURE);
  return gateway;
}

/** Asserts that sessions, playlists and page files are found under `base`. It has no slash at its end. */
async function assertFoundUnder(base) {
  for (const endpoint of [`${base}/whep/show`, `${base}/whep/show/`]) {
    const created = await request(endpoint, { method: "POST", headers: SDP, body: offer() });
    assert.equal(created.status, 201, created.text);
    const session = new URL(created.headers.location, endpoint).href;
    assert.ok(session.startsWith(`${base}/sessions/`), created.headers.location);
    assert.equal((await request(session, { method: "DELETE" })).status, 200);
  }

  const { videoUrl, audioUrl } = await findPlaylists({ url: (path) => base + path }, "show");
  for (const url of [videoUrl, audioUrl]) {
    assert.ok(url.startsWith(`${base}/hls/`), url);
    assert.equal((await request(url)).status, 200, url);
  }

  for (const page of ["/", "/watch/show", "/watch/show/", "/watch/show/host", "/watch/?room=show", "/studio/show"]) {
    const answer = await request(base + page);
    assert.equal(answer.status, 200, page);
    const files = Array.from(answer.text.matchAll(/(?:src|href)="([^"#]+)"/g), ([, file]) => new URL(file, base + page).href);
    assert.ok(files.length >= 3, answer.text);
    for (const file of files) {
      assert.ok(file.startsWith(`${base}/`), `${page} names ${file}`);
      assert.equal((await request(file)).status, 200, `${page} names ${file}`);
    }
  }
}

/** Asserts that the watch page plays by WebRTC and by LL-HLS, and gets the events of its room. */
async function assertWatchPagePlays(stage, url, options = {}) {
  const page = await watchPage(await stage.browser(), url, options);
  await page.plays("whep");
  await page.advances(1);
  await page.until("the events of the room", () => page.evaluate(() => window.onmicRoom?.connection === "open"));
  await page.click("[data-choice=hls]");
  await page.plays("hls");
  await page.advances(1);
  assert.deepEqual(page.errors(), []);
}

for (const [name, set, replacements] of [
  ["that_takes_it_off_and_names_it", {}, []],
  ["that_takes_it_off_and_is_silent", { "http.base_path": "/live" }, [["set $onmic_prefix /live", 'set $onmic_prefix ""']]],
  [
    "that_leaves_it_on",
    { "http.base_path": "/live/" },
    [["set $onmic_prefix /live", 'set $onmic_prefix ""'], ["proxy_pass http://onmic/;", "proxy_pass http://onmic;"]],
  ],
]) {
  endToEnd(`everything_is_found_under_the_path_of_a_proxy_${name}`, async (stage) => {
    const gateway = await live(stage, set);
    const proxy = await nginx(stage, gateway, "onmic_path.conf", replacements);
    await assertFoundUnder(`${proxy.url}/live`);
    const bare = await request(`${proxy.url}/live`);
    assert.match(String(bare.status), /^30[18]$/);
    assert.equal(new URL(bare.headers.location, `${proxy.url}/live`).pathname, "/live/");
  });
}

endToEnd("the_watch_page_plays_under_a_path_by_webrtc_and_ll_hls", async (stage) => {
  const gateway = await live(stage);
  const proxy = await nginx(stage, gateway, "onmic_path.conf");
  await assertWatchPagePlays(stage, `${proxy.url}/live/watch/show`);
});

endToEnd("the_watch_page_needs_no_header_of_the_proxy", async (stage) => {
  const gateway = await live(stage);
  const proxy = await nginx(stage, gateway, "onmic_path.conf", [["set $onmic_prefix /live", 'set $onmic_prefix ""']]);
  await assertWatchPagePlays(stage, `${proxy.url}/live/watch/show`);
  await waitFor("the WHEP session to be deleted", async () => (await gateway.room("show")).viewers.whep === 0);
});

endToEnd("tickets_and_overlays_state_addresses_under_the_path", async (stage) => {
  const gateway = await live(stage);
  const proxy = await nginx(stage, gateway, "onmic_path.conf");
  const base = `${proxy.url}/live`;
  const join = async (query) => stage.keep(await RoomClient.join({ httpUrl: base }, "show", query));
  const [host, guest] = [await join({ role: "host" }), await join({ name: "Anna" })];
  await guest.ask({ kind: "request-mic" });
  await host.ask({ kind: "grant", person: guest.person });
  const ticket = await guest.ticket();
  assert.deepEqual([ticket.whip, ticket.return], [
    `/live/whip/show/${guest.person}`,
    `/live/whep/show/${guest.person}/return`,
  ]);
  const published = await request(new URL(ticket.whip, base), { method: "POST", headers: SDP, body: offer({ direction: "sendonly" }) });
  assert.equal(published.status, 201, published.text);
  assert.equal((await request(new URL(published.headers.location, base), { method: "DELETE" })).status, 200);

  const image =
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
  const overlays = [{ id: "logo", kind: "image", place: { x: 0, y: 0, width: 0.2, height: 0.1 }, image }];
  const put = (overlays) =>
    request(`${base}/api/v1/rooms/show/overlays`, { method: "PUT", headers: JSON_TYPE, body: JSON.stringify({ overlays }) });
  const shown = JSON.parse((await put(overlays)).text).program.overlays;
  assert.equal(shown[0].image, "/live/api/v1/rooms/show/overlays/logo/image");
  assert.equal((await request(new URL(shown[0].image, base))).headers["content-type"], "image/png");
  assert.equal((await put(shown)).status, 200, "an image is kept by the address that was stated");
  const told = await waitFor("the event of the overlays", () =>
    guest.events.map((event) => JSON.stringify(event)).find((event) => event.includes("/overlays/logo/image")),
  );
  assert.ok(told.includes('"image":"/live/api/'), told);

  const document = JSON.parse((await request(`${base}/api/v1/openapi.json`)).text);
  assert.equal(document.servers[0].url, "/live");
});

endToEnd("viewers_behind_one_proxy_are_counted_apart", async (stage) => {
  const gateway = await live(stage);
  const proxy = await nginx(stage, gateway, "onmic_path.conf");
  const { videoUrl } = await findPlaylists({ url: (path) => `${proxy.url}/live${path}` }, "show");
  const watch = (address) => request(videoUrl, { headers: { "X-Forwarded-For": address, "User-Agent": "the same" } });
  const seen = async () => {
    await Promise.all(["192.0.2.1", "192.0.2.2", "198.51.100.9, 192.0.2.3", "2001:db8::4"].map(watch));
    return (await gateway.room("show")).viewers.hls;
  };
  const apart = await waitFor("four viewers", async () => ((await seen()) >= 4 ? seen() : null), { everyMs: 300 });
  assert.ok(apart <= 5, "this test may count too, because it looks at the playlists from an address of its own");
  await watch("203.0.113.1, 192.0.2.3");
  assert.ok((await seen()) <= apart, "what a client writes before its own address is not believed");
});

endToEnd("pages_of_other_sites_are_refused_behind_a_proxy_too", async (stage) => {
  const gateway = await live(stage);
  const proxy = await nginx(stage, gateway, "onmic_path.conf");
  const base = `${proxy.url}/live`;
  const foreign = { Origin: "https://evil.example" };
  const room = { method: "POST", body: JSON.stringify({ room: "taken" }) };
  assertProblem(await request(`${base}/api/v1/rooms`, { ...room, headers: { ...JSON_TYPE, ...foreign } }), [403], "a foreign page");
  assertProblem(
    await request(`${base}/whip/show/anna`, { method: "POST", headers: { ...SDP, ...foreign }, body: offer() }),
    [403],
    "a foreign page",
  );
  assert.equal((await request(`${base}/hls/show/index.m3u8`, { headers: foreign })).status, 200);
  const own = { Origin: proxy.url };
  assert.equal((await request(`${base}/api/v1/rooms`, { ...room, headers: { ...JSON_TYPE, ...own } })).status, 201);
});

endToEnd("the_watch_page_plays_over_tls_of_a_proxy", async (stage) => {
  const gateway = await live(stage);
  const proxy = await nginx(stage, gateway, "onmic.conf");
  assert.equal((await requestHttp2(`${proxy.url}/api/v1/server`, { rejectUnauthorized: false })).status, 200);
  await assertWatchPagePlays(stage, `${proxy.url}/watch/show`, { ignoreHTTPSErrors: true });
});

endToEnd("a_cache_asks_once_for_what_many_viewers_want", async (stage) => {
  const gateway = await live(stage);
  const cdn = await nginx(stage, gateway, "onmic_cdn.conf");
  const { masterUrl, videoUrl } = await findPlaylists({ url: (path) => cdn.url + path }, "show");
  const crowd = async (url) => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => request(url)));
    for (const answer of answers) {
      assert.equal(answer.status, 200, `${url} ${answer.text.slice(0, 200)}`);
      assert.ok(answer.body.equals(answers[0].body), url);
    }
    const misses = answers.filter(({ headers }) => headers["x-cache"] === "MISS").length;
    assert.equal(misses, 1, `${url}: ${answers.map(({ headers }) => headers["x-cache"])}`);
    return answers[0];
  };
  let playlist = parseMedia((await request(videoUrl)).text);
  for (let round = 0; round < 4; round += 1) {
    const next = `?_HLS_msn=${playlist.nextSequence}&_HLS_part=${playlist.partsOfNext.length}`;
    const hinted = new URL(playlist.preloadHint.URI, videoUrl).href;
    const [reloaded] = await Promise.all([crowd(videoUrl + next), crowd(hinted)]);
    playlist = parseMedia(reloaded.text);
  }
  const viewer = await (await stage.browser()).play("hls", { url: masterUrl });
  await viewer.waitForFrames(60, 20_000);
  await viewer.stop();
});

endToEnd("a_cache_that_asks_nobody_gives_no_stream_away", async (stage) => {
  const gateway = await stage.gateway({ secret: SECRET });
  const publisher = stage.publisher(gateway.rtmpUrl("show", `?token=${token({ room: "show", role: "host" })}`), PICTURE);
  const cdn = await nginx(stage, gateway, "onmic_cdn.conf", [["auth_request /_may_watch;", ""]]);
  const headers = { Authorization: `Bearer ${token({ room: "show", role: "viewer" })}` };
  const at = { url: (path) => cdn.url + path };
  const { masterUrl, videoUrl } = await findPlaylists(at, "show", { headers });
  publisher.assertAlive();
  const segments = async () => parseMedia((await request(videoUrl, { headers })).text).segments;
  const [segment] = await waitFor("a segment", async () => ((await segments()).length > 0 ? segments() : null));
  for (const url of [masterUrl, videoUrl, new URL(segment.uri, videoUrl).href]) {
    for (const more of [{ headers }, { headers }]) assert.equal((await request(url, more)).status, 200, url);
    assert.equal((await request(url)).status, 401, url);
  }
});

endToEnd("a_cache_asks_whether_a_viewer_may_watch", async (stage) => {
  const gateway = await stage.gateway({ secret: SECRET, set: { "hls.shared_cache": true } });
  const publisher = stage.publisher(gateway.rtmpUrl("show", `?token=${token({ room: "show", role: "host" })}`), PICTURE);
  const cdn = await nginx(stage, gateway, "onmic_cdn.conf");
  const url = `${cdn.url}/hls/show/index.m3u8`;
  const by = (bearer) => request(url, { headers: bearer ? { Authorization: `Bearer ${bearer}` } : {} });
  const viewers = [1, 2].map((id) => token({ room: "show", role: "viewer", sub: `viewer-${id}` }));
  await waitFor("the playlist", async () => (await by(viewers[0])).status === 200, { giveUp: () => publisher.assertAlive() });
  const playlists = await Promise.all(viewers.map(by));
  assert.deepEqual(playlists.map(({ status }) => status), [200, 200]);
  assert.equal((await request(`${url}?token=${viewers[1]}`)).status, 200);
  const refused = await by(null);
  assert.deepEqual([refused.status, refused.headers["access-control-allow-origin"]], [401, "*"]);
  assert.equal((await by("nonsense")).status, 401);
  assert.equal((await request(`${url}?token=nonsense`)).status, 401);
  assert.equal((await by(token({ room: "other", role: "viewer" }))).status, 403);
  const absent = `${cdn.url}/hls/other/index.m3u8`;
  const bearer = { Authorization: `Bearer ${token({ room: "other", role: "viewer" })}` };
  assert.equal((await request(absent, { headers: bearer })).status, 404, "a room that is not there is not an error of the cache");
  const viewer = await (await stage.browser()).play("hls", { url, token: viewers[0] });
  await viewer.waitForFrames(60, 20_000);
  await viewer.stop();
});

endToEnd("a_ban_by_address_holds_behind_a_cache_and_for_that_address_alone", async (stage) => {
  const set = { "hls.shared_cache": true, "http.trusted_proxies": "127.0.0.1" };
  const gateway = await stage.gateway({ secret: SECRET, set });
  const host = token({ room: "show", role: "host", sub: "mia" });
  const publisher = stage.publisher(gateway.rtmpUrl("show", `?token=${host}`), PICTURE);
  const cdn = await nginx(stage, gateway, "onmic_cdn.conf");
  const nameless = token({ room: "show", role: "viewer" });
  const watch = async (localAddress, headers = {}) => {
    const url = `${cdn.url}/hls/show/index.m3u8`;
    return (await request(url, { localAddress, headers: { Authorization: `Bearer ${nameless}`, ...headers } })).status;
  };
  const isLive = async () => (await watch("127.0.0.67")) === 200;
  await waitFor("the playlist", isLive, { giveUp: () => publisher.assertAlive() });
  const guest = stage.keep(await RoomClient.join(gateway, "show", { token: nameless }, { localAddress: STRANGER }));
  const banned = await request(gateway.url("/api/v1/rooms/show/bans"), {
    method: "POST",
    headers: { ...JSON_TYPE, Authorization: `Bearer ${host}` },
    body: JSON.stringify({ person: guest.person, seconds: 600 }),
  });
  assert.equal(banned.status, 201, banned.text);
  assert.equal(await watch(STRANGER, { "X-Forwarded-For": "192.0.2.9" }), 403, "an address that the viewer states");
  assert.equal(await watch(STRANGER), 403);
  assert.equal(await watch("127.0.0.67"), 200);
});

endToEnd("caddy_shows_the_gateway_under_a_path", async (stage) => {
  const gateway = await live(stage);
  const proxy = await caddy(stage, gateway);
  await assertFoundUnder(`${proxy.url}/live`);
  await assertWatchPagePlays(stage, `${proxy.url}/live/watch/show`);
});

endToEnd("the_service_of_the_document_is_valid", async (stage) => {
  const file = join(stage.folder(), "onmic.service");
  writeFileSync(file, deployFile("/etc/systemd/system/onmic.service", [["/usr/local/bin/onmic", process.execPath]]));
  const verified = await run("systemd-analyze", ["verify", "--man=no", file]);
  assert.deepEqual([verified.code, verified.stderr], [0, ""], verified.stdout);
});
