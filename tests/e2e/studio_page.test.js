// Tests the studio as a host uses it: the host goes live from the browser, lets people in, directs the program, and
// removes people.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { micPage } from "../lib/mic_page.js";
import { waitFor } from "../lib/wait.js";

const LONG = { timeout: 120_000 };
const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };

async function studioPage(browser, gateway, room, options) {
  const page = await browser.open(gateway.url(`/studio/${room}`), options);
  page.setDefaultTimeout(15_000);
  page.errors = () => page.messages.filter((message) => message.startsWith("error"));
  page.onAir = () => page.waitForSelector(".badges .chip.live");
  return page;
}

const state = async (gateway, room) => (await gateway.room(room)).state;
const program = async (gateway, room) => (await state(gateway, room)).program;

endToEnd(
  "the_studio_lets_a_viewer_in_mutes_and_removes_them",
  async (stage) => {
    const gateway = await stage.gateway();
    await stage.live(gateway, "show");
    const browser = await stage.browser();
    const studio = await studioPage(browser, gateway, "show");
    await studio.onAir();
    const guest = await micPage(browser, gateway, "show", PHONE);
    await guest.raiseHand("Anna");
    await studio.click('role=button[name="Let Anna in"]');
    await guest.waitForSelector(".micbar.on");
    await guest.plays("mic");
    const person = await guest.person();
    const seat = async () => (await state(gateway, "show")).seats.find((one) => one.person === person);
    await waitFor("the program to be mixed", async () => (await program(gateway, "show")).state === "mixed");

    await studio.click('role=button[name="Mute Anna"]');
    await guest.waitForSelector('.micbar:has-text("The host has turned your microphone off.")');
    assert.deepEqual((await seat()).muted_by, { audio: "host", video: null });
    await studio.click('role=button[name="Unmute Anna"]');
    await guest.click('role=button[name="Turn camera off"]');
    await studio.waitForSelector('role=button[name="Turn on the camera of Anna"]');
    assert.deepEqual((await seat()).muted_by, { audio: null, video: "self" });
    await guest.click('role=button[name="Turn camera on"]');

    await guest.fill(".chat .write input", "hello <b>all</b>");
    await guest.keyboard.press("Enter");
    await studio.waitForSelector('.line:has-text("hello <b>all</b>")', { state: "attached" });

    await studio.click('role=button[name="Remove Anna from the mic"]');
    await guest.waitForSelector('.told:has-text("The host has ended your time on mic.")');
    await guest.plays("whep");
    await guest.advances();
    await waitFor("the host's source to be passed through", async () => (await program(gateway, "show")).state === "pass-through");
    assert.deepEqual([...studio.errors(), ...guest.errors()], []);
  },
  LONG,
);

endToEnd(
  "a_host_goes_live_from_the_browser_invites_and_directs",
  async (stage) => {
    const gateway = await stage.gateway();
    const browser = await stage.browser();
    const studio = await studioPage(browser, gateway, "home");
    await studio.click(".own-source .primary");
    await studio.waitForSelector(".own-source .preview video:not([hidden])");
    await studio.click(".own-source .primary:not([disabled])");
    await studio.waitForSelector(".own-source .chip.live");
    await studio.onAir();
    const guest = await micPage(browser, gateway, "home");
    const name = await guest.evaluate(() => window.onmicRoom.you.name);
    await studio.click(`role=button[name="Invite ${name} to the mic"]`);
    await guest.click('.micbar .primary:has-text("Join")');
    await guest.waitForSelector("dialog .preview video:not([hidden])");
    await guest.fill("dialog input[maxlength]", "Anna");
    await guest.click("dialog .primary:not([disabled])");
    await guest.waitForSelector(".micbar.on");

    await studio.click('role=button[name="Side by side"]');
    await studio.waitForSelector('.layout[aria-pressed=true][title="Side by side"]');
    await studio.click("role=tab[name=Scene]");
    await studio.click('role=button[name="Text card"]');
    await studio.click(".editor .primary");
    await studio.waitForSelector('.row:has-text("Ceramic mug")');
    const logo = { name: "logo.png", mimeType: "image/png", buffer: Buffer.from(PIXEL, "base64") };
    await studio.setInputFiles("input[type=file]", logo);
    await waitFor("the thumbnail of the logo", () => studio.evaluate(() => document.querySelector(".row img.thumb")?.naturalWidth === 1));
    await studio.click("text=Name labels");
    await waitFor("the name labels", async () => (await program(gateway, "home")).labels);
    const directed = await program(gateway, "home");
    assert.equal(directed.layout.kind, "side-by-side");
    assert.deepEqual(directed.overlays.map(({ kind }) => kind), ["text", "image"]);

    await guest.click(".micbar .danger");
    await guest.plays("whep");
    await studio.click(".own-source .danger");
    await guest.waitForSelector(".notice:not([hidden])");
    assert.deepEqual(guest.errors().filter((error) => !/ 40[49] /.test(error)), [], "no errors except 404 and 409 for a program that has ended");
  },
  LONG,
);

endToEnd(
  "two_studios_start_a_pk_and_end_it",
  async (stage) => {
    const gateway = await stage.gateway();
    await stage.live(gateway, "left", { width: 320, height: 180 });
    await stage.live(gateway, "right", { width: 320, height: 180 });
    const browser = await stage.browser();
    const [left, right] = [await studioPage(browser, gateway, "left"), await studioPage(browser, gateway, "right")];
    await Promise.all([left.onAir(), right.onAir()]);
    await left.click("role=tab[name=PK]");
    await left.fill(".pk input", "right");
    await left.click("text=Propose");
    await left.waitForSelector("text=Waiting for “right” to answer.");
    await right.click("role=tab[name=PK]");
    await right.click(".pk .primary");
    for (const room of ["left", "right"]) {
      await waitFor(`${room} to be in the PK`, async () => {
        const { pk, program } = await state(gateway, room);
        return pk?.state === "on" && program.state === "mixed";
      });
    }
    await left.click(".pk .danger");
    for (const room of ["left", "right"]) {
      await waitFor(`${room} to be passed through without a PK`, async () => {
        const { pk, program } = await state(gateway, room);
        return pk === null && program.state === "pass-through";
      });
    }
    assert.deepEqual([...left.errors(), ...right.errors()], []);
  },
  LONG,
);
