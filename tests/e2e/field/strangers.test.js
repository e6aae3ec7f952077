// Tests what strangers, faults of the machine and clumsy operators do at the door: connections that say nothing, too many
// of them, a log that nobody reads, too few files, values that cannot work. Everybody else is served meanwhile, where it can be
// beside a neighbour that takes as much as it is allowed.

import assert from "node:assert/strict";
import { withBystander } from "../../lib/bystander.js";
import { endToEnd } from "../../lib/end_to_end.js";
import { assertProblem } from "../../lib/expect.js";
import { Gateway } from "../../lib/gateway.js";
import { request } from "../../lib/http.js";
import { RoomClient } from "../../lib/room_client.js";
import { abandonedPipe, dial, fullPipe, SAID, STRANGER } from "../../lib/strangers.js";
import { pause, waitFor } from "../../lib/wait.js";

const PICTURE = { width: 320, height: 180, bitrateKbps: 400 };
const FEW_FILES = ["bash", "-c", 'ulimit -n 128; exec "$@"', "-"];
/** A test with a bystander waits for its viewer, for the neighbour, and for what the gateway gives back. */
const WITH_BYSTANDER = { timeout: 120_000 };

/** Asserts that `room` can be published and watched. Returns its publisher. */
async function isServed(stage, gateway, room) {
  const publisher = await stage.live(gateway, room, PICTURE);
  const playlist = () => request(gateway.url(`/hls/${room}/index.m3u8`)).catch(() => null);
  await waitFor(`the playlist of ${room}`, async () => (await playlist())?.status === 200);
  return publisher;
}

endToEnd("a_log_that_nobody_reads_stops_nothing", async (stage) => {
  const pipe = fullPipe(stage.folder());
  stage.keep({ stop: async () => pipe.close() });
  const { gateway, check } = await withBystander(stage, { "log.filter": "debug" }, { output: pipe.writing });
  const lost = () => gateway.metric("onmic_drops_total", { reason: "log_queue_full" });
  const visited = async () => {
    // Each connection leaves lines of the log.
    const visits = Array.from({ length: 200 }, () => dial(gateway.rtmpPort, "G"));
    await pause(100);
    visits.forEach(({ end }) => end());
    return (await lost()) > 0;
  };
  await waitFor("the queue of the log to be full", visited, { timeoutMs: 40_000 });
  const publisher = await isServed(stage, gateway, "unread");
  await publisher.stop();
  await check();
  // It ends by itself although the last lines find no reader.
  await gateway.stop();
}, WITH_BYSTANDER);

endToEnd("a_reader_of_the_log_may_go_away", async (stage) => {
  const pipe = abandonedPipe(stage.folder());
  stage.keep({ stop: async () => pipe.close() });
  const gateway = await stage.gateway({ output: pipe.writing });
  pipe.leave();
  await isServed(stage, gateway, "unheard");
  await waitFor("the lost lines to be counted", () => gateway.metric("onmic_drops_total", { reason: "log_not_written" }));
});

endToEnd("a_connection_that_asks_for_nothing_is_closed_whatever_it_says", async (stage) => {
  const { gateway, check } = await withBystander(stage, { "http.header_timeout": "2s", "rtmp.start_timeout": "2s" });
  const silent = Object.entries(SAID).flatMap(([what, said]) => [
    { what: `HTTP: ${what}`, of: dial(gateway.httpPort, said) },
    { what: `RTMP: ${what}`, of: dial(gateway.rtmpPort, said) },
  ]);
  const open = () => silent.filter(({ of }) => !of.closed).map(({ what }) => what);
  await waitFor("all of them to be closed", () => open().length === 0).catch((error) => {
    throw new Error(`${error.message}; open: ${open().join(", ")}`);
  });
  const timeouts = await gateway.metric("onmic_drops_total", { reason: "http_header_timeout" });
  assert.ok(timeouts > 0, "the deadline is counted");
  await check();
}, WITH_BYSTANDER);

for (const [protocol, port] of [
  ["HTTP", "httpPort"],
  ["RTMP", "rtmpPort"],
]) {
  endToEnd(`silent_connections_to_${protocol}_take_the_last_file_from_nobody`, async (stage) => {
    const { gateway, check } = await withBystander(stage, {}, { wrap: FEW_FILES });
    const silent = Array.from({ length: 300 }, () => dial(gateway[port]));
    const end = () => silent.forEach((dialled) => dialled.end());
    stage.keep({ stop: async () => end() });
    const publisher = await isServed(stage, gateway, "meanwhile");
    const reason = protocol === "HTTP" ? "http_gave_way" : "rtmp_gave_way";
    await waitFor("connections to give way", () => gateway.metric("onmic_drops_total", { reason }));
    await publisher.stop();
    end();
    await check();
  }, WITH_BYSTANDER);
}

/**
 * Opens connections that watch the room "held", which are busy for as long as they stay. Returns how many found a place. Each
 * is opened when the one before is busy, because one that has not asked yet would give way to the next.
 */
async function watch(stage, gateway, count, localAddress) {
  const asked = "GET /flv/held.flv HTTP/1.1\r\nHost: localhost\r\n\r\n";
  let busy = 0;
  for (let viewer = 0; viewer < count; viewer += 1) {
    const dialled = dial(gateway.httpPort, asked, localAddress);
    stage.keep({ stop: async () => dialled.end() });
    await waitFor("a viewer to be answered", () => dialled.heard.includes("FLV\x01") || dialled.closed);
    if (dialled.heard.includes("FLV\x01")) busy += 1;
  }
  return busy;
}

endToEnd("where_all_places_are_busy_health_is_answered_and_the_rest_refused", async (stage) => {
  const gateway = await stage.gateway({ set: { "http.connections": 8 } });
  await isServed(stage, gateway, "held");
  assert.equal(await watch(stage, gateway, 7, "127.0.0.1"), 7, "idle connections give way");
  // Viewers leave an eighth of the connections that stay open to hosts.
  const eighth = await request(gateway.url("/flv/held.flv"));
  assertProblem(eighth, [503], "an eighth viewer");
  stage.keep(await RoomClient.join(gateway, "held", { role: "host", name: "Mia" }));
  const refused = await request(gateway.url("/api/v1/server"));
  assertProblem(refused, [503], "a request without a place");
  assert.ok(Number(refused.headers["retry-after"]) > 0);
  assert.equal((await request(gateway.url("/healthz"))).status, 200);
  assert.equal((await request(gateway.url("/readyz"))).status, 200);
});

endToEnd("an_address_has_its_limit_of_connections_and_a_trusted_proxy_has_none", async (stage) => {
  const set = { "http.connections_per_address": 3, "http.trusted_proxies": "127.0.0.1" };
  const gateway = await stage.gateway({ set });
  await isServed(stage, gateway, "held");
  assert.equal(await watch(stage, gateway, 3, STRANGER), 3);
  const refused = await request(gateway.url("/api/v1/server"), { localAddress: STRANGER });
  assertProblem(refused, [503], "a fourth connection of a stranger");
  assert.equal(await watch(stage, gateway, 6, "127.0.0.1"), 6);
  assert.equal((await request(gateway.url("/api/v1/server"))).status, 200);
});

endToEnd("requests_in_a_row_for_the_api_document_are_all_answered", async (stage) => {
  const { gateway, check } = await withBystander(stage);
  const first = await request(gateway.url("/api/v1/openapi.json"));
  const known = await request(gateway.url("/api/v1/openapi.json"), { headers: { "If-None-Match": first.headers.etag } });
  assert.deepEqual([first.status, known.status, known.text], [200, 304, ""]);
  const asked = "GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20);
  const connections = Array.from({ length: 20 }, () => dial(gateway.httpPort, asked));
  const end = () => connections.forEach((connection) => connection.end());
  stage.keep({ stop: async () => end() });
  const answers = ({ heard }) => heard.split("HTTP/1.1 200").length - 1;
  await waitFor("all answers", () => connections.every((connection) => answers(connection) === 20));
  end();
  await check();
}, WITH_BYSTANDER);

endToEnd("options_that_cannot_work_end_the_start_with_a_sentence", async () => {
  for (const [what, options, sentence] of [
    ["a secret of one letter", { secret: "x" }, /auth\.secret is too short/],
    ["parts of no length", { set: { "hls.part": "0s" } }, /hls\.part is 0s/],
    ["a variable that is nearly an option", { environment: { ONMIC_HTTP_PROT: "1" } }, /ONMIC_HTTP_PORT/],
  ]) {
    const gateway = await Gateway.start({ ...options, ready: false });
    await waitFor(`the end of a start with ${what}`, () => gateway.exit);
    assert.notEqual(gateway.exit.code, 0, what);
    assert.match(gateway.log, sentence, what);
  }
});
