// Is a WHIP client that sends the page's own test picture.

import { drawScene } from "./scene.js";
import { end, exchange, restartIce, stateOf, statistics } from "./session.js";
import { authorization } from "./whep_client.js";

/**
 * Publishes. `layers` are the encodings of simulcast, each with its `rid`, `scaleResolutionDownBy` and, if it may not
 * have all of `kbps`, `maxBitrate`.
 */
export async function publishWhip({ url, codec = "video/H264", kbps = 1200, width, height, fps = 30, humHertz, beeps, layers, ...options }) {
  const scene = await drawScene({ width, height, fps, humHertz, beeps });
  const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  const [videoTrack] = scene.stream.getVideoTracks();
  const [audioTrack] = scene.stream.getAudioTracks();
  const simulcast = layers ? { sendEncodings: layers } : {};
  const video = pc.addTransceiver(videoTrack, { direction: "sendonly", streams: [scene.stream], ...simulcast });
  pc.addTransceiver(audioTrack, { direction: "sendonly", streams: [scene.stream] });
  if (codec) {
    const { codecs } = RTCRtpSender.getCapabilities("video");
    const chosen = codecs.filter(({ mimeType }) => mimeType.toLowerCase() === codec.toLowerCase());
    const helpers = codecs.filter(({ mimeType }) => /\/(rtx|red|ulpfec)$/i.test(mimeType));
    video.setCodecPreferences([...chosen, ...helpers]);
  }
  let session;
  try {
    session = await exchange(pc, url, options);
  } catch (error) {
    pc.close();
    scene.stop();
    throw error;
  }
  const parameters = video.sender.getParameters();
  for (const encoding of parameters.encodings) encoding.maxBitrate ??= kbps * 1000;
  parameters.degradationPreference = "maintain-resolution";
  await video.sender.setParameters(parameters);

  return {
    meter: { reset() {} },
    async report() {
      return {
        state: stateOf(pc),
        times: session.times,
        answer: session.answer,
        resource: session.resource,
        etag: session.etag,
        link: session.link,
        framesDrawn: scene.framesDrawn(),
        statistics: await statistics(pc),
      };
    },
    async stop() {
      const status = await end(pc, session, authorization(options.token));
      scene.stop();
      return status;
    },
    /** Sends video whose sides are shorter by this factor, as a browser does by itself when its machine is too slow. */
    async scaleDown(by) {
      const parameters = video.sender.getParameters();
      for (const encoding of parameters.encodings) encoding.scaleResolutionDownBy = by;
      await video.sender.setParameters(parameters);
    },
    /** Switches the camera off or on, as a page does that takes the track from its sender. */
    camera: (on) => video.sender.replaceTrack(on ? videoTrack : null),
    vanish() {
      pc.close();
      scene.stop();
    },
    restartIce: () => restartIce(pc, session, authorization(options.token)),
  };
}
