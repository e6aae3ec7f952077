// Drives the gateway's own watch page as a viewer who goes on mic and back, and measures it from outside the player.
//
// The meter counts each frame of the <video> that is on top. Every 5 ms it reads the audio level of each <video>, times
// its volume. The hum of the test picture never stops, so silence is a gap.

import { watchPage } from "./watch_page.js";
import { waitFor } from "./wait.js";

/** Opens the watch page and installs the meter. `transport` is "whep" or "hls". */
export async function micPage(browser, gateway, room, { transport = "whep", query = "", ...options } = {}) {
  const address = gateway.url(`/watch/${room}?${transport === "hls" ? "transport=hls" : ""}${query}`);
  const page = await watchPage(browser, address, options);
  await page.plays(transport);
  await page.waitForSelector(".micbar .primary");
  await page.evaluate(installMeter);
  // The test browser lets a page play audio without a user gesture.
  await page.evaluate(() => window.onmicPlayer.unmute());

  /** Asks for the mic with the page's buttons, up to where the page waits for the host. */
  page.raiseHand = async (name) => {
    await page.click(".micbar .primary");
    await page.waitForSelector("dialog .preview video:not([hidden])");
    await page.fill("dialog input[maxlength]", name);
    await page.click("dialog .primary:not([disabled])");
    await page.waitForSelector(".micbar .spinner");
  };
  page.person = () => page.evaluate(() => window.onmicRoom.you.person);
  page.mic = () => page.evaluate(() => window.onmicPlayer.mic);
  page.resetMeter = () => page.evaluate(() => window.meter.reset());
  /** Waits for the player's own report of the change. Returns it together with what the meter measured from outside. */
  page.change = async (direction, timeoutMs = 15_000) => {
    const report = await waitFor(
      `the player's report of the switch ${direction}`,
      () => page.evaluate((direction) => window.meter.switches.find((one) => one.direction === direction), direction),
      { timeoutMs, everyMs: 50 },
    );
    const seen = await page.evaluate(() => window.meter.report());
    return { ...seen, own: report };
  };
  return page;
}

/** Installs `window.meter`. Runs in the page. */
function installMeter() {
  const SILENT = 0.004;
  const QUARTER = 0.25; // A volume of -12 dB: a softer element is not heard beside the other one.
  const PICTURE = 1000 / 30; // Milliseconds per frame.
  const SLACK = 20; // Milliseconds of silence that the measurement itself adds.
  const player = window.onmicPlayer;
  const context = new AudioContext({ latencyHint: "interactive" });
  const watched = new Map();
  const samples = new Float32Array(512);
  let meter;

  function reset() {
    const now = performance.now();
    Object.assign(meter, { switches: [], mics: [], pictures: 0, longestPictureGapMs: 0, soundGapMs: 0, soundOverlapMs: 0, lastPicture: now });
    Object.assign(meter, { silentSince: null, doubleSince: null, longestLookMs: 0, lastLook: now, soundLogMs: 0 });
  }

  // Audio of a media source is taken from the element, which can be done only once. WebRTC audio is taken from its
  // stream.
  function analyserOf(node) {
    const analyser = new AnalyserNode(context, { fftSize: 512 });
    node.connect(analyser);
    return analyser;
  }

  function listenTo(video, known) {
    const stream = video.srcObject?.getAudioTracks().length > 0 ? video.srcObject : null;
    if (known.stream === stream) return;
    known.node?.disconnect();
    known.stream = stream;
    known.node = stream ? context.createMediaStreamSource(stream) : null;
    known.analyser = stream ? analyserOf(known.node) : null;
  }

  function look() {
    const now = performance.now();
    meter.longestLookMs = Math.max(meter.longestLookMs, now - meter.lastLook);
    meter.lastLook = now;
    let loudest = 0;
    let audible = 0;
    for (const video of player.container.querySelectorAll("video")) {
      const known = watched.get(video) ?? watch(video);
      listenTo(video, known);
      const analyser = known.analyser ?? known.element;
      if (!analyser || video.muted || video.paused) continue;
      analyser.getFloatTimeDomainData(samples);
      const level = Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
      loudest = Math.max(loudest, known.analyser ? level * video.volume : level);
      if (level > SILENT && video.volume > QUARTER) audible += 1;
    }
    if (loudest > SILENT) meter.silentSince = null;
    else meter.silentSince ??= now;
    if (audible > 1) meter.doubleSince ??= now;
    else meter.doubleSince = null;
    if (meter.silentSince !== null) meter.soundGapMs = Math.max(meter.soundGapMs, now - meter.silentSince - SLACK);
    if (meter.doubleSince !== null) meter.soundOverlapMs = Math.max(meter.soundOverlapMs, now - meter.doubleSince);
  }

  function watch(video) {
    const element = video.srcObject ? null : analyserOf(context.createMediaElementSource(video));
    const known = { element, stream: null, node: null, analyser: null, presented: 0 };
    watched.set(video, known);
    const next = () =>
      video.requestVideoFrameCallback((now, { presentedFrames }) => {
        // Another thread shows the frames. A busy page gets one callback for several of them, for the last one.
        const unseen = known.presented > 0 ? presentedFrames - known.presented - 1 : 0;
        known.presented = presentedFrames;
        if (!video.hasAttribute("aria-hidden")) {
          const whole = now - meter.lastPicture;
          const gap = Math.max(whole - unseen * PICTURE, whole / (unseen + 1));
          if (gap > meter.longestPictureGapMs) Object.assign(meter, { longestPictureGapMs: gap, gapAt: Date.now() });
          meter.lastPicture = now;
          meter.pictures += 1;
        }
        next();
      });
    next();
    return known;
  }

  meter = {
    reset,
    report: () => ({
      pictures: meter.pictures,
      longestPictureGapMs: Math.round(meter.longestPictureGapMs),
      soundGapMs: Math.round(meter.soundGapMs),
      soundOverlapMs: Math.round(meter.soundOverlapMs),
      longestLookMs: Math.round(meter.longestLookMs),
      onAt: meter.mics.find(({ state }) => state === "on")?.at ?? null,
      mics: meter.mics.map(({ state, reason }) => (reason ? `${state}: ${reason}` : state)),
    }),
  };
  window.meter = meter;
  reset();
  player.on("switch", (report) => meter.switches.push(report));
  player.on("mic", ({ state, reason }) => meter.mics.push({ state, reason, at: Date.now() }));
  setInterval(look, 5);
}

/**
 * Opens another viewer, which watches for the green of Chromium's fake camera in the right half of the program. It
 * switches nothing, so its longest time without a new frame is what the machine and the mixer cost.
 */
export async function colourWatch(browser, gateway, room) {
  const viewer = await browser.play("whep", { url: gateway.url(`/whep/${room}`), sound: false });
  await viewer.waitForFrames(10);
  await viewer.page.evaluate(() => {
    const video = document.querySelector("video");
    const paint = new OffscreenCanvas(16, 9).getContext("2d", { willReadFrequently: true });
    window.green = [];
    window.shown = [];
    const next = () =>
      video.requestVideoFrameCallback((now, { presentedFrames }) => {
        window.shown.push({ at: performance.timeOrigin + now, presentedFrames });
        paint.drawImage(video, 0, 0, 16, 9);
        const [red, green, blue] = paint.getImageData(9, 4, 1, 1).data;
        const is = green > 90 && red < 80 && blue < 80;
        if (is !== (window.green.at(-1)?.is ?? false)) window.green.push({ is, at: Date.now() });
        next();
      });
    next();
  });
  /** Returns when the co-host appeared in the program, or left it, after `since` (ms since 1970). */
  viewer.sees = (is, since, timeoutMs = 10_000) =>
    waitFor(
      `the co-host ${is ? "in" : "out of"} the program`,
      () => viewer.page.evaluate(([is, since]) => window.green.find((one) => one.is === is && one.at >= since)?.at, [is, since]),
      { timeoutMs, everyMs: 50 },
    );
  /** Returns the longest time in ms without a new frame between two times (ms since 1970), and forgets earlier frames. */
  viewer.longestGap = (from, to) =>
    viewer.page.evaluate(([from, to, PICTURE]) => {
      const shown = window.shown.splice(0).filter(({ at }) => at >= from && at <= to);
      const gaps = shown.slice(1).map(({ at, presentedFrames }, index) => {
        const whole = at - shown[index].at;
        const unseen = presentedFrames - shown[index].presentedFrames - 1;
        return Math.max(whole - unseen * PICTURE, whole / (unseen + 1));
      });
      return Math.round(Math.max(0, ...gaps));
    }, [from, to, 1000 / 30]);
  return viewer;
}
