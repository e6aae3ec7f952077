// Opens the gateway's own watch page and adds the functions that tests need. The player publishes its state as data
// attributes of its element (`data-onmic`).

import assert from "node:assert/strict";
import { CANDIDATE, TCP_CANDIDATE } from "./pages/session.js";
import { pause, waitFor } from "./wait.js";

/**
 * Opens the page in a `Browser` or a `Firefox`. With `relay`, every SDP answer that it gets, to an offer or an ICE
 * restart, points to that relay, and has no candidate of TCP unless `tcp` is true. The page offers no codec of those in `lacks`.
 */
export async function watchPage(browser, url, { relay = null, tcp = false, lacks = [], ...options } = {}) {
  const page = await browser.open("about:blank", options);
  if (relay !== null || lacks.length > 0) {
    const target = relay && `${relay.address} ${relay.port}`;
    const around = tcp ? null : TCP_CANDIDATE.source;
    await page.addInitScript(changeSdp, { candidate: CANDIDATE.source, around, target, lacks });
  }
  await page.goto(url);
  const player = () =>
    page.evaluate(() => {
      const element = document.querySelector('[data-onmic="player"]');
      const video = [...(element?.querySelectorAll("video") ?? [])].find((each) => !each.hasAttribute("aria-hidden"));
      return {
        ...element?.dataset,
        currentTime: video?.currentTime ?? 0,
        // Firefox leaves the video of WebRTC out of the first number.
        frames: Math.max(video?.getVideoPlaybackQuality().totalVideoFrames ?? 0, video?.mozPaintedFrames ?? 0),
        width: video?.videoWidth ?? 0,
      };
    });

  page.until = (what, condition, timeoutMs = 15_000) => waitFor(what, condition, { timeoutMs, everyMs: 100 });
  page.player = player;
  page.plays = async (transport, timeoutMs = page.patienceMs ?? 15_000) => {
    let last;
    await page
      .until(`the page to play by ${transport}`, async () => {
        last = await player();
        return last.state === "playing" && last.transport === transport && last.width > 0;
      }, timeoutMs)
      .catch((error) => {
        error.message += ` ${JSON.stringify(last)}`;
        throw error;
      });
  };
  /** Asserts that the video plays: at least 15 new frames per second for `seconds`. */
  page.advances = async (seconds = 3) => {
    const before = await player();
    await pause(seconds * 1000);
    const after = await player();
    assert.ok(after.frames - before.frames > seconds * 15, `${JSON.stringify(before)} then ${JSON.stringify(after)}`);
  };
  /** Waits for this many new frames, also over a change of the element. */
  page.shows = async (frames, timeoutMs = 20_000) => {
    let last = await player();
    let count = 0;
    const look = async () => {
      const now = await player();
      count += now.frames >= last.frames ? now.frames - last.frames : now.frames;
      last = now;
      return count >= frames;
    };
    await page.until(`${frames} new frames`, look, timeoutMs).catch((error) => {
      error.message += ` ${count} frames; ${JSON.stringify(last)}`;
      throw error;
    });
  };
  page.badge = (name) => page.evaluate((name) => document.querySelector(`[data-badge="${name}"]`)?.textContent ?? "", name);
  page.text = () => page.evaluate(() => document.body.innerText);
  page.errors = () => page.messages.filter((message) => message.startsWith("error"));
  return page;
}

/** Changes the offers and answers of WHIP and WHEP on their way. Runs in the page, before its own scripts. */
function changeSdp({ candidate, around, target, lacks }) {
  const { fetch } = window;
  window.fetch = async (resource, init = {}) => {
    const path = new URL(resource?.url ?? resource, location.href).pathname;
    if (!/^\/(whip|whep|sessions)\//.test(path) || !["POST", "PATCH"].includes(init.method)) return fetch(resource, init);
    const without = (sdp) => lacks.reduce((text, codec) => text.replaceAll(` ${codec}/90000`, ` no-${codec}/90000`), sdp);
    const response = await fetch(resource, { ...init, body: without(init.body) });
    const { status, statusText, headers, url } = response;
    let text = await response.text();
    if (target) text = text.replace(new RegExp(candidate, "gim"), `$1 ${target} `);
    if (target && around) text = text.replace(new RegExp(around, "gim"), "");
    const changed = new Response(status === 204 ? null : text, { status, statusText, headers });
    Object.defineProperty(changed, "url", { value: url });
    return changed;
  };
}
