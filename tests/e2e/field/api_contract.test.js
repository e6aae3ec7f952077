// Tests that every route of the OpenAPI document answers as the document says: for every kind of token, and whatever the address
// and the body are. No answer has a status that is not documented, and none is an error of the server.

import assert from "node:assert/strict";
import { endToEnd } from "../../lib/end_to_end.js";
import { example, mistakes } from "../../lib/examples.js";
import { request } from "../../lib/http.js";
import { offer } from "../../lib/offer.js";
import { assertMatchesSchema } from "../../lib/openapi.js";
import { SECRET, token } from "../../lib/token.js";

const LONG = { timeout: 300_000 };
const ADMIN = token({ room: "*", role: "admin" });
/** Every kind of token, and the status with which it is refused wherever a route asks for one. */
const TOKENS = {
  none: { bearer: null, refused: 401 },
  garbage: { bearer: "garbage", refused: 401 },
  unsigned: { bearer: token({ room: "lab", role: "host" }, { algorithm: "none" }), refused: 401 },
  expired: { bearer: token({ room: "lab", role: "host", sub: "anna" }, { seconds: -600 }), refused: 401 },
  "of another secret": { bearer: token({ room: "lab", role: "admin" }, { secret: "another secret, of thirty-two bytes too" }), refused: 401 },
  "of another room": { bearer: token({ room: "other", role: "host", sub: "anna" }), refused: 403 },
  viewer: { bearer: token({ room: "lab", role: "viewer", sub: "anna" }) },
  "viewer without a name": { bearer: token({ room: "lab", role: "viewer" }) },
  guest: { bearer: token({ room: "lab", role: "co-host", participant: "anna" }) },
  host: { bearer: token({ room: "lab", role: "host", sub: "bob" }) },
  admin: { bearer: ADMIN },
};
const PARAMETERS = { room: "lab", person: "anna", participant: "anna", seat: "1", id: "logo" };
/** What a client may put into an address by mistake. */
const ODD = ["nobody", "..%2f..%2fadmin", "%00", "a%20b", "%ff", "%C3%A9".repeat(40), "x".repeat(300), "-1", "0", "1", "99", "999999999999"];
const TYPES = { "application/sdp": offer(), "application/trickle-ice-sdpfrag": "a=ice-ufrag:4ZcD\r\na=ice-pwd:2/1muCWoOi3uLifh0NuRHlZb\r\n" };

const fill = (path, values) => path.replaceAll(/\{(\w+)\}/g, (_, name) => values[name] ?? PARAMETERS[name]);

/** Returns the operations of the document, the one that ends the room last. */
function operations(document) {
  const all = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => {
      const [type, content] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [null, null];
      return { path, method: method.toUpperCase(), operation, type, schema: content?.schema };
    }),
  );
  return all.sort((one, other) => Number(one.method === "DELETE") - Number(other.method === "DELETE"));
}

const validBody = ({ type, schema }, document) => TYPES[type] ?? (type ? JSON.stringify(example(schema, document, { full: false })) : null);

class Lab {
  constructor(gateway, document) {
    this.gateway = gateway;
    this.document = document;
    /** Holds the first answer of each fault of each route. */
    this.wrong = new Map();
  }

  /** Makes the room again, in which the calls before may have left anything. */
  async fresh() {
    const headers = { Authorization: `Bearer ${ADMIN}`, "Content-Type": "application/json" };
    await request(this.gateway.url("/api/v1/rooms/lab"), { method: "DELETE", headers });
    await request(this.gateway.url("/api/v1/rooms"), { method: "POST", headers, body: '{"room":"lab"}' });
  }

  /** Calls an operation, and notes an answer that is not one of the document's. */
  async call({ path, method, operation, type }, { bearer, values = {}, body, contentType = type }) {
    const address = fill(path, values);
    const headers = { ...(bearer ? { Authorization: `Bearer ${bearer}` } : {}), ...(body !== null && contentType ? { "Content-Type": contentType } : {}) };
    const answer = await request(this.gateway.url(address), { method, headers, body });
    const label = `${method} ${address.slice(0, 120)} ${JSON.stringify(body)?.slice(0, 120)}: ${answer.status} ${answer.text.slice(0, 300)}`;
    const documented = operation.responses[answer.status];
    const fault = (sentence) => this.wrong.set(`${method} ${path} ${answer.status} ${sentence}`, `${label}; ${sentence}`);
    if (!documented || answer.status === 500) fault(`documented: ${Object.keys(operation.responses)}`);
    const kind = answer.headers["content-type"] ?? "";
    if (answer.status >= 400) {
      const problem = kind.startsWith("application/problem+json") ? JSON.parse(answer.text) : {};
      if (problem.status !== answer.status || !problem.detail) fault("it is not a problem (RFC 9457)");
    } else if (documented?.content?.["application/json"]) {
      assertMatchesSchema(JSON.parse(answer.text), documented.content["application/json"].schema, this.document, label);
    }
    return { ...answer, fault };
  }

  assertRight() {
    assert.deepEqual([...this.wrong.values()], []);
  }
}

async function lab(stage) {
  const gateway = await stage.gateway({ secret: SECRET });
  return new Lab(gateway, await gateway.json("/api/v1/openapi.json"));
}

endToEnd(
  "every_route_answers_every_kind_of_token_as_documented",
  async (stage) => {
    const test = await lab(stage);
    for (const [kind, { bearer, refused }] of Object.entries(TOKENS)) {
      await test.fresh();
      for (const route of operations(test.document)) {
        const answer = await test.call(route, { bearer, body: validBody(route, test.document) });
        const asksForToken = Boolean(route.operation.responses["401"]);
        // The list of rooms has those that the token is for, and refuses only who is banned.
        const has403 = route.operation.responses["403"] && !(route.path === "/api/v1/rooms" && route.method === "GET");
        const isRefused = asksForToken && refused && !(refused === 403 && !has403);
        if (isRefused ? answer.status !== refused : answer.status === 401) answer.fault(`by a token: ${kind}`);
      }
    }
    test.assertRight();
  },
  LONG,
);

endToEnd(
  "every_route_answers_odd_addresses_and_bodies_as_documented",
  async (stage) => {
    const test = await lab(stage);
    await test.fresh();
    const [bearer, guest] = [ADMIN, TOKENS.guest.bearer];
    for (const route of operations(test.document)) {
      const body = validBody(route, test.document);
      for (const [, name] of route.path.matchAll(/\{(\w+)\}/g)) {
        for (const odd of ODD) await test.call(route, { bearer, body, values: { [name]: odd } });
      }
      if (route.method === "DELETE") await test.fresh();
      if (!route.type) continue;
      const wrong = TYPES[route.type] ? ["", "nonsense", "v=0\r\n", "\u0000", "x".repeat(100_000)] : mistakes(route.schema, test.document);
      for (const body of wrong) await test.call(route, { bearer, body });
      await test.call(route, { bearer, body, contentType: "text/plain" });
      await test.call(route, { bearer, body, contentType: null });
      if (!TYPES[route.type]) {
        const full = JSON.stringify(example(route.schema, test.document));
        await test.call(route, { bearer, body: full });
        await test.call(route, { bearer: guest, body: full });
      }
    }
    test.assertRight();
  },
  LONG,
);
