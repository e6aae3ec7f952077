// Tests what a page of another origin can do to a gateway by the browser of somebody on its machine, and what the gateway's
// own pages let a browser do. Where a page comes from proves nothing: a hostile one may be on another port of this machine, on
// another site, or on a site whose name is bound to the gateway's own address (DNS rebinding).

import assert from "node:assert/strict";
import { Browser } from "../../lib/browser.js";
import { endToEnd, lasting } from "../../lib/end_to_end.js";
import { request } from "../../lib/http.js";
import { micPage } from "../../lib/mic_page.js";
import { offer } from "../../lib/offer.js";
import { PageServer } from "../../lib/page_server.js";
import { SECRET, token } from "../../lib/token.js";
import { waitFor } from "../../lib/wait.js";
import { watchPage } from "../../lib/watch_page.js";

const PICTURE = { width: 320, height: 180, bitrateKbps: 400 };
const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true };
const LONG = { timeout: 120_000 };
const JSON_TYPE = { "Content-Type": "application/json" };
const OWN_PAGES_ONLY = { "http.origins": "" };

// In this browser the name of the hostile site leads to this machine, whatever the port.
const misled = lasting(async (stage) => stage.keep(await Browser.start({ flags: ["--host-resolver-rules=MAP evil.example 127.0.0.1"] })));
const elsewhere = lasting(async (stage) => stage.keep(await PageServer.start()));

/** Opens a window whose messages a failing test prints. */
async function open(stage, url, options) {
  const browser = await misled();
  const page = await browser.open(url, options);
  stage.pages.push(page);
  stage.keep({ stop: () => page.context().close() });
  return page;
}

/** Tries everything that a page can send to the gateway at `url`. Runs in a page. Returns what each attempt got. */
async function attack({ url, sdp }) {
  const text = { "Content-Type": "text/plain" };
  const json = { "Content-Type": "application/json" };
  const api = `${url}/api/v1/rooms`;
  const within = (promise) => Promise.race([promise, new Promise((resolve) => setTimeout(() => resolve("silence"), 5000))]);
  const fetched = (path, options) =>
    within(fetch(path, options).then(({ type, status }) => (type === "opaque" ? "opaque" : status), () => "blocked"));
  const socket = () =>
    within(
      new Promise((resolve) => {
        const events = new WebSocket(`${api.replace("http", "ws")}/kept/events?role=host`);
        events.onopen = () => {
          events.send(JSON.stringify({ type: "command", id: 1, command: { kind: "set-look", background: "#ff0000" } }));
          setTimeout(() => resolve("open"), 500);
        };
        events.onerror = () => resolve("blocked");
      }),
    );
  const form = () =>
    within(
      new Promise((resolve) => {
        const frame = document.createElement("iframe");
        frame.name = "answer";
        document.body.append(frame);
        const element = document.createElement("form");
        Object.assign(element, { action: api, method: "post", enctype: "text/plain", target: "answer" });
        const field = document.createElement("input");
        // The browser writes NAME=VALUE, which is JSON here.
        Object.assign(field, { name: '{"room":"by-form","title":"', value: '"}' });
        element.append(field);
        document.body.append(element);
        frame.addEventListener("load", () => resolve("sent"));
        element.submit();
      }),
    );
  const sandboxed = () =>
    within(
      new Promise((resolve) => {
        const frame = document.createElement("iframe");
        frame.sandbox = "allow-scripts";
        const options = JSON.stringify({ method: "POST", mode: "no-cors", body: '{"room":"by-sandbox"}' });
        frame.srcdoc = `<script>fetch(${JSON.stringify(api)}, ${options}).finally(() => parent.postMessage("sent", "*"))</` + "script>";
        addEventListener("message", () => resolve("sent"), { once: true });
        document.body.append(frame);
      }),
    );
  return {
    "a room by a simple request": await fetched(api, { method: "POST", mode: "no-cors", headers: text, body: '{"room":"by-simple"}' }),
    "a room": await fetched(api, { method: "POST", headers: json, body: '{"room":"by-json"}' }),
    "a room by a beacon": navigator.sendBeacon(api, '{"room":"by-beacon"}') ? "sent" : "blocked",
    "a room by a form": await form(),
    "a room by a frame without an origin": await sandboxed(),
    "a title": await fetched(`${api}/kept`, { method: "PATCH", headers: json, body: '{"title":"taken"}' }),
    "the list of rooms": await fetched(api),
    "the events": await socket(),
    "a source": await fetched(`${url}/whip/kept`, { method: "POST", headers: { "Content-Type": "application/sdp" }, body: sdp }),
    "a source by a simple request": await fetched(`${url}/whip/kept`, { method: "POST", mode: "no-cors", headers: text, body: sdp }),
    "a return feed": await fetched(`${url}/whep/kept/anna/return`, { method: "POST", headers: { "Content-Type": "application/sdp" }, body: sdp }),
    "the end of the room": await fetched(`${api}/kept`, { method: "DELETE" }),
  };
}

const SDP = offer({ direction: "sendonly" });

/** Makes the room that is attacked. */
async function kept(gateway) {
  const made = await request(gateway.url("/api/v1/rooms"), { method: "POST", headers: JSON_TYPE, body: '{"room":"kept","title":"mine"}' });
  assert.equal(made.status, 201, made.text);
}

for (const [where, page, got] of [
  ["another_port_of_this_machine", async () => (await elsewhere()).url, "blocked"],
  ["another_site", async () => (await elsewhere()).url.replace("127.0.0.1", "evil.example"), "blocked"],
  ["a_site_whose_name_leads_to_the_gateway", async (gateway) => `http://evil.example:${gateway.httpPort}`, 403],
]) {
  endToEnd(`a_page_on_${where}_changes_nothing`, async (stage) => {
    const gateway = await stage.gateway({ set: OWN_PAGES_ONLY });
    await kept(gateway);
    const site = await page(gateway);
    const hostile = await open(stage, `${site}/?`);
    const isRebound = got === 403;
    const tried = await hostile.evaluate(attack, { url: isRebound ? site : gateway.httpUrl, sdp: SDP });
    for (const what of ["a room", "a title", "a source", "a return feed", "the end of the room"]) {
      assert.equal(tried[what], got, `${what}: ${JSON.stringify(tried)}`);
    }
    assert.equal(tried["the list of rooms"], 403, "the page may read why it gets nothing");
    assert.equal(tried["the events"], "blocked", JSON.stringify(tried));

    const { rooms } = await gateway.json("/api/v1/rooms");
    assert.deepEqual(rooms.map(({ name, participants }) => [name, participants.length]), [["kept", 0]]);
    const { state } = await gateway.room("kept");
    assert.equal(state.title, "mine");
    assert.equal(state.program.background, (await untouched(gateway)).program.background);
  });
}

/** Returns the state of a room that nobody has attacked. */
async function untouched(gateway) {
  await request(gateway.url("/api/v1/rooms"), { method: "POST", headers: JSON_TYPE, body: '{"room":"untouched"}' });
  return (await gateway.room("untouched")).state;
}

endToEnd("a_page_of_a_configured_origin_commands", async (stage) => {
  const { url } = await elsewhere();
  const gateway = await stage.gateway({ set: { "http.origins": `https://app.example,${url}` } });
  await kept(gateway);
  const tried = await (await open(stage, `${url}/`)).evaluate(attack, { url: gateway.httpUrl, sdp: SDP });
  assert.deepEqual(
    [tried["a room"], tried["a title"], tried["the list of rooms"], tried["the events"], tried["a source"], tried["the end of the room"]],
    [201, 200, 200, "open", 201, 204],
    JSON.stringify(tried),
  );
  const names = async () => (await gateway.json("/api/v1/rooms")).rooms.map(({ name }) => name);
  await waitFor("the rooms of simple requests", async () => {
    const there = await names();
    return ["by-simple", "by-json", "by-beacon", "by-form"].every((name) => there.includes(name));
  });
  assert.ok(!(await names()).includes("by-sandbox"), "a frame without an origin is of none that is configured");
});

endToEnd("a_page_of_another_site_watches_without_a_secret", async (stage) => {
  const gateway = await stage.gateway({ set: OWN_PAGES_ONLY });
  await stage.live(gateway, "show", PICTURE);
  const browser = await stage.browser(); // Its pages are on another port.
  for (const [kind, path] of [
    ["whep", "/whep/show"],
    ["hls", "/hls/show/index.m3u8"],
  ]) {
    const viewer = await browser.play(kind, { url: gateway.url(path) });
    await viewer.waitForFrames(20, 20_000);
    await viewer.stop();
  }
});

endToEnd("with_a_secret_a_page_of_another_site_opens_no_events_although_its_token_is_good", async (stage) => {
  const { url } = await elsewhere();
  const good = token({ room: "kept", role: "host", sub: "anna" });
  const opened = async (gateway) => {
    const page = await open(stage, `${url}/`);
    const address = `${gateway.httpUrl}/api/v1/rooms/kept/events?token=${good}`;
    const path = address.replace("http", "ws");
    const hears = (path) =>
      new Promise((resolve) => {
        const events = new WebSocket(path);
        events.onmessage = () => resolve(true);
        events.onerror = () => resolve(false);
      });
    const isOpen = await page.evaluate(hears, path);
    // The player asks so for the reason, which a browser does not tell of a WebSocket.
    const asks = (address) => fetch(address).then((answer) => answer.json());
    if (!isOpen) assert.match((await page.evaluate(asks, address)).detail, /http\.origins/);
    return isOpen;
  };
  assert.equal(await opened(await stage.gateway({ secret: SECRET, set: OWN_PAGES_ONLY })), false);
  assert.equal(await opened(await stage.gateway({ secret: SECRET, set: { "http.origins": "*" } })), true);
});

endToEnd("pages_are_framed_only_by_configured_origins", async (stage) => {
  const { url } = await elsewhere();
  const framed = async (gateway, path) => {
    const page = await open(stage, `${url}/`);
    const add = (source) =>
      new Promise((resolve) => {
        const frame = document.createElement("iframe");
        Object.assign(frame, { src: source, onload: () => resolve() });
        document.body.append(frame);
      });
    await page.evaluate(add, gateway.url(path));
    // Chromium shows a page of its own in the place of one that must not be framed.
    return page.frames().some((frame) => frame.url() === gateway.url(path));
  };
  const closed = await stage.gateway();
  const trusting = await stage.gateway({ set: { "http.frame_ancestors": url } });
  for (const path of ["/", "/watch/show", "/studio/show"]) {
    assert.equal(await framed(closed, path), false, path);
    assert.equal(await framed(trusting, path), true, path);
  }
});

/** Opens a page, asserts that it has a policy, and lets it list the violations of it. */
async function policed(stage, make) {
  const browser = await stage.browser();
  const page = await make(browser);
  page.violations = () => page.messages.filter((message) => /Content.Security.Policy|Refused to|ERR_BLOCKED/i.test(message));
  const { status, headers } = await request(page.url());
  assert.equal(status, 200, page.url());
  assert.match(headers["content-security-policy"], /default-src 'none'; script-src 'self'; .*frame-ancestors 'none'$/);
  assert.deepEqual(
    [headers["referrer-policy"], headers["x-content-type-options"], headers["x-frame-options"]],
    ["no-referrer", "nosniff", "DENY"],
  );
  return page;
}

for (const [size, options] of [
  ["a_desk", {}],
  ["a_phone", PHONE],
]) {
  for (const language of ["en-US", "zh-CN"]) {
    endToEnd(
      `the_pages_work_under_their_policy_on_${size}_in_${language.slice(0, 2)}`,
      async (stage) => {
        const gateway = await stage.gateway({ set: OWN_PAGES_ONLY });
        const here = { ...options, locale: language };
        const home = await policed(stage, (browser) => browser.open(gateway.url("/"), here));
        const studio = await policed(stage, (browser) => browser.open(gateway.url("/studio/home"), here));
        // The host goes live from the browser, and a guest comes on mic.
        const show = async (tab) => {
          const shown = await studio.isVisible(`[data-tab=${tab}]`);
          if (shown) await studio.click(`[data-tab=${tab}]`);
        };
        await show("publish");
        await studio.click(".own-source .primary");
        await studio.waitForSelector(".own-source .preview video:not([hidden])");
        await studio.click(".own-source .primary:not([disabled])");
        await studio.waitForSelector(".own-source .chip.live");
        await studio.waitForSelector(".badges .chip.live", { state: "attached" });
        await home.waitForSelector(".room a");
        const guest = await policed(stage, (browser) => micPage(browser, gateway, "home", here));
        await guest.raiseHand("Anna");
        await show("people");
        await studio.click(".requests button.primary");
        await guest.waitForSelector(".micbar.on");
        await guest.plays("mic");
        // A logo is a picture of the gateway.
        await show("look");
        const logo = { name: "logo.png", mimeType: "image/png", buffer: Buffer.from(PIXEL, "base64") };
        await studio.setInputFiles("input[type=file]", logo);
        const thumbnail = () => studio.evaluate(() => document.querySelector(".row img.thumb")?.naturalWidth === 1);
        await waitFor("the thumbnail of the logo", thumbnail);
        await guest.click(".micbar .danger");
        await guest.plays("whep");
        const far = await policed(stage, (browser) => watchPage(browser, gateway.url("/watch/home?transport=hls"), here));
        await far.plays("hls");
        await far.shows(5);
        for (const page of [home, studio, guest, far]) assert.deepEqual(page.violations(), [], page.url());
        await home.evaluate(() => document.body.append(Object.assign(new Image(), { src: "data:image/png;base64," })));
        await waitFor("a violation to be noticed", () => home.violations().length > 0);
      },
      LONG,
    );
  }
}

const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

endToEnd("a_token_leaves_the_address_at_once_and_is_shown_only_on_purpose", async (stage) => {
  const gateway = await stage.gateway({ secret: SECRET, set: OWN_PAGES_ONLY });
  const host = token({ room: "show", role: "host", sub: "anna" });
  stage.publisher(gateway.rtmpUrl("show", `?token=${host}`), PICTURE);
  const playing = (page) => page.waitForSelector("[data-onmic=player][data-state=playing]");
  for (const [path, rest] of [
    [`/studio/show#token=${host}`, "/studio/show"],
    [`/studio/show?token=${host}&lang=en`, "/studio/show?lang=en"],
  ]) {
    const studio = await open(stage, "about:blank");
    const referrers = [];
    studio.context().on("request", (sent) => sent.headers().referer && referrers.push(`${sent.url()}: ${sent.headers().referer}`));
    await studio.goto(gateway.url(path));
    await playing(studio);
    assert.equal(studio.url(), gateway.url(rest));
    await studio.reload();
    await playing(studio);

    const html = () => studio.evaluate(() => document.documentElement.outerHTML);
    await studio.click(".own-source summary");
    await studio.waitForSelector(".own-source .field code");
    assert.ok(!(await html()).includes(host), "the page shows its token");
    await studio.click('role=button[name="Show: Stream key"]');
    assert.match(await studio.textContent(".own-source .fields"), new RegExp(`show\\?token=${host}`));
    await studio.click('role=button[name="Hide: Stream key"]');
    assert.ok(!(await html()).includes(host), "the page still shows its token");

    // The watch page opens in another tab, which has the token too.
    const [watch] = await Promise.all([studio.context().waitForEvent("page"), studio.click(".studio-bar a")]);
    await playing(watch);
    assert.equal(watch.url(), gateway.url(rest.replace("studio", "watch")));
    assert.deepEqual(referrers, []);
  }
  const stranger = await open(stage, gateway.url("/watch/show"));
  await stranger.waitForSelector("[data-onmic=player][data-state=failed]");
});
