// Tests hostile and malformed input. A client that can be answered gets a clear answer, only its own connection is
// closed, memory does not grow, and a viewer of another stream is not affected.

import assert from "node:assert/strict";
import { withBystander } from "../lib/bystander.js";
import { endToEnd } from "../lib/end_to_end.js";
import { assertProblem } from "../lib/expect.js";
import { request, sendRaw } from "../lib/http.js";
import { badRequests } from "../lib/http_abuse.js";
import { BAD_OFFERS, offer } from "../lib/offer.js";
import { RTMP_ABUSE } from "../lib/rtmp_abuse.js";
import { makeNoise } from "../lib/udp_abuse.js";
import { pause } from "../lib/wait.js";

endToEnd("hostile_rtmp_clients_do_not_affect_other_streams", async (stage) => {
  const { gateway, check } = await withBystander(stage, { "rtmp.start_timeout": "3s", "rtmp.idle_timeout": "5s" });
  // They run at the same time, because one after the other would wait for each timeout in turn.
  const outcomes = await Promise.all(
    RTMP_ABUSE.map(async ({ name, ends, run }, index) => {
      await pause(index * 50);
      let client = null;
      try {
        client = await run(gateway.rtmpPort, `abuse-${index}`);
        if (ends === "closed") await client.waitForClose(15_000);
        if (ends === "alive") {
          await pause(200);
          assert.equal(client.closed, false, "the server closed a legal connection");
        }
        return null;
      } catch (error) {
        // The server may close the connection of a hostile client in the middle of its abuse.
        if (ends !== "alive" && /closed (during|before)/.test(error.message)) return null;
        return `${name}: ${error.message}`;
      } finally {
        await client?.stop();
      }
    }),
  );
  assert.deepEqual(outcomes.filter(Boolean), []);
  await check();
});

endToEnd("noise_on_the_udp_port_does_not_affect_other_streams", async (stage) => {
  const { gateway, viewer, check } = await withBystander(stage);
  const ufrag = (await viewer.report()).answer.match(/a=ice-ufrag:(\S+)/)[1];
  const { sent, answers } = await makeNoise(gateway.rtcPort, { ufrag });
  stage.say(`${sent} datagrams, ${answers} answers`);
  assert.ok(answers < sent / 4, "noise is not answered, because that would make the server an amplifier");
  await check();
});

endToEnd("malformed_offers_are_refused_with_a_reason", async (stage) => {
  const { gateway, check } = await withBystander(stage);
  for (const [path, direction] of [
    ["/whep/bystander", "recvonly"],
    ["/whip/other", "sendonly"],
  ]) {
    for (const [what, body] of Object.entries(BAD_OFFERS)) {
      const answer = await request(gateway.url(path), {
        method: "POST",
        headers: { "Content-Type": "application/sdp" },
        body,
      });
      assert.ok(answer.status >= 400 && answer.status < 500, `${path} with ${what}: ${answer.status} ${answer.text}`);
      assertProblem(answer, [400, 406, 413, 415, 422], `${path} with ${what}`);
    }
    // A valid offer is accepted, so the refusals above do not have another cause.
    const good = await request(gateway.url(path), {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: offer({ direction }),
    });
    assert.equal(good.status, 201, good.text);
    const gone = await request(new URL(good.headers.location, gateway.url(path)), { method: "DELETE" });
    assert.ok([200, 204].includes(gone.status), `DELETE: ${gone.status}`);
  }

  const nothingInCommon = await request(gateway.url("/whep/bystander"), {
    method: "POST",
    headers: { "Content-Type": "application/sdp" },
    body: offer({ video: [["96", "theora/90000"]], audio: [["0", "PCMU/8000"]] }),
  });
  const problem = assertProblem(nothingInCommon, [406], "an offer with no codec in common");
  assert.match(JSON.stringify(problem), /h\.?264/i, "the answer lists the codecs of the room");
  assert.match(JSON.stringify(problem), /opus/i);
  await check();
});

endToEnd("wrong_http_requests_get_a_fitting_status", async (stage) => {
  const { gateway, check } = await withBystander(stage);
  for (const [what, method, path, headers, body, statuses] of badRequests("bystander")) {
    const answer = await request(gateway.url(path), { method, headers, body }).catch((error) => {
      // Once it has answered, the server may close the connection without reading the rest of the body.
      if (statuses.includes(413)) return { status: 413, hungUp: true };
      throw error;
    });
    assert.ok(statuses.includes(answer.status), `${what}: ${answer.status} instead of ${statuses}: ${answer.text}`);
  }
  for (const [what, bytes] of [
    ["not HTTP", Buffer.from("\x16\x03\x01\x02\x00hello\r\n\r\n")],
    ["a request line of 100 kB", Buffer.from(`GET /${"x".repeat(100_000)} HTTP/1.1\r\nHost: x\r\n\r\n`)],
    ["1,000 headers", Buffer.from(`GET / HTTP/1.1\r\nHost: x\r\n${"a: b\r\n".repeat(1000)}\r\n`)],
    ["two Content-Length headers", Buffer.from("POST /whep/bystander HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")],
  ]) {
    const { text, closed } = await sendRaw(gateway.httpPort, bytes);
    assert.ok(closed || /^HTTP\/1\.1 4\d\d/.test(text), `${what}: ${text.slice(0, 100)}`);
    assert.ok(text === "" || /^HTTP\/1\.1 4\d\d/.test(text), `${what}: ${text.slice(0, 100)}`);
  }

  // This session gets wrong PATCH requests and is then deleted.
  const made = await request(gateway.url("/whep/bystander"), {
    method: "POST",
    headers: { "Content-Type": "application/sdp" },
    body: offer(),
  });
  assert.equal(made.status, 201, made.text);
  const resource = new URL(made.headers.location, gateway.url("/whep/bystander"));
  const patch = (headers, body) => request(resource, { method: "PATCH", headers, body });
  const fragment = "application/trickle-ice-sdpfrag";
  const wrongType = await patch({ "Content-Type": "text/plain" }, "x");
  assertProblem(wrongType, [415], "PATCH with another content type");
  const stale = await patch({ "Content-Type": fragment, "If-Match": '"nothing"' }, "a=ice-ufrag:4ZcD\r\na=ice-pwd:x\r\n");
  assertProblem(stale, [412], "PATCH for another ICE session");
  assert.ok([200, 204].includes((await request(resource, { method: "DELETE" })).status));
  const again = await request(resource, { method: "DELETE" });
  assertProblem(again, [404], "DELETE of a deleted session");
  await check();
});
